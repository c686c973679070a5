"""Experiments on another machine, for the tests of a run."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import pytest
from run.far_lanes import connected
from stream.link_ends import Road

from rtbids.run.far.seats import FarLauncher
from rtbids.stream.link import Link


@pytest.fixture
def far_side(tmp_path: Path) -> Callable[[], AbstractContextManager[tuple[FarLauncher, Road, Link]]]:
    return lambda: connected(tmp_path / "far")
