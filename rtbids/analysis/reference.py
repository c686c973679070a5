"""What volumes are realigned to where it is not the run's first: an image in a file, such as an earlier session's."""

from __future__ import annotations

import zlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rtbids.analysis import masks
from rtbids.analysis.space import Grid
from rtbids.analysis.splines import Voxels, coefficients, sample
from rtbids.errors import BadData, InputMissing


def read(path: Path, grid: Grid, *, resample: bool = False) -> Voxels:
    """Return the image at `path` (i, j, k) on the volumes' grid; of several volumes the first.

    With `resample` it may lie on another grid: it is then taken to the volumes' (cubic B-spline) by the places of both in the
    scanner, and is not a number where it says nothing.

    Raises
    ------
    InputMissing
        Where there is no such file.
    BadData
        Where it is no NIfTI image, or lies on another grid and `resample` was not asked for.
    """
    values, own = _image(path)
    if own.same_as(grid):
        return values
    if not resample:
        raise BadData(
            f"{path}: the reference's grid is {masks.grid(own.shape, own.affine)},"
            f" the volumes' is {masks.grid(grid.shape, grid.affine)}",
            "give a reference with the volumes' grid, or ask for it to be resampled",
        )
    return _resampled(path, values, own, grid)


def _image(path: Path) -> tuple[Voxels, Grid]:
    import nibabel

    try:
        image: Any = nibabel.load(path)
        values = np.asanyarray(image.dataobj[(..., *[0] * (len(image.shape) - 3))] if len(image.shape) > 3 else image.dataobj)
    except (FileNotFoundError, IsADirectoryError, PermissionError) as error:
        raise InputMissing(f"{path}: the reference cannot be read ({error.strerror or 'no such file'})") from None
    except (OSError, EOFError, ValueError, zlib.error, nibabel.filebasedimages.ImageFileError) as error:
        raise BadData(f"{path}: the reference is no image that can be read ({error})") from None
    if values.ndim != 3:
        raise BadData(f"{path}: a reference has three dimensions, found {values.shape}")
    i, j, k = values.shape
    return values.astype(np.float32), Grid((i, j, k), np.asarray(image.affine, np.float64))


def _resampled(path: Path, values: Voxels, own: Grid, grid: Grid) -> Voxels:
    between = np.linalg.inv(own.affine) @ grid.affine
    voxels = np.indices(grid.shape, dtype=np.float64).reshape(3, -1)
    places = between[:3, :3] @ voxels + between[:3, 3:]
    inside = own.holds(places, beyond=1e-3)
    if not inside.any():
        raise BadData(f"{path}: the reference and the volumes have no place in common")
    nearest = tuple(np.clip(np.rint(places[:, inside]).astype(int), 0, np.array(own.shape)[:, None] - 1))
    resampled: NDArray[np.float32] = np.full(inside.size, np.nan, np.float32)
    resampled[inside] = np.where(np.isfinite(values[nearest]), sample(coefficients(values, own, 0), places[:, inside]), np.nan)
    return resampled.reshape(grid.shape)
