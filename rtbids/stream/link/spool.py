"""What was sent and is not known to be safe at the other side: memory first, then disk, both bounded.

Nothing here waits and nothing locks: a link asks for `room`, puts an entry there, and lets go of what is safe. When there is no
room it waits, or drops the oldest members that may be dropped and are not on the wire yet; a drop leaves a mark that keeps the
numbers.
"""

from __future__ import annotations

import logging
from collections import OrderedDict, deque
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from rtbids import private
from rtbids.errors import CannotWrite
from rtbids.stream.link import protocol
from rtbids.stream.link.disk import Disk, Extents

MEMORY = 64 << 20  # bytes
HEAD = 1024  # bytes of memory that an entry may cost beside its content: what bounds their count
FEWEST = 64  # entries that are held however small the memory is
IN_MEMORY = -1
logger = logging.getLogger("rtbids")
WhenFull = Literal["block", "drop"]


@dataclass
class Entry:
    """A member that waits, or, where `dropped` is not 0, the mark of that many. `place`: where on disk its content is."""

    name: str
    parts: Sequence[memoryview]
    size: int
    modified: float
    is_droppable: bool
    place: int = IN_MEMORY
    dropped: int = 0

    @property
    def numbers(self) -> int:
        """How many numbers it takes up."""
        return self.dropped or 1


class Spool:
    """At most `memory` bytes of content, then `disk` bytes in `folder`. A single member always fits into an empty one."""

    def __init__(self, memory: int = MEMORY, disk: int = 0, folder: Path | None = None, when_full: WhenFull = "block") -> None:
        self._memory = memory
        self._most = max(FEWEST, memory // HEAD)
        self._extents = Extents(disk if folder else 0)
        self._disk = Disk(folder) if folder else None
        self._drops = when_full == "drop"
        self._entries: OrderedDict[int, Entry] = OrderedDict()
        self._droppable: deque[int] = deque()
        self._mark: int | None = None  # number of the latest mark
        self._refused = False
        self.next = 0  # number that the next member gets
        self.on_wire = 0  # numbers below it were written to some connection
        self.in_memory = 0
        self.dropped = 0
        self.marked = 0  # of those dropped, that the other side does not know of yet

    def begin(self, number: int) -> None:
        """Count from `number` on; only while nothing was put."""
        self.next = self.on_wire = number

    @property
    def oldest(self) -> int:
        """Number of the oldest member that is not safe."""
        return next(iter(self._entries), self.next)

    @property
    def waiting_bytes(self) -> int:
        return self.in_memory + self.on_disk

    @property
    def on_disk(self) -> int:
        return self._extents.taken

    @property
    def is_empty(self) -> bool:
        return not self._entries

    def room(self, size: int, may_use_disk: bool = True) -> int | None:
        """Return where `size` bytes are to go, IN_MEMORY or a place on disk, which is then taken; None where it is full."""
        if len(self._entries) >= self._most:
            return None
        if self.in_memory + size <= self._memory or not self._entries:
            return IN_MEMORY
        return self._extents.take(size) if may_use_disk else None

    def write(self, entry: Entry) -> bool:
        """Bring the content of `entry` to its place on disk; where the disk refuses, say so once and return False."""
        assert self._disk is not None
        try:
            self._disk.write(entry.place, entry.parts)
        except OSError as error:
            if not self._refused and not self._disk.is_closed:
                logger.warning("the spool's disk takes no more (%s): it counts as full", error.strerror or error)
            self._refused = True
            return False
        self._refused = False
        entry.parts = ()
        return True

    def give_back(self, entry: Entry) -> None:
        """Free the place of an entry that was not put, or is no more."""
        if entry.place != IN_MEMORY:
            self._extents.give_back(entry.place, entry.size)
            if not self._extents.taken and self._disk:
                self._disk.empty()

    def put(self, entry: Entry) -> int:
        """Add an entry at the end; return its number, the last of them for a mark."""
        number = self.next
        self._entries[number] = entry
        if entry.place == IN_MEMORY:
            self.in_memory += entry.size
        if self.may_drop(entry):
            self._droppable.append(number)
        self.next += entry.numbers
        return self.next - 1

    def drop(self) -> bool:
        """Replace the oldest member that may be dropped and is not on the wire yet by a mark; False where there is none."""
        while self._droppable:
            number = self._droppable.popleft()
            if number >= self.on_wire and number in self._entries:
                self._let_go(self._entries[number])
                self._entries[number] = _mark(1)
                self._mark_dropped(number)
                return True
        return False

    def may_drop(self, entry: Entry) -> bool:
        return self._drops and entry.is_droppable

    def drop_newest(self) -> int:
        """Mark a member that found no room as dropped; return its number."""
        number = self.put(_mark(1))
        self._mark_dropped(number)
        return number

    def goes_on_from(self, number: int) -> bool:
        """Say whether sending can go on from `number` for a side that may have what is on the wire."""
        is_held = number in self._entries or number == self.next
        return self.oldest <= number <= self.on_wire and is_held

    def get(self, number: int) -> Entry | None:
        return self._entries.get(number)

    def content(self, entry: Entry) -> Sequence[memoryview]:
        """Return the content of an entry, from disk where it is there."""
        if entry.place == IN_MEMORY:
            return entry.parts
        assert self._disk is not None
        try:
            return [self._disk.read(entry.place, entry.size)]
        except OSError as error:
            raise CannotWrite(f"the spool cannot be read back: {error.strerror or error}", "look at its disk") from None

    def forget(self, safe: int) -> None:
        """Let go of the members below number `safe`."""
        while self._entries:
            number, entry = next(iter(self._entries.items()))
            if number + entry.numbers > safe:
                return
            del self._entries[number]
            self.marked -= entry.dropped
            self._let_go(entry)

    def close(self) -> None:
        self._entries.clear()
        self.marked = 0
        if self._disk:
            self._disk.close()

    def _let_go(self, entry: Entry) -> None:
        if entry.place == IN_MEMORY:
            self.in_memory -= entry.size
        else:
            self.give_back(entry)

    def _mark_dropped(self, number: int) -> None:
        self._join(number)
        self.dropped += 1
        self.marked += 1

    def _join(self, number: int) -> None:
        """Make one of a new mark and the one before it, where that is not on the wire yet."""
        before = self._mark
        mark = self._entries.get(before) if before is not None else None
        if before is None or mark is None or before < self.on_wire or before + mark.dropped != number:
            self._mark = number
            return
        mark.dropped += self._entries.pop(number).dropped


def lasting(memory: int, disk: int, folder: Path | None = None, when_full: WhenFull = "block") -> Spool:
    """Return a spool whose disk is in `folder`, by default in this user's own."""
    place = folder or private.lasting_folder().parent / "spool" / "links"
    return Spool(memory, disk, place if disk else None, when_full)


def entry_of(name: str, parts: Sequence[memoryview], modified: float, is_droppable: bool) -> Entry:
    return Entry(name, parts, sum(len(part) for part in parts), modified, is_droppable)


def _mark(count: int) -> Entry:
    return Entry(protocol.DROPPED, (), 0, 0.0, False, dropped=count)
