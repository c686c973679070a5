"""The signal of one region, volume by volume."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from rtbids.bids.events import Events
from rtbids.errors import BadData
from rtbids.volume import Volume


class Roi:
    """The mean of a region over the run so far; the latest volume added is the current one.

    Parameters
    ----------
    mask
        (i, j, k), true inside, on the volumes' grid.
    events
        The run's events, for conditions.
    repetition_time
        Seconds; volume n was acquired from ``n * repetition_time`` on.
    """

    def __init__(self, mask: NDArray[np.bool_], events: Events, repetition_time: float) -> None:
        self._voxels = np.flatnonzero(mask.ravel(order="F"))
        self._events = events
        self._repetition_time = repetition_time
        self._indices: list[int] = []
        self._means: list[float] = []

    def add(self, volume: Volume) -> None:
        """Take the next volume."""
        values = volume.data.ravel(order="F")[self._voxels]
        self._means.append(float(values.mean(dtype=np.float64)) * volume.slope + volume.inter)
        self._indices.append(volume.index)

    def mean(self) -> float:
        """Return the region's mean in the current volume, in the scanner's units."""
        self._require_volume()
        return self._means[-1]

    def series(self) -> NDArray[np.float64]:
        """Return the mean of every volume so far, by index; NaN where a volume never came."""
        filled = np.full(self._indices[-1] + 1 if self._indices else 0, np.nan)
        filled[self._indices] = self._means
        return filled

    def percent_signal_change(self, baseline: str = "rest") -> float | None:
        """Return ``100 (y - m) / m``: y the current mean, m that of the volumes of `baseline` so far.

        `baseline` is a ``trial_type``; ``rest``, where no event has that name, is every volume that no event covers. None
        before the first volume of the baseline, and where its mean is 0.
        """
        self._require_volume()
        self._require_condition(baseline)
        times = np.array(self._indices) * self._repetition_time
        inside = self._events.covers(baseline, times)
        if not inside.any():
            return None
        level = float(np.mean(np.array(self._means)[inside]))
        return None if level == 0 else 100.0 * (self._means[-1] - level) / level

    def _require_volume(self) -> None:
        if not self._means:
            raise BadData("this region has seen no volume yet")

    def _require_condition(self, condition: str) -> None:
        known = self._events.conditions
        if condition not in known and condition != "rest":
            raise BadData(f"no event has the trial_type {condition!r}; there are: {', '.join(known) or 'none'}")
