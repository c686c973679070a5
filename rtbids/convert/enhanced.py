"""Enhanced multi-frame images: Siemens XA holds one volume a file, Philips and Canon all of them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from pydicom.dataelem import DataElement, RawDataElement
from pydicom.dataset import Dataset
from pydicom.tag import BaseTag

from rtbids.convert import geometry, pixels, private
from rtbids.convert.dicom import Instance
from rtbids.convert.geometry import Vector
from rtbids.convert.pixels import Pixels
from rtbids.convert.stack import checked_step, without_pixels
from rtbids.convert.vendor import vendor
from rtbids.errors import BadData

ENHANCED_MR = "1.2.840.10008.5.1.4.1.1.4.1"
_PLACES = (0x00209057, 0x00200032)  # InStackPositionNumber, ImagePositionPatient
_ICE_SLICES = 20  # field of the ICE dimensions (0021,xx8E), counted from 0


@dataclass(frozen=True, eq=False)
class Frames:
    """The volumes of one file, in order, each (slice, row upwards, column).

    `frames` are those of volume 0, slice by slice; `firsts` is the first frame of each volume.
    """

    volumes: list[Pixels]
    affine: Vector
    frames: list[Dataset]
    firsts: list[Dataset]


def is_enhanced(dataset: Dataset) -> bool:
    return str(dataset.SOPClassUID) == ENHANCED_MR


def group(frame: Dataset, dataset: Dataset, sequence: str) -> Dataset:
    """Return a functional group of a frame, its own before the shared one; empty where there is neither."""
    for place in (frame, *(dataset.get("SharedFunctionalGroupsSequence") or ())):
        items = place.get(sequence)
        if items:
            first: Dataset = items[0]
            return first
    return Dataset()


def sdi(frame: Dataset) -> Dataset:
    """Return what Siemens says about one frame (SIEMENS MR SDI 02); empty where a copy has lost it."""
    return private.item(frame, 0x0021, private.SDI, 0xFE) or Dataset()


def read(dataset: Dataset) -> Frames:
    """Sort frames into volumes: by depth into slices, by dimension index or else in stored order into volumes."""
    frames = list(dataset.get("PerFrameFunctionalGroupsSequence") or ())
    images = pixels.as_nifti(dataset, pixels.stored(dataset))
    if not frames:
        raise BadData("the header does not say where the frames lie (PerFrameFunctionalGroupsSequence is missing)")
    if len(frames) != len(images):
        raise BadData(f"{len(images)} frames, but {len(frames)} described")
    first = group(frames[0], dataset, "PlaneOrientationSequence"), group(frames[0], dataset, "PixelMeasuresSequence")
    where = geometry.plane(first[0].ImageOrientationPatient, first[1].PixelSpacing)
    positions = np.array([group(frame, dataset, "PlanePositionSequence").ImagePositionPatient for frame in frames], float)
    depths = np.round(positions @ where.normal, 3)
    ascending = sorted(set(depths.tolist()))
    step = checked_step(ascending, float(first[1].get("SliceThickness") or 1.0))
    _check_count(frames, len(ascending))
    through_time = np.arange(len(frames)) if vendor(dataset) == "siemens" else _through_time(dataset, frames)
    order = through_time[np.argsort(depths[through_time], kind="stable")].reshape(len(ascending), -1)  # (slice, volume)
    matrix = geometry.affine(where, positions[order[0, 0]], step, images.shape[1])
    volumes = [np.ascontiguousarray(images[order[:, volume], ::-1]) for volume in range(order.shape[1])]
    return Frames(volumes, matrix, [frames[frame] for frame in order[:, 0]], [frames[frame] for frame in order[0]])


def _through_time(dataset: Dataset, frames: list[Dataset]) -> NDArray[np.intp]:
    """Return the numbers of the frames in the order of acquisition that their dimension index values tell.

    DICOM PS3.3 C.7.6.17. The last dimension counts volumes slowest, unless the place in the stack is the last one (Canon).
    """
    values = [list((frame.get("FrameContentSequence") or [Dataset()])[0].get("DimensionIndexValues") or ()) for frame in frames]
    if len({len(value) for value in values}) != 1 or not values[0]:
        return np.arange(len(frames))
    table = np.array(values, dtype=np.int64)
    varying = np.flatnonzero(np.ptp(table, axis=0))
    if not len(varying):
        return np.arange(len(frames))
    pointers = [item.get("DimensionIndexPointer") for item in dataset.get("DimensionIndexSequence") or ()]
    place = max((number for number, pointer in enumerate(pointers) if pointer in _PLACES), default=0)
    return np.lexsort(table.T if place < varying[-1] else table.T[::-1])


def uniform(instance: Instance) -> list[Instance]:
    """Return the parts of an instance that are one echo and one of magnitude, phase, real, imaginary: most have one part."""
    dataset = instance.dataset
    if not is_enhanced(dataset) or vendor(dataset) == "siemens":
        return [instance]
    kinds = [_kind(frame, dataset) for frame in dataset.get("PerFrameFunctionalGroupsSequence") or ()]
    if len(set(kinds)) < 2:
        return [instance]
    images = pixels.stored(dataset)
    if len(images) != len(kinds):
        return [instance]
    return [
        _subset(instance, images, [number for number, one in enumerate(kinds) if one == kind]) for kind in sorted(set(kinds))
    ]


def _kind(frame: Dataset, dataset: Dataset) -> tuple[float, str]:
    echo = group(frame, dataset, "MREchoSequence").get("EffectiveEchoTime")
    return float(echo or 0.0), str(group(frame, dataset, "MRImageFrameTypeSequence").get("ComplexImageComponent") or "")


def _subset(instance: Instance, images: Pixels, chosen: list[int]) -> Instance:
    frames = instance.dataset.PerFrameFunctionalGroupsSequence
    part = without_pixels(instance.dataset)
    del part.PerFrameFunctionalGroupsSequence, part.NumberOfFrames  # assignment would change the whole's own elements
    part.PerFrameFunctionalGroupsSequence = [frames[number] for number in chosen]
    part.NumberOfFrames = len(chosen)
    part.PixelData = images[chosen].tobytes()
    return replace(instance, dataset=part)


def _check_count(frames: list[Dataset], slices: int) -> None:
    if len(frames) % slices:
        raise BadData(f"{len(frames)} frames are no whole number of volumes of {slices} slices")
    fields = str(private.find(sdi(frames[0]), 0x0021, private.SDI, 0x8E) or "").split("_")
    planned = int(fields[_ICE_SLICES]) if len(fields) > _ICE_SLICES and fields[_ICE_SLICES].isdigit() else 0
    if planned > 1 and len(frames) > 1 and planned != slices:
        raise BadData(f"incomplete, {slices} of {planned} slices")


def flat(dataset: Dataset, frame: Dataset) -> Dataset:
    """Return one data set with what the file, its shared groups and `frame` say, the nearest last, in classic terms."""
    merged: dict[BaseTag, DataElement | RawDataElement] = {}
    for part in _parts(dataset, frame):
        for element in part:
            if element.VR != "SQ":
                merged[element.tag] = element
    result = Dataset(merged)
    if "EffectiveEchoTime" in result:
        result.EchoTime = result.EffectiveEchoTime
    if str(result.get("InPlanePhaseEncodingDirection", "")).startswith("COL"):
        result.InPlanePhaseEncodingDirection = "COL"
    return result


def _parts(dataset: Dataset, frame: Dataset) -> Iterator[Dataset]:
    """Yield the parts of an enhanced image, later ones overriding earlier ones.

    Private elements shared by all frames of a Siemens image are left out: there the same numbers mean other things (SDS 01).
    """
    philips = private.item(frame, 0x2005, private.PHILIPS_FRAME, 0x0F)
    if philips is not None:
        yield philips
    yield without_pixels(dataset)
    shared = (dataset.get("SharedFunctionalGroupsSequence") or [Dataset()])[0]
    for place in (shared, frame):
        for element in place:
            if element.VR == "SQ" and not element.tag.is_private:
                yield from element.value[:1]
    yield sdi(frame)
