"""Smoothing by the kernel of SPM: a Gaussian integrated over linearly interpolated voxels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.special import erf

from rtbids.errors import BadData

Array = NDArray[np.float64]


def kernel(fwhm: float) -> Array:
    """Return the taps from -r to r for a full width at half maximum of `fwhm` voxels; their sum is 1.

    r is six standard deviations. The closed form of spm_smoothkern (SPM12, type 1): a Gaussian convolved with a triangle of
    one voxel to each side.
    """
    if fwhm <= 0:
        return np.ones(1)
    variance = fwhm**2 / (8 * np.log(2))
    reach = round(6 * np.sqrt(variance))
    x = np.arange(-reach, reach + 1, dtype=np.float64)
    a, b, c = 0.5 * np.sqrt(2 / variance), np.sqrt(variance / (2 * np.pi)), -0.5 / variance
    edges = erf(a * (x + 1)) * (x + 1) + erf(a * (x - 1)) * (x - 1) - 2 * erf(a * x) * x
    peaks = np.exp(c * (x + 1) ** 2) + np.exp(c * (x - 1) ** 2) - 2 * np.exp(c * x**2)
    taps = np.maximum(0.5 * edges + b * peaks, 0)
    return np.asarray(taps / taps.sum())


class Smoother:
    """Smooths volumes of one grid; as in SPM, signal falls off towards the borders in the slices' plane, not across slices.

    Parameters
    ----------
    shape
        Of the volumes (i, j, k).
    zooms
        Voxel sides in mm.
    fwhm
        Full width at half maximum in mm; 0 leaves volumes as they are.
    """

    def __init__(self, shape: tuple[int, int, int], zooms: Sequence[float], fwhm: float) -> None:
        if not (np.isfinite(fwhm) and fwhm >= 0):
            raise BadData(f"expected a smoothing of 0 mm or more, found {fwhm:g} mm")
        self.shape = shape
        self._kernels = [kernel(fwhm / zoom) for zoom in zooms]
        self._inside = ndimage.correlate1d(np.ones(shape[2]), self._kernels[2], mode="constant")

    def __call__(self, values: NDArray[np.generic]) -> NDArray[Any]:
        """Return the smoothed volume (i, j, k): in float64 where it came so, else in float32; no numbers count as 0."""
        if values.shape != self.shape:
            raise BadData(f"expected a volume of {self.shape} voxels as the ones before, found {values.shape}")
        smoothed = values.astype(np.float64 if values.dtype == np.float64 else np.float32, copy=False)
        bad = ~np.isfinite(smoothed)
        if bad.any():  # one of them would spread over all that the kernel reaches
            smoothed = np.where(bad, smoothed.dtype.type(0), smoothed)
        for axis, taps in enumerate(self._kernels):
            smoothed = ndimage.correlate1d(smoothed, taps, axis=axis, mode="constant")
        return np.asarray(smoothed / self._inside.astype(smoothed.dtype))
