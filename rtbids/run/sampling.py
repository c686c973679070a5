"""One volume after realignment and smoothing, of which only the voxels that someone asks for are worked out."""

from __future__ import annotations

import logging
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
logger = logging.getLogger("rtbids")


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
    the field of view, and volumes are not held against it for being none there too.
    """

    def __init__(self, grid: Grid, fwhm: float | None, reference: NDArray[np.generic] | None = None) -> None:
        self._grid, self._fwhm = grid, fwhm or 0.0
        self._realigner: Realigner | None = None
        self._outside: NDArray[np.bool_] | None = None
        self._coefs: Voxels | None = None
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
                return self._unknown(values, str(error))
        assert self._realigner is not None
        known = values if self._outside is None else np.where(self._outside, np.float32(0), values)
        coefs = self._realigner.coefficients(known)
        self._pose = self._realigner.estimate(known, coefs)
        self._coefs = coefs if self._fwhm == self._realigner.fwhm else splines.coefficients(known, self._grid, self._fwhm)
        return self._pose

    def _unknown(self, values: Voxels, reason: str) -> Pose:
        if self._coefs is None:
            logger.warning("the first volume is none to realign to, the next that is one will be taken: %s", reason)
        self._coefs = splines.coefficients(values, self._grid, self._fwhm)
        self._pose = Pose(np.eye(4), 0, np.nan, reason)
        return self._pose

    def at(self, places: Places) -> NDArray[Any]:
        assert self._coefs is not None, "take a volume first"
        moved = self._grid.moved(places.astype(np.float64), self._pose.matrix)
        values = splines.sample(self._coefs, moved)
        values[~self._grid.holds(moved, beyond=0.5)] = np.nan
        return values
