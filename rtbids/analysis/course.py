"""What a region did so far, with drift, motion and the like taken out of all of it by the fit of now.

Two values that were cleaned by different fits, or about different means, may not be compared: their difference would have drift
in it. So what a region did is kept as it was measured, beside its regressors, and cleaned when it is asked for. Nothing here
looks ahead: the fit of now knows the volumes up to now.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rtbids.analysis.blocks import summed

Array = NDArray[np.float64]
NONE: Array = np.zeros(0)


@dataclass(frozen=True)
class Clean:
    """One volume of a region from which nuisance is to be taken.

    Attributes
    ----------
    voxels
        Without nuisance (n,); None where that cannot be said yet.
    before
        The same with it.
    number
        The region's number, with it; NaN where there is none.
    regressors
        Of nuisance in this volume (q,).
    betas
        Theirs in the region's number by the fit of now (q,); NaN where that cannot be said yet.
    explained
        Returns what a difference of regressors (q,) explains of each voxel (n,) by the fit of now.
    """

    voxels: Array | None
    before: Array
    number: float
    regressors: Array
    betas: Array
    explained: Callable[[Array], Array]


class Course:
    """A number a volume, and how nuisance has part in it."""

    def __init__(self) -> None:
        self._indices, self._numbers = _Growing(np.zeros(0, np.intp)), _Growing(np.zeros(0))
        self._regressors, self._known = _Growing(np.zeros((0, 0))), _Growing(np.zeros(0, np.bool_))
        self._betas = NONE

    def add(self, index: int, number: float, regressors: Array = NONE, betas: Array = NONE) -> None:
        """Take what came of volume `index`; NaN where nothing did. A volume without regressors has part in nothing."""
        width = self._regressors.rows.shape[1]
        if regressors.size and not width:
            self._regressors = _Growing(np.full((len(self), regressors.size), np.nan))
            self._known.rows[:] = False
        elif width and not regressors.size:
            regressors, betas = np.full(width, np.nan), self._betas
        self._indices.append(index)
        self._numbers.append(number)
        self._known.append(np.isfinite(number) and bool(np.isfinite(regressors).all()))
        self._regressors.append(regressors)
        self._betas = betas

    def __len__(self) -> int:
        return len(self._numbers.rows)

    @property
    def indices(self) -> NDArray[np.intp]:
        """Of the volumes that came (n,)."""
        return self._indices.rows

    @property
    def cleaned(self) -> bool:
        """Whether there is something to take out."""
        return bool(self._betas.size)

    @property
    def numbers(self) -> Array:
        """The number of each volume (n,) about the mean so far; NaN where there is none, or nothing can be said yet."""
        numbers: Array = self._numbers.rows
        if not self.cleaned:
            return numbers
        regressors = self._regressors.rows
        known = self._known.rows
        centre = regressors[known].mean(axis=0) if known.any() else regressors[-1]
        clean: Array = numbers - summed(regressors - centre, self._betas)
        return clean

    def change(self, inside: NDArray[np.bool_]) -> float | None:
        """Return how far the newest number is above the mean of those `inside`, in percent of that mean; None without both.

        ``100 (y - m - (x - c) β) / m``, m and c the means of numbers and regressors over the volumes `inside`: the baseline.
        """
        baseline = inside & self._known.rows
        if not baseline.any():
            return None
        level = float(np.mean(self._numbers.rows[baseline]))
        rise = float(self._numbers.rows[-1]) - level
        if self.cleaned:
            regressors = self._regressors.rows
            rise -= float(summed(regressors[-1] - regressors[baseline].mean(axis=0), self._betas))
        return 100.0 * rise / level if level and np.isfinite(rise) else None


class _Growing:
    """Rows that are appended one by one, and read as one array without a copy."""

    def __init__(self, rows: NDArray[Any]) -> None:
        self._kept, self._count = rows, len(rows)

    def append(self, row: float | Array) -> None:
        if self._count == len(self._kept):
            self._kept = np.concatenate([self._kept, np.empty((max(64, self._count), *self._kept.shape[1:]), self._kept.dtype)])
        self._kept[self._count] = row
        self._count += 1

    @property
    def rows(self) -> NDArray[Any]:
        return self._kept[: self._count]
