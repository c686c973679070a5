"""A folder of BIDS-I, as ``tar x`` makes one of a stream, as the members of a stream again."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from itertools import chain
from pathlib import Path

from rtbids.bids import dataset
from rtbids.errors import InputMissing
from rtbids.stream import bidsi, wire

logger = logging.getLogger("rtbids")
_SUBJECTS = ("sub-*", "sub-*/ses-*")
_IN_A_RUN = {"bold.json": 0, "events.json": 1, "events.tsv": 2, "end.json": 5}


def is_bidsi(folder: Path) -> bool:
    """Say whether a folder holds single volumes, each with its JSON, in place of whole runs."""
    return any(any(folder.glob(f"{place}/func/*_vol-*_bold.json")) for place in _SUBJECTS)


def members(folder: Path) -> Iterator[wire.Member]:
    """Give the files in the order of a stream: what belongs to all runs, then run after run its volumes by their index."""
    top = chain(folder.glob("*"), folder.glob("sub-*/sub-*_sessions.*"))
    runs = chain.from_iterable(folder.glob(f"{place}/func/*") for place in _SUBJECTS)
    for path in chain(sorted(top, key=lambda path: (path.name != dataset.DESCRIPTION, path)), sorted(runs, key=_order)):
        if _leads_out(path, folder):
            logger.warning("a link that leads out of %s is left out", folder)
        elif path.is_file():
            yield _member(path, folder)


def _leads_out(path: Path, folder: Path) -> bool:
    root = os.path.realpath(folder)
    return os.path.commonpath([root, os.path.realpath(path)]) != root


def _order(path: Path) -> tuple[str, str, int, int, str]:
    run, index, suffix = bidsi.split(path.name)
    place = 4 if index is not None else _IN_A_RUN.get(suffix, 3)
    return str(path.parent), run, place, index or 0, suffix


def _member(path: Path, folder: Path) -> wire.Member:
    try:
        return wire.Member(path.relative_to(folder).as_posix(), memoryview(path.read_bytes()), path.stat().st_mtime)
    except OSError as error:
        raise InputMissing(f"cannot read {path}: {error.strerror or error}") from error
