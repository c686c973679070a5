"""A hidden folder for what is tried, which no watcher takes and which is gone afterwards, whatever happens."""

from __future__ import annotations

import secrets
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

PREFIX = ".rtbids-doctor-"
_STALE = 600.0  # seconds; no look takes so long


@contextmanager
def probe_folder(place: Path) -> Iterator[Path]:
    """Give a folder in `place`; raise OSError where none can be made."""
    _sweep(place)
    inner = place / f"{PREFIX}{secrets.token_hex(4)}"
    try:
        inner.mkdir(mode=0o700)
        yield inner
    finally:
        shutil.rmtree(inner, ignore_errors=True)


def _sweep(place: Path) -> None:
    """Remove what one that was killed has left."""
    for left in place.glob(f"{PREFIX}*"):
        with suppress(OSError):
            if time.time() - left.stat().st_mtime > _STALE:
                shutil.rmtree(left, ignore_errors=True)
