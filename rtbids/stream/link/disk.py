"""What does not fit into memory: one file without a name, and which bytes of it are free.

The file is unlinked as soon as it is open, so that nothing that names a subject stays behind a kill or a power cut.
"""

from __future__ import annotations

import errno
import os
import tempfile
import weakref
from bisect import bisect_left
from collections.abc import Sequence
from pathlib import Path

GRAIN = 4096  # bytes; places begin and end at multiples, so that freed ones can be used again


class Extents:
    """The free stretches of a file of `size` bytes."""

    def __init__(self, size: int) -> None:
        self._free = [(0, size // GRAIN * GRAIN)] if size >= GRAIN else []  # (begin, end), in order, none touching the next
        self.taken = 0

    def take(self, size: int) -> int | None:
        """Return where `size` bytes may be put, the first place that is long enough; None where there is none."""
        length = rounded(size)
        for place, (begin, end) in enumerate(self._free):
            if end - begin >= length:
                self._free[place : place + 1] = [(begin + length, end)] if end - begin > length else []
                self.taken += length
                return begin
        return None

    def give_back(self, begin: int, size: int) -> None:
        end = begin + rounded(size)
        self.taken -= end - begin
        place = bisect_left(self._free, (begin, end))
        first, last = place, place
        if place and self._free[place - 1][1] == begin:
            first, begin = place - 1, self._free[place - 1][0]
        if place < len(self._free) and self._free[place][0] == end:
            last, end = place + 1, self._free[place][1]
        self._free[first:last] = [(begin, end)]


class Disk:
    """A file in `folder` (made 0700 where it is not there), 0600 and without a name; opened when it is first needed."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._file: _Unnamed | None = None
        self.is_closed = False

    def write(self, place: int, parts: Sequence[memoryview]) -> None:
        """Write `parts` one after another at `place`; OSError where the disk refuses."""
        file = self._open()
        for part in parts:
            done = 0
            while done < len(part):
                done += os.pwrite(file.descriptor, part[done:], place + done)
            place += len(part)

    def read(self, place: int, size: int) -> memoryview:
        file = self._open()
        content = memoryview(bytearray(size))
        done = 0
        while done < size:
            if not (count := os.preadv(file.descriptor, [content[done:]], place + done)):
                raise OSError(f"ended after {done} of {size} bytes")
            done += count
        return content

    def empty(self) -> None:
        """Give the space back."""
        if self._file is not None:
            os.ftruncate(self._file.descriptor, 0)

    def close(self) -> None:
        """Take no more; who reads or writes in another thread still has the file until it is done."""
        self.is_closed, self._file = True, None

    def _open(self) -> _Unnamed:
        if self.is_closed:
            raise OSError(errno.EBADF, "closed here")
        file = self._file = self._file or _Unnamed(self._folder)
        return file


class _Unnamed:
    """A file without a name, closed when nobody has it any more: its number may be another file's at once."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.descriptor, name = tempfile.mkstemp(prefix="spool-", dir=folder)
        os.unlink(name)
        weakref.finalize(self, os.close, self.descriptor)


def rounded(size: int) -> int:
    return -(-size // GRAIN) * GRAIN
