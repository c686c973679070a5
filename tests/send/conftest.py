"""What tests of sending share."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import pytest
from send.postgres_server import server

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
