"""What a scanner should never give: voxels that stay as they are, and volumes without a number."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from rtbids.volume import Volume

LONG = 10  # volumes: a brain's voxels never all stay the same for as long


class Lifeless:
    """Notices voxels that were all the same, volume after volume, from the first on."""

    def __init__(self) -> None:
        self._first: NDArray[Any] | None = None
        self._count = 0

    def add(self, values: NDArray[Any]) -> bool:
        """Take the next volume's voxels (n,); True once, when that has gone on for long."""
        if self._count >= LONG:
            return False
        if self._first is None:
            self._first = np.array(values)
        if not np.array_equal(self._first, values, equal_nan=values.dtype.kind == "f"):
            self._count = LONG
            return False
        self._count += 1
        return self._count == LONG


def has_a_number(volume: Volume) -> bool:
    """Say whether a volume has one voxel that is a number."""
    if volume.data.dtype.kind != "f":
        return True
    voxels = volume.data.ravel(order="K")
    return bool(np.isfinite(voxels[::97]).any() or np.isfinite(voxels).any())
