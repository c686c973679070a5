"""What tests of sending share."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import pytest
from send.outbox_parts import FarSide
from send.postgres_server import server

from rtbids.send.outbox import Outbox

_NUMBERS = itertools.count(1)


@pytest.fixture(scope="session")
def postgres() -> Iterator[str]:
    """URL of a PostgreSQL server's first database."""
    with server() as (url, _):
        yield url


@pytest.fixture
def fresh_database(postgres) -> str:
    """URL of an empty database."""
    import psycopg

    name = f"outbox{next(_NUMBERS)}"
    with psycopg.connect(postgres, autocommit=True) as connection:
        connection.execute(f"CREATE SCHEMA {name}")  # for tables it is what a database is, and made at once
    return f"{postgres}?options=-csearch_path%3D{name}"


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request) -> str | None:
    """Where an outbox has its states: in a file (None), or at the URL of an empty database."""
    return request.getfixturevalue("fresh_database") if request.param == "postgresql" else None


@pytest.fixture
def outbox(database, tmp_path) -> Iterator[Outbox]:
    with Outbox.open(tmp_path / "outbox", database) as found:
        yield found


@pytest.fixture
def far(tmp_path) -> FarSide:
    return FarSide(tmp_path / "far")
