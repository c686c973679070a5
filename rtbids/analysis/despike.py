"""Spikes out of a signal as it comes: the Kalman filter of Koush et al., NeuroImage 59 (2012) 478."""

from __future__ import annotations

import math

import numpy as np

PROCESS = 0.25  # of the signal's variance so far: how far the true signal may move from one volume to the next
THRESHOLD = 0.9  # of its standard deviation: what is farther from the prediction is a spike, or the start of a step


class Despiker:
    """One signal's filter. A single spike is dropped; a step is followed from its second value on.

    For a signal about 0, as a residual or a percent signal change is: the filter starts at 0. The standard deviation is that of
    all values so far, the newest included, so that a spike among the first few may pass damped.
    """

    def __init__(self) -> None:
        self._seen: list[float] = []
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
