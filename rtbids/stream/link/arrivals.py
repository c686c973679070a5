"""Members that have come and wait for the application: in order, each once, not too many."""

from __future__ import annotations

from collections import deque

from rtbids.stream.link.state import Arrived
from rtbids.stream.wire import Member


class Arrivals:
    """At most `most` members of `size` bytes together; one may always wait. Nothing here waits or locks."""

    def __init__(self, size: int, most: int, taken: int = 0) -> None:
        self._size = size
        self._most = most
        self._waiting: deque[Arrived] = deque()
        self._bytes = 0
        self.taken = taken  # members of the other side that have come
        self.given = taken  # of which the application has these

    def __len__(self) -> int:
        return len(self._waiting)

    def has_room(self, size: int) -> bool:
        return not self._waiting or (self._bytes + size <= self._size and len(self._waiting) < self._most)

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
        self.given = arrived.number + 1
        return arrived
