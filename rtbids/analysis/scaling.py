"""The scale of 0 to 1 on which OpenNFT's feedback stands."""

from __future__ import annotations

import math
from bisect import insort
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
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
        self._ordered: list[float] = []

    def add(self, value: float) -> float:
        """Take the next value; return it scaled."""
        self.scaled.append(self._scaled(value))
        return self.scaled[-1]

    def _scaled(self, value: float) -> float:
        if not math.isfinite(value):
            return math.nan
        insort(self._ordered, value)
        low, high = _limits(self._ordered)
        return (value - low) / (high - low) if high > low else math.nan

    def change(self, baseline: NDArray[np.bool_]) -> float | None:
        """Return 100 times the newest value less the median of those of the baseline; None before there are both."""
        scaled = np.array(self.scaled)
        before = scaled[baseline & np.isfinite(scaled)]
        if not before.size or not np.isfinite(scaled[-1]):
            return None
        return 100.0 * float(scaled[-1] - np.median(before))


def scaled_change(values: Array, baseline: NDArray[np.bool_]) -> float | None:
    """Return 100 times the newest value less the median of those of the baseline, on the scale of all of them.

    For values that change with every volume. None before there are both, and while all are the same.
    """
    known = np.isfinite(values)
    before = values[baseline & known]
    if not before.size or not known[-1]:
        return None
    low, high = limits(values[known])
    return 100.0 * float(values[-1] - np.median(before)) / (high - low) if high > low else None


def limits(values: Sequence[float] | Array) -> tuple[float, float]:
    """Return the lower and upper limit of a scale for these values."""
    return _limits(np.sort(np.asarray(values, np.float64)))


def _limits(ordered: Sequence[float] | Array) -> tuple[float, float]:
    if len(ordered) < FROM:
        return float(ordered[0]), float(ordered[-1])
    tail = int(TAIL * len(ordered))
    return float(np.median(ordered[:tail])), float(np.median(ordered[-tail:]))
