"""What a task is expected to do to a voxel: events convolved with the haemodynamic response."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from scipy.special import gammaln

Array = NDArray[np.float64]
RESOLUTION = 0.1  # seconds between the points of the grid on which events lie
LENGTH = 32.0  # seconds of the response
_ROUNDING = 1e-6  # of a grid step: onsets are decimal text, 0.3 / 0.1 is just below 3


def hrf(times: Array) -> Array:
    """Return SPM's canonical response at `times` (s): ``g6(t) - g16(t) / 6``, gamma densities of scale 1, over 0 to 32 s.

    It is greatest at 5.0 s and least at 15.7 s (spm_hrf with its default parameters, not scaled to a sum).
    """
    return _gamma(times, 6) - _gamma(times, 16) / 6


def _gamma(times: Array, shape: float) -> Array:
    inside = (times > 0) & (times <= LENGTH)
    t = np.where(inside, times, 1.0)
    return np.where(inside, np.exp((shape - 1) * np.log(t) - t - gammaln(shape)), 0.0)


class Response:
    """The response to the events of one condition, which may be added while the run goes on.

    The boxcar of the events lies on a grid of 0.1 s: an event begins at the grid's point at or before its onset and covers its
    duration rounded to points, at least one. An event without duration is an impulse of 1 s × 1, as SPM has it. Events that
    overlap add up.
    """

    def __init__(self) -> None:
        self._firsts, self._ends = np.zeros(0, np.int64), np.zeros(0, np.int64)  # points of the grid
        self._weights = np.zeros(0)

    def add(self, onset: float, duration: float) -> None:
        """Take one more event (s); the order does not matter."""
        first = math.floor(onset / RESOLUTION + _ROUNDING)
        count = max(1, round(duration / RESOLUTION))
        weight = RESOLUTION if duration > 0 else 1.0
        self._firsts, self._ends = np.append(self._firsts, first), np.append(self._ends, first + count)
        self._weights = np.append(self._weights, weight)

    def at(self, time: float) -> float:
        """Return the response at `time` (s); what begins later has no part in it."""
        low, high = math.floor((time - LENGTH) / RESOLUTION), math.ceil(time / RESOLUTION) + 1
        points, weights = [np.zeros(0, np.int64)], [np.zeros(0)]
        for place in np.flatnonzero(
            (self._ends > low) & (self._firsts < high)
        ):  # a long event is not laid out but where it acts
            points.append(np.arange(max(low, self._firsts[place]), min(high, self._ends[place])))
            weights.append(np.full(points[-1].size, self._weights[place]))
        seen, size = np.concatenate(points) * np.float64(RESOLUTION), np.concatenate(weights)
        order = np.argsort(seen, kind="stable")
        return float(np.sum(hrf(time - seen[order]) * size[order]))
