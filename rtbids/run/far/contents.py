"""Contents that travel beside lines: a volume is sent once, however many scripts are given it.

Both ends count the run's contents alike and keep the same few, so that none is named that the other end has let go.
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
    """The run's end, which sends them."""

    def __init__(self) -> None:
        self._kept: dict[Hashable, tuple[int, memoryview]] = {}
        self._number = 0

    def number(self, content: memoryview, key: Hashable) -> tuple[int, bool]:
        """Return the number of a content, and whether it is to be sent: the other end may have the one of this key."""
        if (known := self._kept.get(key)) is not None:
            return known[0], False
        self._number += 1
        self._kept[key] = self._number, content
        while len(self._kept) > KEPT:
            del self._kept[next(iter(self._kept))]
        return self._number, True

    def forget(self) -> None:
        """Begin anew: the other end has nothing."""
        self._kept.clear()


class Coming:
    """The end of the scripts, which they come to."""

    def __init__(self) -> None:
        self._kept: dict[int, MemoryFile] = {}

    def put(self, said: Said) -> None:
        """Keep what has come along: also with a line that nobody waits for any more, since another may name it."""
        number = said.fields.get("content")
        if said.along is None or number is None:
            return
        self._kept[number] = MemoryFile(said.along)
        while len(self._kept) > KEPT:
            del self._kept[next(iter(self._kept))]

    def along(self, said: Said) -> MemoryFile | None:
        """Return what comes along with a line, None where nothing does."""
        number = said.fields.get("content")
        if number is None:
            return None
        if number not in self._kept:
            raise NotUnderstood(f"content {number} is not here")
        return self._kept[number]


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
