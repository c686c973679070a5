"""Volumes leave in order of their index; one that does not come is waited for a while and then given up.

Pure: time comes in as `now`. Nothing here knows what a volume is.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Generic, TypeVar

T = TypeVar("T")
LATE = "came too late and is kept out"
MOST_HELD = 256  # volumes held for one that is missing, however fast they come: a bound on memory


@dataclass
class Order(Generic[T]):
    """The places of one run.

    `patience` is how long (s) a volume is held for those before it; `due` the next place; `missing` the places given up.
    """

    patience: float
    due: int = 0
    count: int = 0
    missing: list[int] = field(default_factory=list)
    _held: dict[int, tuple[float, T]] = field(default_factory=dict)
    _refused: set[int] = field(default_factory=set)

    @property
    def wake(self) -> float | None:
        """When `tick` has something to give up; None while nothing is held."""
        return min(arrived for arrived, _ in self._held.values()) + self.patience if self._held else None

    @property
    def held(self) -> list[T]:
        """What waits for those before it."""
        return [item for _, item in self._held.values()]

    def place_taken(self, index: int) -> str | None:
        """Say why a volume at `index` comes in vain; None where its place is free."""
        if index < 0:
            return "has no place in the run"
        if index in self._refused or index in self.missing:
            return LATE
        if index < self.due or index in self._held:
            return "came a second time and is kept out"
        return None

    def add(self, index: int, item: T, now: float) -> list[T]:
        """Take an item whose place is free; return what may leave."""
        self._held[index] = now, item
        return self._drain()

    def refuse(self, index: int) -> list[T]:
        """Leave the place empty without waiting for it; return what may leave."""
        if self.place_taken(index) is None:
            self._refused.add(index)
        return self._drain()

    def tick(self, now: float) -> tuple[list[int], list[T]]:
        """Return the places given up at `now`, and what may leave for it."""
        lost: list[int] = []
        leaving: list[T] = []
        while self._held and ((self.wake is not None and now >= self.wake) or len(self._held) > MOST_HELD):
            given, left = self.give_up()
            lost += given
            leaving += left
        return lost, leaving

    def finish(self) -> tuple[list[int], list[T]]:
        """Give up every place before the last item; return those places, and the items."""
        lost: list[int] = []
        leaving: list[T] = []
        while self._held or self._refused:
            given, left = self.give_up()
            lost += given
            leaving += left
        return lost, leaving

    def give_up(self) -> tuple[list[int], list[T]]:
        """Give up the places before the first one that is held or refused; return those places, and what may leave."""
        first = min((*self._held, *self._refused))
        lost = list(range(self.due, first))
        self.missing += lost
        self.due = first
        return lost, self._drain()

    def _drain(self) -> list[T]:
        leaving = []
        while self.due in self._held or self.due in self._refused:
            if self.due in self._held:
                leaving.append(self._held.pop(self.due)[1])
                self.count += 1
            else:
                self._refused.remove(self.due)
                self.missing.append(self.due)
            self.due += 1
        return leaving
