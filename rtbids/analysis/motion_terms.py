"""Regressors from the head's pose: 6, 12 or 24 for each volume."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
POSE = ("trans_x", "trans_y", "trans_z", "rot_x", "rot_y", "rot_z")
RADIAN = 1 / 50.0  # what moves the surface of a head by 1 mm
_SUFFIXES = {0: (), 6: ("",), 12: ("", "_derivative1"), 24: ("", "_before", "_power2", "_before_power2")}


class MotionTerms:
    """Turns poses (mm, rad), one a volume, into regressors.

    Parameters
    ----------
    count
        6: the pose itself. 12: and its difference to the volume before. 24: pose, pose of the volume before, and both
        squared (Friston et al., Magn Reson Med 35 (1996) 346). The first volume counts as preceded by itself.

    Attributes
    ----------
    names, sizes
        Of the regressors; what each has of a movement by 1 mm.
    """

    def __init__(self, count: int) -> None:
        if count not in _SUFFIXES:
            raise ValueError(f"motion regressors are {', '.join(map(str, _SUFFIXES))}, found {count}")
        self.names = tuple(name + suffix for suffix in _SUFFIXES[count] for name in POSE)
        self.sizes = {name: _size(name) for name in self.names}
        self._count = count
        self._before: Array | None = None

    def row(self, pose: Sequence[float] | Array | None) -> Array:
        """Return the regressors (count,) of the next volume."""
        if not self._count:
            return np.zeros(0)
        now = np.array(pose if pose is not None else (), np.float64)
        if now.shape != (6,):
            raise ValueError(f"a pose has six numbers, found {pose}")
        before = now if self._before is None else self._before
        self._before = now
        terms = {6: [now], 12: [now, now - before], 24: [now, before, now**2, before**2]}
        return np.concatenate(terms[self._count])


def _size(name: str) -> float:
    moved = RADIAN if name.startswith("rot") else 1.0
    return moved**2 if name.endswith("power2") else moved
