"""Will the next answer be there in time? Told from how long the latest took."""

from __future__ import annotations

from collections import deque
from statistics import median

LOOKED_AT = 9  # answers
ENOUGH = 3  # fewer tell nothing: the first often takes longer than all that follow


class Pace:
    """How long a script takes for a volume: the median of the latest answers, which one slip does not move."""

    def __init__(self) -> None:
        self._latest: deque[float] = deque(maxlen=LOOKED_AT)
        self._is_known_to_be_long = False

    def took(self, seconds: float) -> None:
        self._latest.append(seconds)

    @property
    def usual(self) -> float | None:
        """Seconds, None as long as too little is known."""
        return median(self._latest) if len(self._latest) >= ENOUGH else None

    def misses(self, due: float | None, now: float, busy_since: float | None = None) -> bool:
        """Say whether the answer to a volume that comes `now` is expected after `due`.

        A script that is busy, with the volume before it, begins with it when that has taken the usual time.
        """
        if due is None or self.usual is None:
            return False
        begins = now if busy_since is None else max(now, busy_since + self.usual)
        return begins + self.usual > due

    def is_new_that_it_takes_longer_than(self, seconds: float | None) -> bool:
        """Say, once, whether a volume takes longer than it may."""
        is_long = self.usual is not None and seconds is not None and self.usual > seconds
        is_new, self._is_known_to_be_long = is_long and not self._is_known_to_be_long, is_long or self._is_known_to_be_long
        return is_new
