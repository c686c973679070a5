"""How far the other side's clock is from ours, by the times of heartbeats and their echoes."""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass

REMEMBERED = 60  # exchanges; at one a second a clock that drifts by 100 ppm has moved by 6 ms


@dataclass(frozen=True)
class Exchange:
    """One heartbeat and its echo. `offset` is the other's clock minus ours, in seconds."""

    offset: float
    round_trip: float

    @property
    def uncertainty(self) -> float:
        """Seconds that `offset` may be wrong by: the way there may have taken the whole round trip, or nothing of it."""
        return self.round_trip / 2


def exchange(sent: float, came: float, echoed: float, back: float) -> Exchange:
    """Return offset and round trip (RFC 5905, section 8); `came` and `echoed` are by the other's clock."""
    return Exchange(((came - sent) + (echoed - back)) / 2, (back - sent) - (echoed - came))


class Exchanges:
    """The latest exchanges; the one of the least round trip is the truest."""

    def __init__(self) -> None:
        self._latest: deque[Exchange] = deque(maxlen=REMEMBERED)

    def count(self, one: Exchange) -> None:
        """Count an exchange; one that came back before it left tells of a clock that was set meanwhile, and is passed over.

        So is one whose times the other side has made up.
        """
        if math.isfinite(one.offset) and 0 <= one.round_trip < math.inf:
            self._latest.append(one)

    @property
    def best(self) -> Exchange | None:
        return min(self._latest, key=lambda one: one.round_trip, default=None)
