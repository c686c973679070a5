"""Volumes that are here before their turn: they wait for one before them, their feedback does not."""

from __future__ import annotations

import queue
from collections.abc import Iterator
from typing import TypeAlias

from rtbids.volume import Entities
from rtbids.wakeup import Wakeup

Early: TypeAlias = tuple[Entities, int, float]  # of a run, the index of a volume, and when that was received (POSIX seconds)


class Ahead:
    """Told of by the thread that takes volumes in, heard of by the loop, which may wait for `fileno`."""

    def __init__(self) -> None:
        self._early: queue.SimpleQueue[Early] = queue.SimpleQueue()
        self._told = Wakeup()

    def fileno(self) -> int:
        return self._told.fileno()

    def tell(self, entities: Entities, index: int, received: float) -> None:
        self._early.put((entities, index, received))
        self._told.set()

    def heard(self) -> Iterator[Early]:
        """Give what has been told since."""
        self._told.clear()
        while not self._early.empty():
            yield self._early.get()
