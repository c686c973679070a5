"""What is not of interest taken out of a signal: drift, motion, and what white matter, ventricles or the whole brain do.

The residual is *causal*: that of the newest volume, in the least-squares fit of all volumes up to it and none after it. A value
that was handed out is never revised, though the fit behind it knew less than a later one. So the values of a run differ from
the residuals of one fit over the finished run, and those of the first volumes are the same however long the run goes on.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rtbids.analysis.gaps import LastKnown
from rtbids.analysis.glm import Glm

Array = NDArray[np.float64]


class Nuisance:
    """Takes the part of nuisance regressors out of some series (regions or voxels), volume by volume.

    ``y - Σ β_j (x_j - m_j)`` over the nuisance columns j, with m_j the mean of the regressor so far: the level of the signal
    stays, so that percent signal change keeps its meaning. Columns of the task, where the design has them, are fitted along and
    not taken out; without them what the task shares with motion or drift is taken out too.

    Parameters
    ----------
    columns
        Those of the design (``Design.columns``).
    removed
        Those among them to take out (``Design.nuisance``).
    series
        How many signals.
    """

    def __init__(self, columns: Sequence[str], removed: Sequence[str], series: int) -> None:
        unknown = set(removed) - set(columns)
        if unknown:
            raise ValueError(f"not among the columns: {', '.join(sorted(unknown))}")
        self.glm = Glm(columns, series)
        self._removed = tuple(removed)
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
