"""Contents that travel beside lines: sent once, however many lines name them.

Both ends count them alike and keep the same few, so that none is named that the other end has let go.
"""

from __future__ import annotations

import mmap
import os
import stat
from collections.abc import Hashable, Mapping
from typing import Any

from rtbids.run.far import members
from rtbids.run.far.members import Said
from rtbids.run.process.channel import NotUnderstood
from rtbids.run.process.memory_file import MemoryFile
from rtbids.stream.link import Link

KEPT = 4  # contents


class Sending:
    """The end that sends."""

    def __init__(self) -> None:
        self._kept: dict[Hashable, tuple[int, memoryview]] = {}
        self._number = 0

    def number(self, content: memoryview, key: Hashable | None = None) -> tuple[int, bool]:
        """Return the number of a content, and whether it is to be sent: the other end may have the one of this key."""
        if key is not None and (known := self._kept.get(key)) is not None:
            return known[0], False
        self._number += 1
        self._kept[self._number if key is None else key] = self._number, content
        while len(self._kept) > KEPT:
            del self._kept[next(iter(self._kept))]
        return self._number, True

    def forget(self) -> None:
        """Begin anew: the other end has nothing."""
        self._kept.clear()


class Coming:
    """The end that they come to."""

    def __init__(self) -> None:
        self._kept: dict[int, MemoryFile] = {}

    def put(self, number: int, content: memoryview) -> None:
        self._kept[number] = MemoryFile(content)
        while len(self._kept) > KEPT:
            del self._kept[next(iter(self._kept))]

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


def say(
    link: Link, sending: Sending, seat: int, fields: Mapping[str, Any], content: memoryview | None, key: Hashable | None
) -> int:
    """Send a line, and its content with it where that is new to the other end; return the member's number."""
    if content is None:
        return link.send(members.name(seat, members.SAY), members.encoded(**fields, content=None))
    number, is_new = sending.number(content, key)
    head = members.encoded(**fields, content=number)
    if not is_new:
        return link.send(members.name(seat, members.SAY), head)
    return link.send(*members.with_content(seat, members.SAY, head, content))


def along(coming: Coming, said: Said) -> MemoryFile | None:
    """Return what comes along with a line, None where nothing does."""
    number = said.fields.get("content")
    if number is None:
        return None
    if said.along is not None:
        coming.put(number, said.along)
    found = coming.get(number)
    if found is None:
        raise NotUnderstood(f"content {number} is not here")
    return found
