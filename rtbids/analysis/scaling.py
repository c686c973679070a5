"""The scale of 0 to 1 on which OpenNFT's feedback stands."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

TAIL = 0.05  # of the values at either end
FROM = 20  # volumes: before, the limits are the least and the greatest value


class DynamicScaling:
    """Scales a signal to 0..1 by limits that follow it (Koush et al., NeuroImage 156 (2017) 489).

    The limits are the least and greatest value so far; from 20 values on, the medians of the 5 % least and 5 % greatest. A
    value is scaled by the limits at its own time, itself included, and stays so. Values beyond the limits leave 0..1.

    Attributes
    ----------
    scaled
        The values so far; NaN for one that is no number, and while all were the same.
    """

    def __init__(self) -> None:
        self.scaled: list[float] = []
        self._seen: list[float] = []

    def add(self, value: float) -> float:
        """Take the next value; return it scaled."""
        self.scaled.append(self._scaled(value))
        return self.scaled[-1]

    def _scaled(self, value: float) -> float:
        if not math.isfinite(value):
            return math.nan
        self._seen.append(value)
        low, high = limits(self._seen)
        return (value - low) / (high - low) if high > low else math.nan

    def change(self, baseline: NDArray[np.bool_]) -> float | None:
        """Return 100 times the newest value less the median of those of the baseline; None before there are both."""
        scaled = np.array(self.scaled)
        before = scaled[baseline & np.isfinite(scaled)]
        if not before.size or not np.isfinite(scaled[-1]):
            return None
        return 100.0 * float(scaled[-1] - np.median(before))


def limits(values: Sequence[float]) -> tuple[float, float]:
    """Return the lower and upper limit of a scale for these values."""
    ordered = sorted(values)
    if len(ordered) < FROM:
        return ordered[0], ordered[-1]
    tail = int(TAIL * len(ordered))
    return float(np.median(ordered[:tail])), float(np.median(ordered[-tail:]))


def median_change(changes: Sequence[float | None]) -> float | None:
    """Return the median of several regions' changes, as OpenNFT combines them; None where one of them is."""
    known = [change for change in changes if change is not None]
    return float(np.median(known)) if known and len(known) == len(changes) else None
