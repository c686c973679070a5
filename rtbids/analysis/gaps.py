"""Voxels that are no number for a while: the head has moved them out of the field of view."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


class LastKnown:
    """Fills what is no number with the voxel's last number, so that one bad volume does not cost a fit the voxel for good.

    Parameters
    ----------
    voxels
        How many. One that begins as no number stays none until it has one.
    """

    def __init__(self, voxels: int) -> None:
        self._last = np.full(voxels, np.nan)

    def fill(self, values: NDArray[Any]) -> Array:
        """Return the values (V,) without gaps."""
        self._last = np.where(np.isfinite(values), values, self._last)
        return self._last
