"""What is not of interest taken out of a signal: drift, motion, and what white matter, ventricles or the whole brain do.

The residual is *causal*: that of the newest volume, in the fit of all volumes up to it and none after it. So the values of a
run differ from the residuals of one fit over the finished run, and those of the first volumes are the same however long the run
goes on.

Each residual stands about the mean of the regressors up to its own volume: two of them may not be held against each other, for
the drift between the means is still in them. What compares volumes (`rtbids.analysis.course`) cleans all of them by one fit.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rtbids.analysis.gaps import LastKnown
from rtbids.analysis.glm import ALL, Glm

Array = NDArray[np.float64]
FARTHEST = 12.0  # times as far as noise: what nuisance of its usual size may do to a signal


class Nuisance:
    """Takes the part of nuisance regressors out of some series (regions or voxels), volume by volume.

    ``y - Σ β_j (x_j - m_j)`` over the nuisance columns j, with m_j the mean of the regressor so far. Columns of the task, where
    the design has them, are fitted along and not taken out; without them what the task shares with motion or drift is taken out
    too.

    A regressor whose size is known is taken to do no more than about `FARTHEST` times what noise does: among the first volumes,
    where slow drift is all but a straight line, plain least squares has betas that are thousands of times too large. With every
    volume that counts for less (a ridge; Hoerl & Kennard, Technometrics 12 (1970) 55).

    Parameters
    ----------
    columns
        Those of the design (``Design.columns``).
    removed
        Those among them to take out (``Design.nuisance``).
    series
        How many signals.
    sizes
        How large a column usually is (``Design.sizes``); none for plain least squares.
    """

    def __init__(
        self, columns: Sequence[str], removed: Sequence[str], series: int, sizes: Mapping[str, float] | None = None
    ) -> None:
        unknown = set(removed) - set(columns)
        if unknown:
            raise ValueError(f"not among the columns: {', '.join(sorted(unknown))}")
        usual = sizes or {}
        held = np.array([usual.get(name, 0.0) / FARTHEST if name in removed else 0.0 for name in columns])
        self.glm = Glm(columns, series, held)
        self._removed = tuple(removed)
        self._places = np.array([place for place, name in enumerate(columns) if name in self._removed], np.intp)
        self._gaps = LastKnown(series)
        self._sum = np.zeros(len(columns))

    def add(self, row: Array, values: NDArray[Any]) -> Array:
        """Take a volume: its row of the design and its values (series,). Return them without nuisance.

        NaN while there are not more volumes than columns, for a row that is not all numbers, and for a value that is none. In
        the fit such a value counts as the last one before it; a series that begins as no number stays none.
        """
        if not self.glm.add(row, self._gaps.fill(values)):
            return np.full(self.glm.voxels, np.nan)
        self._sum += row
        clean = values - self.glm.explained(row - self._sum / self.glm.count, self._removed)
        return np.where(np.isfinite(clean), clean, np.nan)

    def regressors(self, row: Array) -> Array:
        """Return the regressors that are taken out (q,) of a row of the design."""
        return np.asarray(row[self._places], np.float64)

    def betas(self, series: slice) -> Array:
        """Return their betas in some series (q, n) by the fit of now; 0 where a column is left out, NaN before there is one."""
        betas = self.glm.betas(series)[self._places]
        return betas if self.glm.undefined else np.where(np.isnan(betas), 0.0, betas)

    def explained(self, difference: Array, series: slice = ALL) -> Array:
        """Return what a difference of `regressors` (q,) explains of some series (n,) by the fit of now."""
        row = np.zeros(len(self.glm.columns))
        row[self._places] = difference
        return self.glm.explained(row, self._removed, series)
