"""One slice of a series that has one file a slice: decoded when it arrives, stacked when its volume is whole."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from pydicom.dataset import Dataset

from rtbids.convert import enhanced, ge, geometry, header, pixels, siemens
from rtbids.convert.dicom import Instance
from rtbids.convert.geometry import Vector
from rtbids.convert.moment import moment
from rtbids.convert.pixels import Pixels
from rtbids.convert.stack import Stack, checked_step, planned, without_pixels
from rtbids.convert.vendor import vendor
from rtbids.errors import BadData

_FEWEST = 4  # slices whose order tells anything: three that are interleaved look like three that jump


@dataclass(frozen=True, eq=False)
class Slice:
    """One decoded slice: `depth` mm along the normal, `image` (row upwards, column), `number` its instance number."""

    depth: float
    position: Vector
    image: Pixels
    number: int | None
    dataset: Dataset
    received: float
    name: str
    paced: bool
    instance: Instance

    @property
    def order(self) -> tuple[int, int]:
        """The order of acquisition as the header tells it."""
        return pixels.whole(self.dataset, "AcquisitionNumber"), self.number or 0


def decoded(instance: Instance) -> Slice:
    """Decode one slice."""
    dataset = instance.dataset
    position = np.array(dataset.ImagePositionPatient, dtype=np.float64)
    if not np.isfinite(position).all():
        raise ValueError(position)
    normal = geometry.normal(dataset.ImageOrientationPatient)
    if not normal.any():
        raise BadData("ImageOrientationPatient tells no orientation: its rows and columns have no direction of their own")
    depth = round(float(np.dot(position, normal)), 2)
    image = pixels.as_nifti(dataset, pixels.stored(dataset))[0, ::-1]
    number = pixels.whole(dataset, "InstanceNumber", -1)
    return Slice(
        depth,
        position,
        image,
        None if number < 0 else number,
        dataset,
        instance.received,
        instance.name,
        instance.paced,
        instance,
    )


def jump(found: Sequence[Slice]) -> int | None:
    """Return the number of the slice at which depths, in order of numbers, jump from one end of the volume to the other.

    None where they do not, or run in no order that would show it.
    """
    ordered = sorted(found, key=lambda one: one.number or 0)
    steps = [one.depth - before.depth for before, one in pairwise((ordered[-1], *ordered))]  # the first from the last
    back = [place for place, step in enumerate(steps) if step < 0], [place for place, step in enumerate(steps) if step > 0]
    jumps = next((places for places in back if len(places) == 1), [0])  # an order along the slices jumps at its beginning
    return ordered[jumps[0]].number if jumps[0] and len(ordered) >= _FEWEST else None


def timing(volume: Mapping[float, Slice]) -> tuple[float, ...] | None:
    """Return slice times where GE or Siemens tells them; images that GE has numbered against the slices turn them round."""
    lowest, highest = volume[min(volume)], volume[max(volume)]
    if vendor(lowest.dataset) == "siemens":
        return siemens.frame_timing([volume[depth].dataset for depth in sorted(volume)])
    if vendor(lowest.dataset) != "ge":
        return None
    return ge.timing(lowest.dataset, len(volume), (lowest.number or 0) > (highest.number or 0))


def stack(index: int, volume: Mapping[float, Slice], times: tuple[float, ...] | None, name: str) -> Stack:
    """Make a volume of its slices."""
    depths = sorted(volume)
    ordered = [volume[depth] for depth in depths]
    lowest = ordered[0]
    if len({one.image.shape for one in ordered}) > 1:
        raise BadData("the slices of one volume have different sizes")
    dataset = lowest.dataset
    single = float(dataset.get("SpacingBetweenSlices") or dataset.get("SliceThickness") or 1.0)
    where = geometry.plane(dataset.ImageOrientationPatient, dataset.PixelSpacing)
    step = checked_step(depths, single)
    slope, inter = header.scale(dataset)
    return Stack(
        slices=np.stack([one.image for one in ordered]),
        affine=geometry.affine(where, lowest.position, step, lowest.image.shape[0]),
        index=index,
        slope=slope,
        inter=inter,
        repetition_time=header.repetition_time(dataset),
        timing=times,
        timing_is_provisional=vendor(dataset) == "siemens" and index == 0,
        acquired=moment(min(ordered, key=lambda one: one.order).dataset),
        planned=planned(dataset),
        header=lambda: _with_frame_header(dataset),
        received=max(one.received for one in ordered),
        name=name,
        paced=any(one.paced for one in ordered),
    )


def _with_frame_header(dataset: Dataset) -> Dataset:
    """Return the header with what the classic export of Siemens XA keeps in an item of its own."""
    flat = without_pixels(dataset)
    for element in enhanced.sdi(dataset):
        flat[element.tag] = element
    return flat
