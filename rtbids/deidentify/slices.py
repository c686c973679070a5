"""The slices of a series as volumes: voxels as stored, and where they lie."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset
from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian

from rtbids.deidentify.pixels import Refused

LEAST = 16  # slices; a localizer's few are no head that a program could find a face in
_APART = 0.05  # how unequal the distances of slices may be, as a share of their mean
_READABLE = (ExplicitVRLittleEndian, ImplicitVRLittleEndian)
_SAME = ("Rows", "Columns", "BitsAllocated", "PixelRepresentation", "PixelSpacing", "ImageOrientationPatient")


@dataclass(frozen=True)
class Stack:
    """One volume: voxels (column, row, slice), the affine to scanner mm (RAS+), and which of the images its slices are."""

    voxels: NDArray[np.generic]
    affine: NDArray[np.float64]
    places: tuple[int, ...]


def stacks(datasets: Sequence[Dataset]) -> list[Stack]:
    """Return the volumes of a series of single slices; several echoes or parts at the same positions are one each.

    Raises
    ------
    Refused
        It is no stack of at least 16 equal, uncompressed, parallel and equally distant slices.
    """
    for dataset in datasets:
        _check(dataset, datasets[0])
    normal = _normal(datasets[0])
    heights = [round(float(np.dot(normal, np.asarray(each.ImagePositionPatient, float))), 3) for each in datasets]
    return [_stack(datasets, places, heights) for places in _volumes(datasets, heights)]


def _check(dataset: Dataset, first: Dataset) -> None:
    if int(dataset.get("NumberOfFrames", 1) or 1) > 1:
        raise Refused("an image of several frames cannot be defaced here")
    if dataset.file_meta.TransferSyntaxUID not in _READABLE:
        raise Refused("a compressed image cannot be defaced here", "export the series again uncompressed")
    if dataset.get("SamplesPerPixel", 1) != 1 or dataset.get("BitsAllocated") not in (8, 16):
        raise Refused("an image in colours, or of more than 16 bits, cannot be defaced here")
    if "ImagePositionPatient" not in dataset or any(dataset.get(word) != first.get(word) for word in _SAME):
        raise Refused("a series whose slices are not all alike cannot be defaced here")


def _volumes(datasets: Sequence[Dataset], heights: Sequence[float]) -> Iterator[tuple[int, ...]]:
    """Yield the images of each volume, from one end to the other; the k-th at each height makes up the k-th volume."""
    order = sorted(range(len(datasets)), key=lambda place: (heights[place], _instance(datasets[place])))
    levels: dict[float, list[int]] = {}
    for place in order:
        levels.setdefault(heights[place], []).append(place)
    counts = {len(places) for places in levels.values()}
    if len(levels) < LEAST:
        raise Refused(f"a series of {len(levels)} slices cannot be defaced", "leave it out, or send it from another session")
    if len(counts) > 1:
        raise Refused("slices are missing: the series cannot be defaced")
    yield from zip(*levels.values(), strict=True)


def _stack(datasets: Sequence[Dataset], places: Sequence[int], heights: Sequence[float]) -> Stack:
    steps = np.diff([heights[place] for place in places])
    if np.ptp(steps) > _APART * steps.mean():
        raise Refused("slices are missing or not equally distant: the series cannot be defaced")
    chosen = [datasets[place] for place in places]
    voxels = np.stack([_pixels(dataset) for dataset in chosen], axis=-1)
    return Stack(voxels, _affine(chosen[0], chosen[-1], len(chosen)), tuple(places))


def _pixels(dataset: Dataset) -> NDArray[np.generic]:
    """Return a slice as (column, row)."""
    kind = np.dtype(f"<{'i' if dataset.PixelRepresentation else 'u'}{dataset.BitsAllocated // 8}")
    count = dataset.Rows * dataset.Columns
    return np.frombuffer(dataset.PixelData, kind, count).reshape(dataset.Rows, dataset.Columns).T


def _affine(first: Dataset, last: Dataset, count: int) -> NDArray[np.float64]:
    """Return voxel (column, row, slice) to scanner mm (PS3.3, C.7.6.2.1.1), turned from DICOM's LPS to NIfTI's RAS."""
    along, down = np.reshape(np.asarray(first.ImageOrientationPatient, float), (2, 3))
    between_rows, between_columns = (float(each) for each in first.PixelSpacing)
    start, end = (np.asarray(each.ImagePositionPatient, float) for each in (first, last))
    affine = np.eye(4)
    affine[:3] = np.column_stack([along * between_columns, down * between_rows, (end - start) / (count - 1), start])
    affine[:2] *= -1
    return affine


def _normal(dataset: Dataset) -> NDArray[np.float64]:
    along, down = np.reshape(np.asarray(dataset.ImageOrientationPatient, float), (2, 3))
    return np.cross(along, down)


def _instance(dataset: Dataset) -> int:
    return int(dataset.get("InstanceNumber") or 0)
