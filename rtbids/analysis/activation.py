"""Current activation: what a region does beyond nuisance, in units of its noise (Hinds et al., NeuroImage 54 (2011) 361)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rtbids.analysis.blocks import summed
from rtbids.analysis.gaps import LastKnown
from rtbids.analysis.glm import Glm
from rtbids.errors import BadData

Array = NDArray[np.float64]


class Activation:
    """A voxel's signal less its nuisance part, over the root mean square of its residuals; a region's is the weighted mean.

    ``a_v = (y - Σ β_j x_j) / sqrt(rss / t)`` over the nuisance columns j (the constant among them), t the volumes so far;
    voxels have the weight ``t / rss``. A voxel that is no number has no part while it is none, one that is explained without
    rest never.

    Parameters
    ----------
    columns
        Those of the design.
    nuisance
        Those among them that are taken out: give the constant too.
    voxels
        How many the region has.
    freeze_after
        Volumes after which the estimate of the noise stays as it is; None to go on.
    """

    def __init__(self, columns: Sequence[str], nuisance: Sequence[str], voxels: int, freeze_after: int | None = None) -> None:
        if freeze_after is not None and freeze_after < 1:
            raise BadData(f"freeze_after: expected 1 volume or more, found {freeze_after}")
        self._glm, self._gaps = Glm(columns, voxels), LastKnown(voxels)
        self._nuisance = tuple(nuisance)
        self._freeze_after = freeze_after
        self._mean_square: Array | None = None

    def add(self, row: Array, values: NDArray[Any]) -> float | None:
        """Take a volume: its row of the design and its voxels (V,). Return the region's activation; None while undefined."""
        if not self._glm.add(row, self._gaps.fill(values)) or self._glm.undefined:
            return None
        noise = self._noise()
        above = values - self._glm.explained(row, self._nuisance)
        good = np.isfinite(above) & (noise > 0)
        if not good.any():
            return None
        weights = 1 / noise[good]
        return float(summed(weights, above[good] / np.sqrt(noise[good])) / weights.sum())

    def _noise(self) -> Array:
        """Return the mean squared residual of each voxel, 0 where it is rounding."""
        if self._mean_square is None or self._freeze_after is None or self._glm.count <= self._freeze_after:
            self._mean_square = self._glm.residual_mean_squares
        return self._mean_square
