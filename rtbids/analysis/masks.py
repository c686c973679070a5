"""Region masks: NIfTI files on the grid of the volumes they select from."""

from __future__ import annotations

import gzip
import zlib
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from rtbids import nifti
from rtbids.analysis.space import Grid
from rtbids.errors import BadData, InputMissing

_HEADER = 4096  # bytes: more than a header has
Value = TypeVar("Value", np.bool_, np.float64)


def read(path: Path) -> tuple[NDArray[np.bool_], NDArray[np.float64]]:
    """Return the mask (i, j, k), true where the file's value is neither zero nor not a number, and its affine."""
    found, affine = values(path)
    mask = (found != 0) & ~np.isnan(found)  # programs that resample put NaN outside the field of view
    if not mask.any():
        raise BadData(f"{path}: the mask is empty")
    return mask, affine


def values(path: Path) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return what the file has in each voxel (i, j, k), and its affine."""
    content = _content(path)
    header = _header(content, path)
    shape = header.shape[:3]
    if len(content) < header.offset + header.volume_bytes:
        raise BadData(f"{path}: expected {header.volume_bytes} bytes of voxels, found {len(content) - header.offset}")
    flat = np.frombuffer(content, header.dtype, count=int(np.prod(shape)), offset=header.offset)
    return flat.reshape(shape, order="F") * np.float64(header.slope) + header.inter, header.affine


def check_grid(path: Path, shape: tuple[int, ...], affine: NDArray[np.float64]) -> None:
    """Raise BadData, naming both grids, where the mask at `path` is not on the volumes' grid; only its header is read."""
    if (other := _another(path, shape, affine)) is not None:
        raise BadData(
            f"{path}: the mask's grid is {other}, the volumes' is {grid(shape, affine)}",
            "give one drawn on these volumes, or say resample: true beside it (rois: {NAME: {mask: PATH, resample: true}})",
        )


def check_weights(path: Path, shape: tuple[int, ...], affine: NDArray[np.float64], whose: str = "volumes'") -> None:
    """Raise BadData, naming both grids, where the weights at `path` are not on a grid; only their header is read."""
    if (other := _another(path, shape, affine)) is not None:
        raise BadData(
            f"{path}: the weights' grid is {other}, the {whose} is {grid(shape, affine)}",
            "give weights on that grid, or say resample: true "
            "(rois: {NAME: {mask: PATH, weights: PATH, resample: true}}): then both are taken to the volumes' grid",
        )


def _another(path: Path, shape: tuple[int, ...], affine: NDArray[np.float64]) -> str | None:
    """Return the grid of the file at `path` in words where it is another; only its header is read."""
    header = _header(_content(path, _HEADER), path)
    own = header.shape[:3]
    return None if _grid(shape, affine).same_as(_grid(own, header.affine)) else grid(own, header.affine)


def resampled(path: Path, shape: tuple[int, ...], affine: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Return the mask on another grid, given as `shape` and `affine`: each voxel has the value of the mask's nearest voxel.

    Raises BadData where no voxel of the new grid is inside.
    """
    mask, own = read(path)
    found = _nearest(mask, own, shape, affine)
    if not found.any():
        raise BadData(
            f"{path}: the mask is empty on the volumes' grid ({grid(shape, affine)}); its own is {grid(mask.shape, own)}"
        )
    return found


def _nearest(
    values: NDArray[Value], own: NDArray[np.float64], shape: tuple[int, ...], affine: NDArray[np.float64]
) -> NDArray[Value]:
    """Return `values`, whose affine is `own`, on another grid: those of the nearest voxels, outside of all of them 0."""
    to_own = np.linalg.inv(own) @ affine
    places = to_own[:3, :3] @ np.indices(shape).reshape(3, -1) + to_own[:3, 3:]
    nearest = np.floor(places + 0.5).astype(np.intp)
    within = ((nearest >= 0) & (nearest < np.array(values.shape)[:, None])).all(axis=0)
    found = np.zeros(within.shape, values.dtype)
    found[within] = values[tuple(nearest[:, within])]
    return found.reshape(shape)


def weights(path: Path, shape: tuple[int, ...], affine: NDArray[np.float64], *, resample: bool = False) -> NDArray[np.float64]:
    """Return the weight of each voxel on the volumes' grid: as they are, or resampled if asked to, or else BadData."""
    if not resample:
        check_weights(path, shape, affine)
    found, own = values(path)
    return _nearest(found, own, shape, affine) if _another(path, shape, affine) else found


def on_grid(path: Path, shape: tuple[int, ...], affine: NDArray[np.float64], *, resample: bool = False) -> NDArray[np.bool_]:
    """Return the mask on the volumes' grid: as it is where it is drawn on it, else resampled if asked to, or else BadData."""
    try:
        check_grid(path, shape, affine)
    except BadData:
        if not resample:
            raise
        return resampled(path, shape, affine)
    return read(path)[0]


def grid(shape: tuple[int, ...], affine: NDArray[Any]) -> str:
    """Return a grid in words: ``64×64×27 voxels of 3×3×4 mm with its first voxel at (-96, -96, -54) mm``."""
    zooms = np.sqrt((np.asarray(affine)[:3, :3] ** 2).sum(axis=0))
    sides = "×".join(f"{zoom:.3g}" for zoom in zooms)
    origin = ", ".join(f"{value:.1f}" for value in np.asarray(affine)[:3, 3])
    return f"{'×'.join(map(str, shape))} voxels of {sides} mm with its first voxel at ({origin}) mm"


def _grid(shape: tuple[int, ...], affine: NDArray[Any]) -> Grid:
    i, j, k = shape
    return Grid((i, j, k), np.asarray(affine, np.float64))


def _header(content: bytes, path: Path) -> nifti.Header:
    header = nifti.unpack(content, str(path))
    if any(size > 1 for size in header.shape[3:]):
        raise BadData(f"{path}: a mask has three dimensions, found {header.shape}")
    return header


def _content(path: Path, most: int = -1) -> bytes:
    """Return the file unpacked, or the first `most` bytes of that."""
    try:
        with path.open("rb") as file:
            packed = file.read(2) == b"\x1f\x8b"
            file.seek(0)
            return gzip.GzipFile(fileobj=file).read(most) if packed else file.read(most)
    except (FileNotFoundError, IsADirectoryError, PermissionError) as error:
        raise InputMissing(f"{path}: the mask cannot be read ({error.strerror})") from None
    except (OSError, EOFError, zlib.error) as error:
        raise BadData(f"{path}: the mask cannot be unpacked ({error})") from None
