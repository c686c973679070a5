"""Spikes out of a signal as it comes: the Kalman filter of Koush et al., NeuroImage 59 (2012) 478."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

PROCESS = 0.25  # of the signal's variance so far: how far the true signal may move from one volume to the next
THRESHOLD = 0.9  # of its standard deviation: what is farther from the prediction is a spike, or the start of a step
FIRST = 10  # values before the filter begins
OUTLIER = 3 * 1.4826  # times the median deviation: three standard deviations


class Despiker:
    """One signal's filter. A single spike is dropped; a step is followed from its second value on.

    For a signal about 0, as a residual or a percent signal change is: the filter starts at 0. The standard deviation is that of
    all values so far, the newest included, so that a spike among the first few may pass damped.

    What comes out is behind what goes in by about a volume, and flatter: see `SpikeFilter`.

    Parameters
    ----------
    seen
        Values before the first.
    """

    def __init__(self, seen: Sequence[float] = ()) -> None:
        self._seen = list(seen)
        self._state = 0.0
        self._variance = 0.0
        self._dropped = {False: False, True: False}  # whether the last spike below, above the prediction was dropped

    def add(self, value: float) -> float:
        """Take the next value; return the filtered one. A value that is no number has no part in the filter."""
        if not math.isfinite(value):
            return self._state
        self._seen.append(value)
        deviation = float(np.std(self._seen))
        if deviation == 0:
            return self._state
        predicted = self._variance + PROCESS * deviation**2
        gain = predicted / (predicted + deviation**2)
        step = gain * (value - self._state)
        if self._is_dropped(step, THRESHOLD * deviation):
            self._variance = predicted
        else:
            self._state += step
            self._variance = (1 - gain) * predicted
        return self._state

    def _is_dropped(self, step: float, threshold: float) -> bool:
        """Drop the first of a run of spikes to one side, and take the second."""
        if abs(step) < threshold:
            self._dropped = {False: False, True: False}
            return False
        above = step > 0
        self._dropped[above] = not self._dropped[above]
        return self._dropped[above]


class SpikeFilter:
    """The same filter for a signal of any height, which begins when it is known how much the signal varies.

    The first `FIRST` values pass as they are. Then the filter begins at their median, and knows of them those that are not
    outliers: the first volumes may be brighter than all others, and would make every spike look small.

    It smooths: it follows a response about a volume late and 0.8 times as high, and a lasting step within some six volumes.
    """

    def __init__(self) -> None:
        self._first: list[float] = []
        self._level = math.nan
        self._filter: Despiker | None = None

    def add(self, value: float) -> float:
        """Take the next value; return the filtered one. A value that is no number has no part in the filter."""
        if self._filter is not None:
            return self._level + self._filter.add(value - self._level)
        if math.isfinite(value):
            self._first.append(value)
        if len(self._first) == FIRST:
            self._begin()
        return value

    def _begin(self) -> None:
        self._level = float(np.median(self._first))
        deviations = np.array(self._first) - self._level
        usual = np.abs(deviations) <= OUTLIER * np.median(np.abs(deviations))
        self._filter = Despiker(deviations[usual].tolist())
