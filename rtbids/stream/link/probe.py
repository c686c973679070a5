"""How fast a connection is: a few blocks of noise at its beginning, each answered by the other side."""

from __future__ import annotations

import os
from collections.abc import Callable

SIZE = 64 << 10  # bytes of a block: 26 ms at 20 Mbit/s
BLOCKS = 4  # at the most, of which the fastest counts: what else the machines do only slows them
SLOW = 2e6  # bytes/s; a connection that took two blocks so slowly is measured well enough; one may have met a busy machine
DURATION = 1.0  # seconds after which no more are sent
NOISE = memoryview(os.urandom(SIZE))  # which nothing on the way can compress


class Probe:
    """The blocks of one connection. `now` gives seconds."""

    def __init__(self, now: Callable[[], float], blocks: int = BLOCKS) -> None:
        self._now = now
        self._begun = now()
        self._left = blocks
        self._slow = 0
        self._sent: float | None = None
        self.throughput: float | None = None  # bytes/s

    @property
    def is_due(self) -> bool:
        """Whether a block is to be sent now."""
        return self._left > 0 and self._sent is None

    def sent(self) -> None:
        """Note that a block is on its way."""
        self._sent = self._now()
        self._left -= 1

    def answered(self, round_trip: float) -> None:
        """Count a block that the other side has; `round_trip` is what the way there and back takes by itself."""
        if self._sent is None:
            return
        now = self._now()
        took = now - self._sent
        self._sent = None
        throughput = SIZE / max(took - min(round_trip, took / 2), 1e-6)
        self._slow += throughput < SLOW
        self.throughput = max(self.throughput or 0.0, throughput)
        if self._slow == 2 or now - self._begun > DURATION:
            self._left = 0

    @property
    def is_over(self) -> bool:
        return self._left == 0 and self._sent is None
