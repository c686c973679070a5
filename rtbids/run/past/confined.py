"""Files of a data set, which are read where they lie in it and nowhere else."""

from __future__ import annotations

import os
from pathlib import Path

from rtbids.errors import BadData, InputMissing


def within(root: Path, path: Path) -> Path:
    """Return `path`; raise BadData where it leads out of the data set at `root`."""
    top = os.path.realpath(root)
    if os.path.commonpath([top, os.path.realpath(path)]) != top:
        raise BadData(f"{path}: leads out of the data set {root}, and is not read")
    return path


def existing(root: Path, path: Path, otherwise: str) -> Path:
    """Return `path`, which is to lie in the data set; where there is no such file, say `otherwise`."""
    if not within(root, path).is_file():
        raise InputMissing(f"{otherwise}: no such file: {path}")
    return path
