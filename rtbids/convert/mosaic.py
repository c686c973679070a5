"""Volumes that come as one picture of tiles: the Siemens mosaic and the UIH grid."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
from pydicom.dataset import Dataset

from rtbids.convert import geometry, pixels, private
from rtbids.convert.geometry import Vector
from rtbids.convert.pixels import Pixels
from rtbids.errors import BadData

_MOST_SLICES = 1024  # in one picture
_MOSTLY = 0.7  # cosine: nearer to the body's axis than to any other


def is_mosaic(dataset: Dataset) -> bool:
    return "MOSAIC" in (dataset.get("ImageType") or ())


def doubt(dataset: Dataset) -> str | None:
    """Say what is taken for granted about a mosaic that has lost its CSA header; None where nothing is."""
    if not is_mosaic(dataset) or "SliceNormalVector" in private.csa_fields(dataset):
        return None
    return "the CSA image header is gone: slices are taken to run from the feet to the head, check their order"


def is_grid(dataset: Dataset) -> bool:
    """Say whether this is a UIH grid: all slices in one picture, their places in a private sequence."""
    return private.item(dataset, 0x0065, private.UIH, 0x51) is not None


def slice_count(dataset: Dataset, fields: Mapping[str, list[str]] | None = None) -> int | None:
    """Return the number of slices in a mosaic, None where the header has lost it."""
    known = private.csa_fields(dataset) if fields is None else fields
    counts = private.as_numbers(known.get("NumberOfImagesInMosaic"))
    count = counts[0] if counts else private.number(dataset, 0x0019, private.SIEMENS_MR, 0x0A)
    return int(count) if count and 1 <= count <= _MOST_SLICES else None


def tile(picture: Pixels, count: int, number: int) -> Pixels:
    """Return tile `number` (from 0) of a square mosaic of `count` slices."""
    across = math.ceil(math.sqrt(count))
    rows, columns = picture.shape[0] // across, picture.shape[1] // across
    down, right = divmod(number, across)
    return picture[down * rows : (down + 1) * rows, right * columns : (right + 1) * columns]


def used_rows(rows: int, count: int) -> int:
    """Return how many of the `rows` of a square mosaic its `count` tiles reach down to."""
    across = math.ceil(math.sqrt(count))
    return rows // across * math.ceil(count / across)


def cut(picture: Pixels, count: int, down: int, across: int) -> Pixels:
    """Return the first `count` of down × across tiles as (slice, row upwards, column)."""
    rows, columns = picture.shape[0] // down, picture.shape[1] // across
    tiles = picture.reshape(down, rows, across, columns).transpose(0, 2, 1, 3)[:, :, ::-1]
    return np.ascontiguousarray(tiles).reshape(-1, rows, columns)[:count]


def siemens(dataset: Dataset, fields: Mapping[str, list[str]]) -> tuple[Pixels, Vector, bool]:
    """Return slices, affine, and whether the slices were stored in reverse (they no longer are; their times must follow)."""
    count = slice_count(dataset, fields)
    picture = pixels.as_nifti(dataset, pixels.stored(dataset))[0]
    if count is None:
        raise BadData("a mosaic whose header has lost the number of its slices (CSA header and group 0019 are gone)")
    across = math.ceil(math.sqrt(count))
    if picture.shape[0] % across or picture.shape[1] % across:
        raise BadData(f"{count} slices need {across}x{across} tiles, which a picture of {picture.shape} has not")
    slices = cut(picture, count, across, across)
    matrix = _siemens_affine(dataset, fields, picture.shape, slices.shape[1:])
    reverse = (private.as_numbers(fields.get("ProtocolSliceNumber")) or [0.0])[0] > 0
    if reverse:
        slices, matrix = np.ascontiguousarray(slices[::-1]), geometry.reversed_slices(matrix, count)
    return slices, matrix, reverse


def _siemens_affine(
    dataset: Dataset, fields: Mapping[str, list[str]], picture: tuple[int, ...], tile_shape: tuple[int, ...]
) -> Vector:
    """Return the affine of a mosaic: its position is that of the big picture's corner, not of the first tile's."""
    where = geometry.plane(dataset.ImageOrientationPatient, dataset.PixelSpacing)
    origin = np.array(dataset.ImagePositionPatient, dtype=np.float64)
    origin += where.row * where.column_spacing * (picture[1] - tile_shape[1]) / 2
    origin += where.column * where.row_spacing * (picture[0] - tile_shape[0]) / 2
    step = float(dataset.get("SpacingBetweenSlices") or dataset.SliceThickness)
    normal = private.as_numbers(fields.get("SliceNormalVector"))
    if len(normal) == 3 and float(np.dot(where.normal, normal)) < 0:
        step = -step
    if len(normal) != 3 and abs(float(where.normal[2])) < _MOSTLY:
        raise BadData("a mosaic that is not transverse and has lost the direction of its slices (CSA image header is gone)")
    return geometry.affine(where, origin, step, tile_shape[0])


def uih(dataset: Dataset) -> tuple[Pixels, Vector, bool]:
    """Return slices, affine, and whether the slices were turned, of a UIH grid."""
    items = private.find(dataset, 0x0065, private.UIH, 0x51)
    count = int(private.number(dataset, 0x0065, private.UIH, 0x50) or len(items))
    if count != len(items):
        raise BadData(f"the header counts {count} slices and places {len(items)}")
    across = math.ceil(math.sqrt(count))
    picture = pixels.as_nifti(dataset, pixels.stored(dataset))[0]
    slices = cut(picture, count, math.ceil(count / across), across)
    where = geometry.plane(dataset.ImageOrientationPatient, dataset.PixelSpacing)
    places = [np.array(item.ImagePositionPatient, dtype=np.float64) for item in items]
    step = float(dataset.get("SpacingBetweenSlices") or dataset.SliceThickness)
    if count > 1:
        step = float(np.dot(places[-1] - places[0], where.normal)) / (count - 1)
    matrix = geometry.affine(where, places[0], step, slices.shape[1])
    if step < 0:
        return np.ascontiguousarray(slices[::-1]), geometry.reversed_slices(matrix, count), True
    return slices, matrix, False
