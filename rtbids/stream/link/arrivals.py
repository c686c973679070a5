"""Members that have come and wait for the application: in order, each once, not too many."""

from __future__ import annotations

from collections import deque

from rtbids.stream.link.state import Arrived
from rtbids.stream.link.window import Inbox
from rtbids.stream.wire import Member


class Arrivals:
    """At most `most` members of `size` bytes together. Nothing here waits or locks."""

    def __init__(self, size: int, most: int, taken: int = 0) -> None:
        self._bounds = Inbox(size, most)
        self._waiting: deque[Arrived] = deque()
        self._bytes = 0
        self.taken = taken  # members of the other side that have come
        self.given = taken  # of which the application has these
        self._told = taken  # of which the other side knows these
        self._bytes_untold = 0
        self._promised = taken  # what waited at the latest hello: the other side knows it only as a whole

    def __len__(self) -> int:
        return len(self._waiting)

    def inbox(self) -> Inbox:
        """Return what a hello says of the room that there is."""
        self._promised = self.taken
        return Inbox(self._bounds.size, self._bounds.most, self.given, self._bytes)

    def has_room(self, size: int) -> bool:
        return self._bounds.holds(len(self._waiting), self._bytes, size)

    def is_new(self, number: int, count: int) -> bool:
        """Say whether members `number` to `number + count - 1` have not come before."""
        return number + count > self.taken

    def put(self, number: int, member: Member, dropped: int) -> None:
        self.taken = number + (dropped or 1)
        self._waiting.append(Arrived(self.taken - 1, member, dropped))
        self._bytes += len(member.content)

    def pop(self) -> Arrived:
        arrived = self._waiting.popleft()
        self._bytes -= len(arrived.member.content)
        self._bytes_untold += len(arrived.member.content)
        self.given = arrived.number + 1
        return arrived

    @property
    def is_worth_telling(self) -> bool:
        """Whether the other side may wait to hear how far the application is."""
        has_emptied = self._told < self._promised <= self.given
        return has_emptied or self._bounds.is_worth_telling(self.given - self._told, self._bytes_untold)

    def tell(self) -> int:
        """Return what the application has, which the other side is told now."""
        self._told, self._bytes_untold = self.given, 0
        return self.given
