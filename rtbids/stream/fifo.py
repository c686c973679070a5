"""Named pipes under one contract: one writer, one reader, and nobody waits for ever.

Opening waits for the other side for a stated time and then says who is missing. A second writer is refused. The buffer is
enlarged to 1 MiB where the system lets us. A writer learns at once, without writing, that its reader has gone (`watch_reader`).
"""

from __future__ import annotations

import errno
import fcntl
import os
import select
import stat
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO, cast

from rtbids.errors import CannotWrite, InputMissing, StreamBroken

OPEN_TIMEOUT = 10.0
BUFFER = 1 << 20
_SET_PIPE_SIZE = 1031  # F_SETPIPE_SZ, Linux
_RETRY = 0.05


def is_fifo(path: Path) -> bool:
    return path.exists() and stat.S_ISFIFO(path.stat().st_mode)


def open_writer(path: Path, timeout: float = OPEN_TIMEOUT) -> BinaryIO:
    """Open a named pipe to write to, waiting `timeout` seconds for its reader; StreamBroken where none comes."""
    until = time.monotonic() + timeout
    while True:
        try:
            descriptor = os.open(path, os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC)
            break
        except OSError as error:
            if error.errno != errno.ENXIO:
                raise CannotWrite(f"cannot open {path}: {error.strerror}") from None
        if time.monotonic() >= until:
            raise StreamBroken(f"nobody reads {path}: waited {timeout:g} s for a reader", "start the reading side too")
        time.sleep(_RETRY)  # there is no event for a reader that opens
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        raise CannotWrite(f"{path} has a writer already") from None
    os.set_blocking(descriptor, True)
    _enlarge(descriptor)
    return cast(BinaryIO, os.fdopen(descriptor, "wb", buffering=0))


def open_reader(path: Path, timeout: float = OPEN_TIMEOUT) -> BinaryIO:
    """Open a named pipe to read from, waiting `timeout` seconds for its writer; StreamBroken where none comes."""
    opened: list[int] = []
    failed: list[OSError] = []

    def wait() -> None:
        try:
            opened.append(os.open(path, os.O_RDONLY | os.O_CLOEXEC))
        except OSError as error:
            failed.append(error)

    # A plain open returns when a writer has opened too; the non-blocking form cannot tell a silent writer from none.
    opening = threading.Thread(target=wait, name="opening", daemon=True)
    opening.start()
    opening.join(timeout)
    if failed:
        raise InputMissing(f"{path}: cannot be read ({failed[0].strerror})")
    if not opened:
        raise StreamBroken(f"nobody writes {path}: waited {timeout:g} s for a writer", "start the writing side too")
    return cast(BinaryIO, os.fdopen(opened[0], "rb", buffering=0))


def watch_reader(file: BinaryIO, gone: Callable[[], None]) -> None:
    """Call `gone` from a thread as soon as the reader of a pipe has left; nothing is done for what is no pipe."""
    descriptor = file.fileno()
    if not stat.S_ISFIFO(os.fstat(descriptor).st_mode):
        return

    def wait() -> None:
        poll = select.poll()
        poll.register(descriptor, 0)  # errors are always reported, and nothing else is asked for
        try:
            poll.poll()
            gone()
        except OSError:
            pass  # closed by ourselves

    threading.Thread(target=wait, name="reader watch", daemon=True).start()


def _enlarge(descriptor: int) -> None:
    with suppress(OSError):  # above the user's limit, or not Linux: a smaller buffer will do
        fcntl.fcntl(descriptor, _SET_PIPE_SIZE, BUFFER)
