"""The real series: those of RTBIDS_TEST_DATA (by default ../shared/data)."""

from __future__ import annotations

import os
import tarfile
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

DATA = Path(os.environ.get("RTBIDS_TEST_DATA", "../shared/data"))
NEUROFEEDBACK = DATA / "siemens_mosaic_vb17_nf" / "whole_run" / "nf_run.tar.xz"


@contextmanager
def neurofeedback() -> Iterator[Path]:
    """Unpack the neurofeedback run of 155 mosaics, 74×74×36, into a folder that lasts as long as it is needed."""
    with tempfile.TemporaryDirectory() as folder:
        with tarfile.open(NEUROFEEDBACK) as tar:
            tar.extractall(folder, filter="data")
        yield Path(folder)
