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

    def took(self, seconds: float) -> None:
        self._latest.append(seconds)

    @property
    def usual(self) -> float | None:
        """Seconds, None as long as too little is known."""
        return median(self._latest) if len(self._latest) >= ENOUGH else None

    def misses(self, due: float | None, begins: float) -> bool:
        """Say whether the answer to a volume that the script begins with at `begins` is expected after `due`."""
        return due is not None and self.usual is not None and begins + self.usual > due
