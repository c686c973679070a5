"""Where images that came over the network lie until they are dealt with: files that outlast the process.

An image is in the spool, whole and under its final name, before its sender is told so, and leaves it when its receipt is
settled: its volume is in the archive, or was handed on. What a process that was killed has left is there at the next start.
"""

from __future__ import annotations

import fcntl
import os
import re
import threading
from contextlib import suppress
from pathlib import Path

from rtbids.errors import CannotWrite, cannot_write
from rtbids.receipt import Receipt
from rtbids.stream.wire import Buffer
from rtbids.watch import durable

BACKLOG = 4 << 30  # bytes in the spool beyond which senders wait
_OURS = re.compile(r"(\d{9,})(-[0-9a-f]{8})?\.dcm")


class Closed(Exception):
    """The spool takes no more."""


class Spool:
    """A folder of image files of ours, held by one process at a time.

    Parameters
    ----------
    folder
        Made where there is none, for its owner only.
    backlog
        Bytes that may wait; one image is taken in any case.
    fsync
        Return from `keep` only when the disk itself has the image, so that it outlasts a power cut too.

    Raises
    ------
    CannotWrite
        The folder cannot be made, or another process has it.
    """

    def __init__(self, folder: Path, *, backlog: int = BACKLOG, fsync: bool = False) -> None:
        self.folder = folder
        self._backlog, self._fsync = backlog, fsync
        self._room = threading.Condition()
        self._closed = False
        self._lock = _opened(folder)
        self._together = durable.names_come_with_data(folder)
        self.leftovers = _leftovers(folder)
        self._counted = {path: path.stat().st_size for path in self.leftovers}  # bytes of those that will leave
        self._held = sum(self._counted.values())
        self._number = max(map(_number, self.leftovers), default=0)

    def is_full(self, size: int) -> bool:
        """Say whether an image of `size` bytes would have to wait."""
        with self._room:
            return self._is_full(size)

    def keep(self, content: bytes) -> Path:
        """Write an image and return its file, once there is room for it.

        Raises
        ------
        Closed
            The spool was closed before there was room.
        OSError
            The disk did not take it.
        """
        path = self._place(content)
        try:
            durable.write(content, path, fsync=self._fsync, together=self._together)
        except OSError:
            self.abandon(path)
            raise
        return path

    def receipt(self, path: Path) -> Receipt:
        """Return what removes a file once it is settled."""
        return Receipt(
            lambda: self._remove(path),
            abandoned=lambda: self.abandon(path),
            durable=self._fsync,
            place=f"the spool {self.folder}",
        )

    def abandon(self, path: Path) -> None:
        """Let nobody wait for a file that will not leave: it stays on the disk for good."""
        with self._room:
            self._held -= self._counted.pop(path, 0)
            self._room.notify_all()

    def stop(self) -> None:
        """Take no more; whoever waits for room gets Closed."""
        with self._room:
            self._closed = True
            self._room.notify_all()

    def close(self) -> None:
        """Leave the folder, with what is in it, to the next process."""
        self.stop()
        os.close(self._lock)

    def _place(self, content: Buffer) -> Path:
        """Wait for room for an image and take it; return the file that is to be made."""
        size = len(content)
        with self._room:
            self._room.wait_for(lambda: self._closed or not self._is_full(size))
            if self._closed:
                raise Closed
            self._number += 1
            path = self.folder / durable.name(self._number, 9, content)
            self._counted[path] = size
            self._held += size
            return path

    def _is_full(self, size: int) -> bool:
        return self._held > 0 and self._held + size > self._backlog

    def _remove(self, path: Path) -> None:
        with suppress(OSError):  # gone by another hand: there is nothing left to do
            path.unlink()
        self.abandon(path)


def _opened(folder: Path) -> int:
    """Make the folder and return the descriptor of its lock."""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock = os.open(folder / ".lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise cannot_write(folder, error) from None
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(lock)
        raise CannotWrite(f"{folder}: another rtbids receives into this spool", "give this one its own with --spool") from None
    return lock


def _leftovers(folder: Path) -> list[Path]:
    """Return the whole files in the order in which they came; what was never finished was never acknowledged, and goes."""
    durable.sweep(folder)
    return sorted((path for path in folder.iterdir() if _OURS.fullmatch(path.name)), key=_number)


def _number(path: Path) -> int:
    return int(path.stem.partition("-")[0])
