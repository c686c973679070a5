"""Regions without nuisance and spikes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rtbids.analysis.course import NONE, Clean
from rtbids.analysis.despike import SpikeFilter
from rtbids.analysis.nuisance import Nuisance

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Part:
    """A region that is cleaned: how many voxels it has, and what makes its number of them."""

    voxels: int
    number: Callable[[NDArray[Any]], float]


class Cleaning:
    """Takes nuisance out of every voxel of some regions and out of their numbers, then spikes out of the numbers.

    A spike is taken out of all voxels alike, so that mean, median and weighted mean agree on it.

    Parameters
    ----------
    regions
        By name.
    columns, removed, sizes
        Columns of the design, those among them that are taken out, and how large these usually are; none where nothing is.
    """

    def __init__(
        self,
        regions: Mapping[str, Part],
        columns: Sequence[str],
        removed: Sequence[str],
        sizes: Mapping[str, float] | None = None,
        *,
        despike: bool,
    ) -> None:
        self._regions = regions
        ends = np.cumsum([0, *(part.voxels for part in regions.values())]).tolist()
        self._places = {name: slice(*ends[n : n + 2]) for n, name in enumerate(regions)}
        # The numbers of the regions are series of the same fit, behind the voxels.
        self._numbers = {name: slice(ends[-1] + n, ends[-1] + n + 1) for n, name in enumerate(regions)}
        self._nuisance = Nuisance(columns, removed, ends[-1] + len(regions), sizes) if removed and regions else None
        self._filters = {name: SpikeFilter() for name in regions} if despike else {}

    @property
    def undefined(self) -> str | None:
        """Why there is no clean signal yet, None where there is."""
        return self._nuisance.glm.undefined if self._nuisance else None

    def add(self, row: Array, values: Mapping[str, NDArray[Any]]) -> Mapping[str, Clean]:
        """Take a volume, its row of the design and each region's voxels; return them clean."""
        numbers = {name: part.number(values[name]) for name, part in self._regions.items()}
        if self._nuisance is None:
            return {name: self._without_spike(name, _as_it_is(values[name], number)) for name, number in numbers.items()}
        clean = self._nuisance.add(row, np.concatenate([*(values[name] for name in self._regions), [*numbers.values()]]))
        return {name: self._cleaned(name, row, values[name], number, clean) for name, number in numbers.items()}

    def _cleaned(self, name: str, row: Array, before: NDArray[Any], number: float, clean: Array) -> Clean:
        assert self._nuisance is not None
        voxels, series = clean[self._places[name]], self._numbers[name]
        found = Clean(
            voxels if np.isfinite(clean[series]).all() else None,
            before.astype(np.float64),
            number,
            self._nuisance.regressors(row),
            self._nuisance.betas(series)[:, 0],
            partial(self._nuisance.explained, series=self._places[name]),
        )
        return self._without_spike(name, found, float(clean[series][0]))

    def _without_spike(self, name: str, clean: Clean, number: float | None = None) -> Clean:
        number = clean.number if number is None else number
        if clean.voxels is None or name not in self._filters:
            return clean
        spike = self._filters[name].add(number) - number
        return replace(clean, voxels=clean.voxels + spike, before=clean.before + spike, number=clean.number + spike)


def _as_it_is(values: NDArray[Any], number: float) -> Clean:
    voxels = values if np.isfinite(number) else None
    return Clean(voxels, values, number, NONE, NONE, lambda difference: np.zeros(values.shape))
