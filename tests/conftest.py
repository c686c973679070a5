"""What all tests share: the folder of real series, where there is one."""

from __future__ import annotations

import logging
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

ROOT = Path(__file__).resolve().parent.parent

settings.register_profile("shared", deadline=None)  # how long an example takes is of the machine, which tests share
settings.load_profile("shared")


@pytest.fixture(scope="session")
def repository() -> Path:
    """The root of the repository."""
    return ROOT


@pytest.fixture(scope="session", autouse=True)
def runtime_folder() -> Iterator[Path]:
    """Where the control sockets of runs are: a short path, which a socket needs, and away from the runs of who tests."""
    with tempfile.TemporaryDirectory(prefix="rt") as folder, pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_RUNTIME_DIR", folder)
        patch.setenv("XDG_STATE_HOME", folder)
        yield Path(folder, "rtbids")


@pytest.fixture(autouse=True)
def log() -> Iterator[None]:
    """The log as it was before a test that runs a command in this process."""
    logger = logging.getLogger("rtbids")
    level, handlers = logger.level, list(logger.handlers)
    yield
    logger.setLevel(level)
    logger.handlers[:] = handlers


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real series that RTBIDS_TEST_DATA names."""
    folder = Path(os.environ.get("RTBIDS_TEST_DATA", ROOT / "../shared/data"))
    if not folder.is_dir():
        pytest.skip("real series not found: set RTBIDS_TEST_DATA")
    return folder
