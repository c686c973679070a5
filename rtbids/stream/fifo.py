"""Named pipes under one contract: one writer, one reader, and nobody waits for ever.

Opening waits for the other side for a stated time and then says who is missing. A second writer is refused, and so is a second
reader, who would take bytes out of the first one's stream. The buffer is
enlarged to 1 MiB where the system lets us. A writer learns at once, without writing, that its reader has gone (`watch_reader`).
"""

from __future__ import annotations

import errno
import fcntl
import os
import select
import stat
import struct
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
_TWO_LOCKS = hasattr(fcntl, "F_OFD_SETLK")  # Linux: one by flock(2), one by fcntl(2), which know nothing of each other


def is_fifo(path: Path) -> bool:
    return path.exists() and stat.S_ISFIFO(path.stat().st_mode)


def open_writer(path: Path, timeout: float = OPEN_TIMEOUT) -> BinaryIO:
    """Open a named pipe to write to, waiting `timeout` seconds for its reader; StreamBroken where none comes."""
    until = time.monotonic() + timeout
    while (descriptor := reach(path)) is None:
        if time.monotonic() >= until:
            raise StreamBroken(f"nobody reads {path}: waited {timeout:g} s for a reader", "start the reading side too")
        time.sleep(_RETRY)  # there is no event for a reader that opens
    return writer(path, descriptor)


def reach(path: Path) -> int | None:
    """Open a named pipe for its next writer; None where nobody reads it. It is to become a `writer`, or to be closed."""
    try:
        return os.open(path, os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        if error.errno == errno.ENXIO:
            return None
        raise CannotWrite(f"cannot open {path}: {error.strerror}") from None


def writer(path: Path, descriptor: int) -> BinaryIO:
    """Return what is written to a pipe that was reached; CannotWrite where it has a writer already."""
    if not _lock_for_writing(descriptor):
        os.close(descriptor)
        raise CannotWrite(f"{path} has a writer already")
    os.set_blocking(descriptor, True)
    _enlarge(descriptor)
    return cast(BinaryIO, os.fdopen(descriptor, "wb", buffering=0))


def open_reader(path: Path, timeout: float = OPEN_TIMEOUT) -> BinaryIO:
    """Open a named pipe to read from, waiting `timeout` seconds for its writer; StreamBroken where none comes."""
    descriptor = _Opening(path).wait(timeout)
    if _TWO_LOCKS and not _flock(descriptor):
        os.close(descriptor)
        raise InputMissing(f"{path} has a reader already", "rtbids stream SOURCE DEST DEST is for several")
    return cast(BinaryIO, os.fdopen(descriptor, "rb", buffering=0))


class _Opening:
    """Opens a pipe to read from in a thread, which waits until a writer has opened it too.

    The form of opening that does not wait cannot tell a silent writer from none.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._descriptor: int | None = None
        self._refused: OSError | None = None
        self._is_given_up = False
        self._opened = threading.Condition()
        threading.Thread(target=self._open, name="opening", daemon=True).start()

    def _open(self) -> None:
        try:
            descriptor = os.open(self._path, os.O_RDONLY | os.O_CLOEXEC)
        except OSError as error:
            with self._opened:
                self._refused = error
                self._opened.notify()
            return
        with self._opened:
            if self._is_given_up:
                os.close(descriptor)
                return
            self._descriptor = descriptor
            self._opened.notify()

    def wait(self, timeout: float) -> int:
        with self._opened:
            self._opened.wait_for(lambda: self._descriptor is not None or self._refused is not None, timeout)
            if self._refused is not None:
                raise InputMissing(f"{self._path}: cannot be read ({self._refused.strerror})")
            if self._descriptor is not None:
                return self._descriptor
            self._is_given_up = True
        self._let_go()
        raise StreamBroken(f"nobody writes {self._path}: waited {timeout:g} s for a writer", "start the writing side too")

    def _let_go(self) -> None:
        """Let the thread come back, by a writer that says nothing: it would take what comes later, and nobody would read it."""
        with suppress(OSError):
            os.close(os.open(self._path, os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC))


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


def _lock_for_writing(descriptor: int) -> bool:
    """Lock the writing end; where it can be, not by what locks the reading one, which is the same file."""
    if not _TWO_LOCKS:
        return _flock(descriptor)
    whole = struct.pack("hhqqi4x", fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0)
    return _try(lambda: fcntl.fcntl(descriptor, fcntl.F_OFD_SETLK, whole))


def _flock(descriptor: int) -> bool:
    return _try(lambda: fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB))


def _try(lock: Callable[[], object]) -> bool:
    try:
        lock()
    except OSError:
        return False
    return True


def _enlarge(descriptor: int) -> None:
    with suppress(OSError):  # above the user's limit, or not Linux: a smaller buffer will do
        fcntl.fcntl(descriptor, _SET_PIPE_SIZE, BUFFER)
