"""How much may be on its way: a sender keeps within the inbox of the other side, whose reader then never has to wait.

A reader that waited for its application would leave the receipts unread that stand behind the members on the wire; where both
sides' senders wait for such receipts, neither goes on.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

_SHARE = 4  # an application that took less than this part of its inbox is told of with the next receipt


@dataclass(frozen=True)
class Inbox:
    """Room for members that wait for an application, as its side tells of it in a hello.

    `given`: number of the member that the application takes next; `waiting`: bytes that wait from there on.
    """

    size: int = 64 << 20
    most: int = 1024
    given: int = 0
    waiting: int = 0

    def holds(self, members: int, waiting: int, size: int) -> bool:
        """Say whether `size` bytes more go in; one that is larger than all does where no more waits than may be untold."""
        return members < max(1, self.most) and (waiting + size <= self.size or _SHARE * waiting <= self.size)

    def is_worth_telling(self, members: int, size: int) -> bool:
        """Say whether so much was taken out that the other side is to know."""
        return members >= max(1, self.most // _SHARE) or _SHARE * size > self.size


class Window:
    """What the other side's application was not given yet, as far as it is known here; `taken` members have come there."""

    def __init__(self, inbox: Inbox, taken: int) -> None:
        self._inbox = inbox
        self._bytes = self._members = 0
        self._under_way: deque[tuple[int, int, int]] = deque()  # (number of the next, members, bytes)
        if taken > inbox.given:
            self._add(taken, taken - inbox.given, inbox.waiting)

    def has_room(self, size: int) -> bool:
        return self._inbox.holds(self._members, self._bytes, size)

    def put(self, following: int, size: int) -> None:
        """Count a member of `size` bytes that is sent; `following` is the number of the next."""
        self._add(following, 1, size)

    def give(self, given: int) -> None:
        """Count out the members below number `given`."""
        while self._under_way and self._under_way[0][0] <= given:
            _, members, size = self._under_way.popleft()
            self._members -= members
            self._bytes -= size

    def _add(self, following: int, members: int, size: int) -> None:
        self._under_way.append((following, members, size))
        self._members += members
        self._bytes += size
