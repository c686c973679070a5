"""What all tests share: the folder of real series, where there is one."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def repository() -> Path:
    """The root of the repository."""
    return ROOT


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real series that RTBIDS_TEST_DATA names."""
    folder = Path(os.environ.get("RTBIDS_TEST_DATA", ROOT / "../shared/data"))
    if not folder.is_dir():
        pytest.skip("real series not found: set RTBIDS_TEST_DATA")
    return folder
