"""Heads that moved by a known amount: volumes sampled anew, by quintic splines, with noise."""

from __future__ import annotations

from pathlib import Path

import nibabel
import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from rtbids.analysis.space import Array, Grid

Volume = NDArray[np.float64]


def moved(volume: Volume, grid: Grid, matrix: Array, noise: float = 0.0, seed: int = 0) -> Volume:
    """Return what is seen once the head moved by `matrix`: at y what was at ``inv(matrix) @ y``, with a magnitude's noise."""
    back = grid.to_voxels @ np.linalg.inv(matrix) @ grid.to_mm
    places = back[:3, :3] @ np.indices(grid.shape).reshape(3, -1) + back[:3, 3:]
    spline = ndimage.spline_filter(volume, 5, mode="mirror")
    seen = ndimage.map_coordinates(spline, places, order=5, prefilter=False, mode="constant").reshape(grid.shape)
    rng = np.random.default_rng(seed)
    return np.asarray(np.abs(seen + rng.normal(0, noise, grid.shape) + 1j * rng.normal(0, noise, grid.shape)))


def phantom(
    shape: tuple[int, int, int] = (36, 40, 20), sides: tuple[float, float, float] = (4.0, 4.0, 4.0)
) -> tuple[Volume, Grid]:
    """Return an egg with structure in it, all smooth, and its grid; nothing of it reaches the border."""
    grid = Grid.of_zooms(shape, sides)
    x, y, z = (grid.to_mm[:3, :3] @ np.indices(shape).reshape(3, -1) + grid.to_mm[:3, 3:]).reshape(3, *shape)
    radii = 0.38 * np.array(shape) * sides
    egg = ((x / radii[0]) ** 2 + (y / radii[1]) ** 2 + (z / radii[2]) ** 2) < 1
    texture = ndimage.gaussian_filter(np.random.default_rng(1).normal(size=shape), 1.5)
    return ndimage.gaussian_filter(egg * (800 + 300 * texture / texture.std()), 1.0), grid


def example() -> tuple[Volume, Grid]:
    """Return the first volume of the series that comes with nibabel: 128×96×24 voxels of 2×2×2.2 mm, oblique and cut off."""
    image = nibabel.load(Path(nibabel.__file__).parent / "tests/data/example4d.nii.gz")
    return np.asarray(image.dataobj[..., 0], np.float64), Grid(image.shape[:3], image.affine)


def apart(found: Array, truth: Array, radius: float = 50.0) -> float:
    """Return the root mean square distance in mm of two transforms over a sphere about the centre."""
    points = np.random.default_rng(0).normal(size=(3, 2000))
    points *= radius / np.sqrt((points**2).sum(axis=0))
    difference = found - truth
    return float(np.sqrt((((difference[:3, :3] @ points) + difference[:3, 3:]) ** 2).sum(axis=0).mean()))
