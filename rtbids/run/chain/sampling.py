"""One volume after realignment and smoothing, of which only the voxels that someone asks for are worked out."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from rtbids.analysis import splines
from rtbids.analysis.motion import Pose, Realigner
from rtbids.analysis.smooth import Smoother
from rtbids.analysis.space import Grid
from rtbids.analysis.splines import Voxels
from rtbids.errors import BadData

Places = NDArray[np.intp]  # (3, n): indices i, j, k
REACH = 1.27  # FWHM: as far a voxel that is no number has a part in the smoothed volume, and three voxels on in its splines
LEAST_NEAR = 5  # voxels: a tenth of a percent of a voxel that is none is left there in splines that are not smoothed


class Sampler(Protocol):
    """Takes volume after volume; says what the latest has at some voxels of the reference."""

    def take(self, values: Voxels) -> Pose | None:
        """Take the next volume (i, j, k); return the head's pose where it is looked for."""
        ...

    def at(self, places: Places) -> NDArray[Any]:
        """Return its values (n,) there; NaN where the head has left the field of view."""
        ...


class Still:
    """The head is taken to lie still; volumes are smoothed by `fwhm` mm where it is not None."""

    def __init__(self, grid: Grid, fwhm: float | None) -> None:
        self._smooth = Smoother(grid.shape, [float(zoom) for zoom in grid.zooms], fwhm) if fwhm else None
        self._now: NDArray[Any] = np.zeros(grid.shape, np.float32)

    def take(self, values: Voxels) -> None:
        self._now = values if self._smooth is None else self._smooth(values)

    def at(self, places: Places) -> NDArray[Any]:
        return np.asarray(self._now[tuple(places)])


class Moving:
    """The head is found in every volume, and sampled where it is; unsmoothed where `fwhm` is None.

    Without a `reference` it is the first volume in which a head can be found. Voxels that are no numbers in it count as outside
    the field of view, and volumes are not held against it for being none there too. What is no number in a volume alone is
    outside of its field of view, and so is what the smoothed volume has so near to it that it would be wrong.
    """

    def __init__(self, grid: Grid, fwhm: float | None, reference: NDArray[np.generic] | None = None) -> None:
        self._grid, self._fwhm = grid, fwhm or 0.0
        self._realigner: Realigner | None = None
        self._outside: NDArray[np.bool_] | None = None
        self._coefs: Voxels | None = None
        self._near = np.maximum(LEAST_NEAR, np.ceil(REACH * self._fwhm / grid.zooms) + 3).astype(np.intp)
        self._unknown: NDArray[np.bool_] | None = None  # voxels of the current volume that tell nothing
        self._pose = Pose(np.eye(4), 0, np.nan, "no volume yet")
        if reference is not None:
            self._refer_to(reference)

    def _refer_to(self, reference: NDArray[np.generic]) -> None:
        self._realigner = Realigner(reference, self._grid)
        outside = ~np.isfinite(reference)
        self._outside = outside if outside.any() else None

    def take(self, values: Voxels) -> Pose:
        if self._realigner is None:
            try:
                self._refer_to(values)
            except BadData as error:
                return self._without(values, f"it is none to realign to, the next that is one will be taken ({error})")
        assert self._realigner is not None
        known = values if self._outside is None else np.where(self._outside, np.float32(0), values)
        self._unknown = splines.gaps(known, self._near)
        coefs = self._realigner.coefficients(known)
        self._pose = self._realigner.estimate(known, coefs)
        self._coefs = coefs if self._fwhm == self._realigner.fwhm else splines.coefficients(known, self._grid, self._fwhm)
        return self._pose

    def _without(self, values: Voxels, reason: str) -> Pose:
        self._coefs = splines.coefficients(values, self._grid, self._fwhm)
        self._pose = Pose(np.eye(4), 0, np.nan, reason)
        return self._pose

    def at(self, places: Places) -> NDArray[Any]:
        assert self._coefs is not None, "take a volume first"
        moved = self._grid.moved(places.astype(np.float64), self._pose.matrix)
        values = splines.sample(self._coefs, moved)
        inside = self._grid.holds(moved, beyond=0.5)
        if self._unknown is not None:
            within = np.minimum(np.rint(moved[:, inside]), np.array(self._grid.shape)[:, None] - 1)
            inside[inside] = ~self._unknown[tuple(np.maximum(within, 0).astype(int))]
        values[~inside] = np.nan
        return values
