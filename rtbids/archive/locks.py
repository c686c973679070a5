"""Advisory locks that die with the process that holds them (``flock``)."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path


def take(path: Path) -> int | None:
    """Return a descriptor that holds the lock on `path` (made where absent), or None where somebody else holds it."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    return descriptor


def hold(descriptor: int) -> None:
    """Hold the lock on an open file until it is closed. Some network file systems have no locks; there it is not held."""
    with suppress(OSError):
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)


def wait(path: Path) -> None:
    """Return once nobody holds the lock on `path`, or there is no such file any more."""
    with suppress(OSError), path.open("rb") as file:
        fcntl.flock(file, fcntl.LOCK_SH)


@contextmanager
def held(path: Path) -> Iterator[None]:
    """Hold the lock on `path`, waiting for whoever has it now, be it another process or another thread."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
