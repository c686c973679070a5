"""Values between voxels: cubic B-splines of smoothed volumes, and what they have at voxels of the reference after a movement.

A rotation and an isotropic Gaussian may change places, so sampling the smoothed volume where the reference's voxels went is the
same as reslicing it first and smoothing it then, and only the voxels that someone asks for cost anything.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from rtbids.analysis.space import Array, Grid

FWHM = 5.0  # mm
_PER_FWHM = 1 / np.sqrt(8 * np.log(2))
Voxels = NDArray[np.float32]


def floats(data: NDArray[Any], slope: float = 1.0, inter: float = 0.0) -> Voxels:
    """Return a volume's values in the scanner's units, ``data * slope + inter``, in float32."""
    if (slope, inter) == (1.0, 0.0):
        return data.astype(np.float32, copy=False)
    with np.errstate(over="ignore", invalid="ignore"):
        return np.asarray(data * np.float64(slope) + inter).astype(np.float32)


def coefficients(values: NDArray[np.generic], grid: Grid, fwhm: float = FWHM) -> Voxels:
    """Return the cubic B-spline coefficients (i, j, k) of a volume smoothed by a Gaussian of `fwhm` mm; 0 for none.

    What is not a number counts as 0: one of them would make all coefficients none.
    """
    return np.asarray(ndimage.spline_filter(smoothed(values, grid, fwhm), order=3, output=np.float32, mode="mirror"))


def smoothed(values: NDArray[np.generic], grid: Grid, fwhm: float = FWHM) -> Voxels:
    """Return a volume smoothed by a Gaussian of `fwhm` mm; 0 for none. What is not a number counts as 0."""
    known = finite(values)
    return ndimage.gaussian_filter(known, fwhm * _PER_FWHM / grid.zooms, truncate=3.0) if fwhm else known


def finite(values: NDArray[np.generic]) -> Voxels:
    """Return the values in float32, 0 where they are not a number."""
    with np.errstate(over="ignore"):
        known = np.ascontiguousarray(values, np.float32)
    bad = ~np.isfinite(known)
    return np.where(bad, np.float32(0), known) if bad.any() else known


def gaps(values: NDArray[np.generic], near: NDArray[np.intp]) -> NDArray[np.bool_] | None:
    """Return which voxels (i, j, k) are no numbers or as near to one as `near` voxels along each axis; None where none is."""
    if values.dtype.kind in "iub":
        return None
    bad = ~np.isfinite(values)
    return np.asarray(ndimage.maximum_filter(bad, size=tuple(2 * near + 1))) if bad.any() else None


def resliced(values: NDArray[np.generic], grid: Grid, matrix: Array) -> Voxels:
    """Return the whole volume (i, j, k) as if the head had not moved: cubic B-spline, unsmoothed, 0 outside the volume."""
    voxels = np.indices(grid.shape, dtype=np.float64).reshape(3, -1)
    places = grid.moved(voxels, matrix)
    inside = grid.holds(places)
    resampled = np.zeros(inside.size, np.float32)
    resampled[inside] = sample(coefficients(values, grid, 0), places[:, inside])
    return resampled.reshape(grid.shape)


def sample(coefs: Voxels, points: Array) -> Voxels:
    """Return the values at `points` (3, n), by index and fractions of it; borders are mirrored."""
    return _sampler()(coefs, points)


def prepare() -> str:
    """Compile what numba compiles, where it is installed; say what samples: ``numba`` or ``scipy``. Call it before a run."""
    return "scipy" if _sampler() is _sample_by_scipy else "numba"


def _sample_by_scipy(coefs: Voxels, points: Array) -> Voxels:
    return np.asarray(ndimage.map_coordinates(coefs, points, np.float32, order=3, prefilter=False, mode="mirror"))


@cache
def _sampler() -> Callable[[Voxels, Array], Voxels]:
    try:
        from rtbids.analysis import fast
    except ImportError:
        return _sample_by_scipy
    return fast.sample
