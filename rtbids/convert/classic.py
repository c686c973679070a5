"""One file a slice: GE, Philips, Canon, Toshiba, and the classic export of Siemens XA.

A slice is decoded when it arrives, so that only the last slice's share of the work falls after the volume is whole. Volumes are
told apart by the header alone: the vendors number their images differently.
"""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass

import numpy as np
from pydicom.dataset import Dataset

from rtbids.convert import enhanced, ge, geometry, header, pixels, private
from rtbids.convert.dicom import Instance
from rtbids.convert.geometry import Vector
from rtbids.convert.moment import moment
from rtbids.convert.pixels import Pixels
from rtbids.convert.stack import MALFORMED, Refusal, Stack, checked_step, planned, stacks_or_refusal, without_pixels
from rtbids.convert.vendor import vendor
from rtbids.errors import BadData

_ICE_SLICES = 20  # field of the ICE dimensions, as in enhanced images; the classic export keeps it
VOLUME_SERIES = 1000  # XA classic export: volume 12 of series 7 is series 7012


@dataclass(frozen=True, eq=False)
class Slice:
    """One decoded slice: `depth` mm along the normal, `image` (row upwards, column), `number` its instance number."""

    depth: float
    position: Vector
    image: Pixels
    number: int
    dataset: Dataset
    received: float
    name: str
    paced: bool


def is_volume_series(dataset: Dataset) -> bool:
    """Say whether this is the classic export of Siemens XA, in which every volume is a series of its own."""
    return (
        vendor(dataset) == "siemens"
        and not enhanced.is_enhanced(dataset)
        and "XA" in str(dataset.get("SoftwareVersions") or "")
        and "MOSAIC" not in (dataset.get("ImageType") or ())
        and pixels.whole(dataset, "SeriesNumber") > VOLUME_SERIES
    )


def slice_count(dataset: Dataset) -> int | None:
    """Return how many slices a volume has, None where the header does not say."""
    maker = vendor(dataset)
    if maker == "ge":
        return ge.slice_count(dataset)
    if maker == "philips":
        count = private.number(dataset, 0x2001, private.PHILIPS_IMAGE, 0x18)
        return int(count) if count else None
    if is_volume_series(dataset):
        place = private.item(dataset, 0x0021, private.SDI, 0xFE) or dataset
        fields = str(private.find(place, 0x0021, private.SDI, 0x8E) or "").split("_")
        known = len(fields) > _ICE_SLICES and fields[_ICE_SLICES].isdigit() and int(fields[_ICE_SLICES]) > 1
        return int(fields[_ICE_SLICES]) if known else None
    return None


def volume_number(dataset: Dataset, slices: int | None) -> int | None:
    """Return the place in the run, from 0, of the volume that a slice belongs to; None where only the series can tell."""
    if is_volume_series(dataset):
        return pixels.whole(dataset, "SeriesNumber") % VOLUME_SERIES - 1
    if vendor(dataset) == "philips":  # numbered through time within each slice: the instance number alone tells nothing
        position = pixels.whole(dataset, "TemporalPositionIdentifier")
        return position - 1 if position else None
    return (pixels.whole(dataset, "InstanceNumber", 1) - 1) // slices if slices else None


class Collector:
    """Collects slices into volumes.

    Where the header has no slice count (Canon, Toshiba) the first position that comes again tells it: images are numbered
    slice by slice, so that two images at one position are a whole number of volumes apart.
    """

    def __init__(self) -> None:
        self._slices: int | None = None
        self._volumes: dict[int, dict[float, Slice]] = {}
        self._done: set[int] = set()
        self._waiting: list[Slice] = []  # until the slice count is known
        self._through_time = False
        self._timing: tuple[float, ...] | None = None

    @property
    def begun(self) -> list[int]:
        """The volumes that are not whole yet."""
        return sorted(self._volumes)

    def add(self, instance: Instance, several: bool) -> list[Stack | Refusal]:
        """Decode a slice; return its volume where it was the last one."""
        try:
            arrived = _decoded(instance)
        except MALFORMED as error:
            return [Refusal(None, instance.name, f"an element that places the slice is missing or malformed ({error})")]
        self._slices = self._slices or slice_count(arrived.dataset)
        index = volume_number(arrived.dataset, self._slices)
        if index is None:
            self._waiting.append(arrived)
            return self._learn(instance.name)
        if self._slices is None:
            self._learn_from_next(index)
        return self._place(index, arrived)

    def finish(self) -> list[Stack | Refusal]:
        """Return the volume of a series without a slice count, of which only the end shows that no more slices come."""
        if self._slices is not None:
            return []
        if self._waiting:
            self._volumes[0] = {one.depth: one for one in self._waiting}
        self._waiting = []
        return [whole for index in self.begun for whole in self._take(index)]

    def partial(self, index: int) -> str | None:
        """Say what is there of a volume that is not whole; None where nothing is."""
        found = self._volumes.get(index)
        if not found:
            return None
        missing = geometry.gaps(sorted(found))
        between = f", none at {geometry.named(missing)}" if missing else ""
        return f"{len(found)} of {self._slices or 'an unknown number of'} slices{between}"

    def drop(self, index: int) -> None:
        """Forget a volume that is no longer waited for."""
        self._volumes.pop(index, None)
        self._done.add(index)

    def _learn(self, name: str) -> list[Stack | Refusal]:
        """Find the slice count in what has come so far; place what waited for it."""
        first: dict[float, int] = {}
        period = 0
        for one in self._waiting:
            period = math.gcd(period, one.number - first.setdefault(one.depth, one.number))
        if period == 1 or self._through_time:
            self._through_time, self._waiting = True, []
            why = "images are numbered through time and the header does not say which volume they belong to"
            return [Refusal(None, name, why)]
        held = Counter((one.number - 1) // period for one in self._waiting) if period else Counter()
        if period not in held.values():
            return []
        self._slices = period
        waiting, self._waiting = self._waiting, []
        return [stack for one in waiting for stack in self._place((one.number - 1) // period, one)]

    def _learn_from_next(self, index: int) -> None:
        """Take the slice count from the first volume when the next one begins (XA classic export that has lost its counts)."""
        for begun, volume in self._volumes.items():
            if begun != index and not geometry.gaps(sorted(volume)):
                self._slices = len(volume)

    def _place(self, index: int, arrived: Slice) -> list[Stack | Refusal]:
        if index in self._done:
            return []
        self._volumes.setdefault(index, {}).setdefault(arrived.depth, arrived)
        whole = [begun for begun, volume in self._volumes.items() if len(volume) == self._slices]
        return [stack for done in whole for stack in self._take(done)]

    def _take(self, index: int) -> list[Stack | Refusal]:
        volume = self._volumes.pop(index)
        self._done.add(index)
        name = max(volume.values(), key=lambda one: one.received).name
        return stacks_or_refusal(index, name, lambda: [self._stack(index, volume, name)])

    def _stack(self, index: int, volume: dict[float, Slice], name: str) -> Stack:
        if self._timing is None:
            self._timing = _timing(volume)
        return _stack(index, volume, self._timing, name)


def _decoded(instance: Instance) -> Slice:
    dataset = instance.dataset
    position = np.array(dataset.ImagePositionPatient, dtype=np.float64)
    cosines = np.array(dataset.ImageOrientationPatient, dtype=np.float64)
    depth = round(float(np.dot(position, np.cross(cosines[:3], cosines[3:6]))), 2)
    image = pixels.as_nifti(dataset, pixels.stored(dataset))[0, ::-1]
    number = pixels.whole(dataset, "InstanceNumber", 1)
    return Slice(depth, position, image, number, dataset, instance.received, instance.name, instance.paced)


def _timing(volume: dict[float, Slice]) -> tuple[float, ...] | None:
    """Return the slice times that a GE header tells; images numbered against the slices turn them round."""
    lowest, highest = volume[min(volume)], volume[max(volume)]
    if vendor(lowest.dataset) != "ge":
        return None
    return ge.timing(lowest.dataset, len(volume), lowest.number > highest.number)


def _stack(index: int, volume: dict[float, Slice], timing: tuple[float, ...] | None, name: str) -> Stack:
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
        timing=timing,
        acquired=moment(min(ordered, key=lambda one: one.number).dataset),
        planned=planned(dataset),
        header=lambda: without_pixels(dataset),
        received=max(one.received for one in ordered),
        name=name,
        paced=any(one.paced for one in ordered),
    )
