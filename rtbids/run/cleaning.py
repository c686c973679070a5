"""Regions without nuisance and spikes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rtbids.analysis.despike import Despiker
from rtbids.analysis.nuisance import Nuisance

Array = NDArray[np.float64]


class Cleaning:
    """Takes nuisance out of every voxel of some regions, then spikes out of each region's mean.

    A spike is taken out of all voxels alike, so that mean, median and weighted mean agree on it. The filter works on the
    deviation from the first mean that is known.

    Parameters
    ----------
    sizes
        Voxels of each region, by name.
    columns, removed
        Those of the design, and those among them that are taken out; none where nothing is.
    """

    def __init__(self, sizes: Mapping[str, int], columns: Sequence[str], removed: Sequence[str], *, despike: bool) -> None:
        self._ends = np.cumsum([*sizes.values()])
        self._names = tuple(sizes)
        self._nuisance = Nuisance(columns, removed, int(self._ends[-1])) if removed and sizes else None
        self._filters = {name: Despiker() for name in sizes} if despike else {}
        self._levels: dict[str, float] = {}

    @property
    def undefined(self) -> str | None:
        """Why there is no clean signal yet, None where there is."""
        return self._nuisance.glm.undefined if self._nuisance else None

    def add(self, row: Array, values: Mapping[str, NDArray[Any]]) -> Mapping[str, NDArray[Any] | None]:
        """Take a volume, its row of the design and each region's voxels; return them clean, None where that cannot be said."""
        if self._nuisance is not None:
            together = self._nuisance.add(row, np.concatenate([values[name] for name in self._names]))
            values = dict(zip(self._names, np.split(together, self._ends[:-1]), strict=True))
        return {name: self._without_spike(name, values[name]) for name in self._names}

    def _without_spike(self, name: str, values: NDArray[Any]) -> NDArray[Any] | None:
        known = values[np.isfinite(values)]
        if not known.size:
            return None
        if name not in self._filters:
            return values
        mean = float(known.mean(dtype=np.float64))
        level = self._levels.setdefault(name, mean)
        return np.asarray(values + (level + self._filters[name].add(mean - level) - mean))
