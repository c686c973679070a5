"""pyOpenNFT's core, called as pyOpenNFT calls it: python-rtspm's realignment, reslicing and smoothing, and its own model.

pyOpenNFT itself was not found on the package index, so its model is written here from the formulas that it follows (Bagarinao
et al., NeuroImage 19 (2003) 422), over all voxels of the volume as there.
"""

from __future__ import annotations

import importlib
from typing import Any

import numpy as np

from rtbids.analysis.space import Array, Grid

SETTINGS = {"quality": 0.9, "fwhm": 5, "sep": 4, "interp": 4, "wrap": np.zeros((3, 1))}
REALIGN = {**SETTINGS, "rtm": 0, "PW": "", "lkp": np.arange(6)}
RESLICE = {**SETTINGS, "mask": 1, "mean": 0, "which": 2}
FROM_ONE = np.array([[1.0, 0, 0, -1], [0, 1, 0, -1], [0, 0, 1, -1], [0, 0, 0, 1]])  # it counts voxels from 1
Images = list[dict[str, Any]]


def fault() -> str | None:
    """Say why it cannot be held against ours; None where it can."""
    try:
        importlib.import_module("rtspm")
    except ImportError as error:
        return f"pyOpenNFT's core is not there ({error}): pip install 'rtbids[bench]'"
    return None


def as_taken(volume: np.ndarray) -> Array:
    """Return a volume as python-rtspm takes it."""
    return np.array(volume, np.float64, order="F")


class Core:
    """Realigns volume after volume to a reference, and reslices and smooths them."""

    def __init__(self, reference: np.ndarray, grid: Grid) -> None:
        self._to_mm, self._zooms, self._size = grid.to_mm @ FROM_ONE, grid.zooms, np.array(grid.shape)
        self._reference, self._known, self._count = as_taken(reference), [[] for _ in range(6)], 0
        self.realign(self._reference)

    def realign(self, volume: Array) -> Images:
        """Return the reference and the volume with its place found; each search starts from the reference's."""
        from rtspm import spm_realign_rt

        images = [{"Vol": taken, "mat": self._to_mm, "dim": self._size} for taken in (self._reference, volume)]
        self._count += 1
        with np.errstate(invalid="ignore"):  # of the reference itself nothing is left to explain
            images, *self._known, _ = spm_realign_rt(images, REALIGN, self._count, 1, *self._known)
        return images

    def resliced(self, images: Images) -> Array:
        from rtspm import spm_reslice_rt

        return np.asarray(spm_reslice_rt(images, RESLICE))

    def smoothed(self, volume: Array) -> Array:
        from rtspm import spm_smooth

        return np.asarray(spm_smooth(volume, SETTINGS["fwhm"] / self._zooms))


def matrix(images: Images) -> Array:
    """Return where the head went, mm about the volume's centre: comparable with `Pose.matrix`."""
    reference, volume = images
    return np.asarray(reference["mat"] @ np.linalg.inv(volume["mat"]))


class Model:
    """Sums of products that grow by a volume, solved anew at each by a Cholesky factor."""

    def __init__(self, columns: int, voxels: int) -> None:
        self._products, self._with_voxels = np.zeros((columns, columns)), np.zeros((voxels, columns))
        self._squares, self._count = np.zeros(voxels), 0

    def add(self, row: Array, values: Array, contrast: Array) -> Array | None:
        """Take a volume; return the contrast's t in every voxel once it can be told."""
        self._count += 1
        n, columns = self._count, len(row)
        self._with_voxels += values[:, None] * row
        self._products = ((n - 1) / n) * self._products + np.outer(row, row) / n
        self._squares += values**2
        if n <= columns + 2:
            return None
        inverse = np.linalg.inv(np.linalg.cholesky(self._products))
        explained = self._with_voxels @ inverse.T / n
        variance = np.abs(n / (n - columns) * (self._squares / n - (explained**2).sum(axis=1)))
        weights = inverse @ contrast
        with np.errstate(divide="ignore", invalid="ignore"):  # voxels that are always 0
            return np.asarray(explained @ weights / np.sqrt(variance / n * (weights @ weights)))
