"""Contents that travel beside lines: sent once, however many lines name them.

Both ends count them alike and keep the same few, so that none is named that the other end has let go.
"""

from __future__ import annotations

import mmap
import os
import re
import stat
from collections.abc import Hashable

from rtbids.run.process.channel import NotUnderstood
from rtbids.run.process.memory_file import MemoryFile
from rtbids.stream.link import Link
from rtbids.stream.wire import Member

KEPT = 4  # contents
_NAME = re.compile(r"content/(\d{1,12})\.bin")


class Sending:
    """The end that sends."""

    def __init__(self, link: Link) -> None:
        self._link = link
        self._kept: dict[Hashable, tuple[int, memoryview]] = {}
        self._number = 0

    def send(self, content: memoryview, key: Hashable | None = None) -> int:
        """Send a content, unless the other end has the one of this key; return its number."""
        if key is not None and (known := self._kept.get(key)) is not None:
            return known[0]
        self._number += 1
        self._kept[self._number if key is None else key] = self._number, content
        while len(self._kept) > KEPT:
            del self._kept[next(iter(self._kept))]
        self._link.send(f"content/{self._number}.bin", content)
        return self._number

    def forget(self) -> None:
        """Begin anew: the other end has nothing."""
        self._kept.clear()


class Coming:
    """The end that they come to."""

    def __init__(self) -> None:
        self._kept: dict[int, MemoryFile] = {}

    def take(self, member: Member) -> bool:
        """Take a member that is a content; say whether it was."""
        found = _NAME.fullmatch(member.name)
        if found is None:
            return False
        self._kept[int(found[1])] = MemoryFile(member.content)
        while len(self._kept) > KEPT:
            del self._kept[next(iter(self._kept))]
        return True

    def get(self, number: int) -> MemoryFile | None:
        return self._kept.get(number)


def mapped(descriptor: int) -> tuple[memoryview, Hashable]:
    """Return the content of a memory file of the run's own, and what tells it from others while it is held."""
    try:
        status = os.fstat(descriptor)
        if not status.st_size:
            return memoryview(b""), (status.st_dev, status.st_ino)
        pages = memoryview(mmap.mmap(descriptor, status.st_size, prot=mmap.PROT_READ))
        return pages, (status.st_dev, status.st_ino)
    finally:
        os.close(descriptor)


def copied(descriptor: int, most: int) -> memoryview:
    """Return a copy of a file that a script has sent, who may still cut it short; raise NotUnderstood for what is none."""
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode) or status.st_size > most:
            raise NotUnderstood(f"what came along is no file of at most {most} bytes")
        content = whole(descriptor)
        if len(content) < status.st_size:
            raise NotUnderstood("a file that came along was cut short")
        return content
    except OSError as error:
        raise NotUnderstood(f"a file that came along cannot be read ({error.strerror})") from None
    finally:
        os.close(descriptor)


def whole(descriptor: int) -> memoryview:
    """Return a copy of what a file holds."""
    room = memoryview(bytearray(os.fstat(descriptor).st_size))
    filled = 0
    while filled < len(room) and (got := os.preadv(descriptor, [room[filled:]], filled)):
        filled += got
    return room[:filled]
