"""The latest of what an experiment sent, and how long it took: so much and no more, however long the run."""

from __future__ import annotations

import math
from bisect import bisect_left, insort
from collections import deque
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from rtbids.run.deadlines import Line, Value

SHOWN = 120  # lines, and displacements
LOOKED_AT = 1000  # latencies
Why: TypeAlias = Literal["deadline", "error", "missing", "link", "paused"]


@dataclass(frozen=True)
class Shown:
    """A line as it is shown: a value of six digits, None where it is no number; the latency in seconds; ok without a reason.

    `received`: of its volume, POSIX seconds.
    """

    volume: int
    value: float | None
    reason: Why | None
    latency: float | None
    is_due: bool
    received: float | None = None

    @property
    def missed(self) -> bool:
        """Whether it had a due time and no answer by then."""
        return self.is_due and self.reason == "deadline"

    def was_held_up(self, up_since: float) -> bool:
        """Whether it had no answer by its due time over a connection that was there, from then on, all the time."""
        return self.is_due and self.reason == "link" and self.received is not None and self.received > up_since


class Spread:
    """The latest numbers, and how they are spread.

    Examples
    --------
    >>> spread = Spread()
    >>> for number in (3.0, 1.0, 2.0, 9.0):
    ...     spread.add(number)
    >>> spread.at(0.5), spread.at(0.99)
    (2.0, 9.0)
    """

    def __init__(self, most: int = LOOKED_AT) -> None:
        self._latest: deque[float] = deque()
        self._in_order: list[float] = []
        self._most = most

    def add(self, number: float) -> None:
        self._latest.append(number)
        insort(self._in_order, number)
        if len(self._latest) > self._most:
            del self._in_order[bisect_left(self._in_order, self._latest.popleft())]

    def at(self, share: float) -> float | None:
        """Return the least number that `share` of them do not exceed, None where there is none."""
        numbers = list(self._in_order)  # another thread may ask
        return numbers[max(0, math.ceil(share * len(numbers)) - 1)] if numbers else None

    def clear(self) -> None:
        self._latest.clear()
        self._in_order.clear()


class Recent:
    """The latest lines of a run, how far the head moved, and how long the lines took."""

    def __init__(self) -> None:
        self.lines: deque[Shown] = deque(maxlen=SHOWN)
        self.displacements: deque[float | None] = deque(maxlen=SHOWN)
        self.latencies = Spread()

    def moved(self, displacement: float | None) -> None:
        """Take how far the head moved at a volume, mm."""
        self.displacements.append(_short(displacement))

    def sent(self, line: Line, reason: Why | None) -> None:
        """Take a line that is no late one."""
        latency = None if line.received is None else round(line.sent - line.received, 4)
        self.lines.append(Shown(line.volume, _short(line.value), reason, latency, line.due is not None, line.received))
        if latency is not None:
            self.latencies.add(latency)

    def missed(self, latest: int) -> tuple[int, int]:
        """Return how many of the latest lines missed their due time, and of how many that had one."""
        lines = [line for line in list(self.lines)[-latest:] if line.is_due]
        return sum(line.missed for line in lines), len(lines)

    def held_up(self, latest: int, up_since: float) -> int:
        """Return how many of the latest lines missed their due time as the connection, up since then, was too slow."""
        return sum(line.was_held_up(up_since) for line in list(self.lines)[-latest:])

    def clear(self) -> None:
        self.lines.clear()
        self.displacements.clear()
        self.latencies.clear()

    @property
    def as_json(self) -> dict[str, Any]:
        """The lines as columns: a reply is made in the run's loop, and so it takes a third of the time."""
        lines = list(self.lines)
        return {
            "volume": [line.volume for line in lines],
            "value": [line.value for line in lines],
            "reason": [line.reason for line in lines],
            "latency": [line.latency for line in lines],
        }

    @property
    def latencies_as_json(self) -> dict[str, float | None]:
        return {"median": self.latencies.at(0.5), "p99": self.latencies.at(0.99), "worst": self.latencies.at(1.0)}


def _short(value: Value) -> float | None:
    """Return a number in six digits: what is shown needs no more, and a reply is made of many."""
    return float(f"{value:.6g}") if isinstance(value, int | float) else None
