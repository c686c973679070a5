"""From instances to stacks, by the form that the images have."""

from __future__ import annotations

from collections.abc import Collection
from typing import Protocol

from pydicom.dataset import Dataset

from rtbids.convert import classic, enhanced, header, mosaic, pixels, private, siemens
from rtbids.convert.dicom import Instance
from rtbids.convert.geometry import Vector
from rtbids.convert.moment import moment, seconds_of_day
from rtbids.convert.stack import Refusal, Stack, planned, stacks_or_refusal, without_pixels
from rtbids.convert.vendor import vendor
from rtbids.receipt import hold

_COUNTS = ("AcquisitionNumber", "InstanceNumber")


class Decoder(Protocol):
    """Takes the images of one series, gives whole volumes; holds the receipts of images that wait for others."""

    def add(self, instance: Instance, several: bool) -> list[Stack | Refusal]:
        """Decode an image; `several` says that a TR brings more than one image (echoes, raw and corrected)."""
        ...

    def finish(self) -> list[Stack | Refusal]:
        """Return what only the end of the series shows to be whole."""
        ...

    def partial(self, index: int) -> str | None:
        """Say what is there of a volume that is not whole: ``12 of 15 slices``; None where nothing is."""
        ...

    def drop(self, index: int) -> list[Instance]:
        """Forget a volume that is no longer waited for; return its images, whose receipts are held."""
        ...

    @property
    def begun(self) -> list[int]:
        """The volumes that are not whole yet."""
        ...

    @property
    def waiting(self) -> int:
        """How many images wait for others of their volume."""
        ...


def decoder(dataset: Dataset) -> Decoder:
    """Return the decoder for a series that begins with `dataset`."""
    if mosaic.is_mosaic(dataset) or mosaic.is_grid(dataset) or enhanced.is_enhanced(dataset):
        return Whole()
    return classic.Collector()


class Whole:
    """Images that hold whole volumes: mosaics, grids, enhanced multi-frame."""

    def __init__(self) -> None:
        self._from_zero: set[str] = set()  # elements that count from 0, where DICOM has 1
        self._relied_on: set[str] = set()  # elements that have told the place of a volume: a later 0 changes nothing

    @property
    def begun(self) -> list[int]:
        return []

    @property
    def waiting(self) -> int:
        return 0

    def add(self, instance: Instance, several: bool) -> list[Stack | Refusal]:
        dataset = instance.dataset
        self._from_zero |= {keyword for keyword in _COUNTS if pixels.whole(dataset, keyword, 1) == 0} - self._relied_on
        keyword, index = _counted(dataset, several, self._from_zero)
        if index < 0:
            return [Refusal(None, instance.name, f"its {keyword} is below that of the first image", (instance,))]
        self._relied_on.add(keyword)
        form = _enhanced if enhanced.is_enhanced(dataset) else _mosaic if mosaic.is_mosaic(dataset) else _grid
        made = stacks_or_refusal(index, instance.name, (instance,), lambda: form(instance, index))
        for _ in made:
            hold(instance.receipts)
        return made

    def finish(self) -> list[Stack | Refusal]:
        return []

    def partial(self, index: int) -> str | None:
        return None

    def drop(self, index: int) -> list[Instance]:
        return []  # nothing waits here


def volume_number(dataset: Dataset, several: bool) -> int:
    """Return the place in the run, from 0, of an image that is a whole volume."""
    return _counted(dataset, several, ())[1]


def _counted(dataset: Dataset, several: bool, from_zero: Collection[str]) -> tuple[str, int]:
    """Return the place in the run, from 0, of an image that is a whole volume, and the element that tells it.

    The acquisition number counts volumes; the instance number counts images, which is the same where a TR brings one. Some
    copies hold the acquisition number at 1, so that it is believed from 2 on, or where the instance number cannot be meant.
    `from_zero` names those of the two that count from 0.
    """
    acquisition, instance = pixels.whole(dataset, "AcquisitionNumber"), pixels.whole(dataset, "InstanceNumber", 1)
    acquisition += "AcquisitionNumber" in from_zero and acquisition > 0  # a copy may hold it at 0
    instance += "InstanceNumber" in from_zero
    by_acquisition = acquisition > 1 or (acquisition == 1 and several)
    return (_COUNTS[0], acquisition - 1) if by_acquisition else (_COUNTS[1], instance - 1)


def _mosaic(instance: Instance, index: int) -> list[Stack]:
    dataset = instance.dataset
    fields = private.csa_fields(dataset)
    slices, affine, reverse = mosaic.siemens(dataset, fields)
    timing = siemens.mosaic_timing(dataset, fields, len(slices), reverse)
    return [_stack(instance, slices, affine, index, timing)]


def _grid(instance: Instance, index: int) -> list[Stack]:
    slices, affine, turned = mosaic.uih(instance.dataset)
    items = private.find(instance.dataset, 0x0065, private.UIH, 0x51)
    times = [seconds_of_day(item.get("AcquisitionTime")) for item in items]
    known = [time for time in times if time is not None]
    timing = tuple(round(time - min(known), 6) for time in known) if len(known) == len(slices) else None
    if turned and timing is not None:
        timing = timing[::-1]
    return [_stack(instance, slices, affine, index, timing)]


def _stack(
    instance: Instance,
    slices: pixels.Pixels,
    affine: Vector,
    index: int,
    timing: tuple[float, ...] | None,
) -> Stack:
    dataset = instance.dataset
    slope, inter = header.scale(dataset)
    return Stack(
        slices=slices,
        affine=affine,
        index=index,
        slope=slope,
        inter=inter,
        repetition_time=header.repetition_time(dataset),
        timing=timing,
        acquired=moment(dataset),
        planned=planned(dataset),
        header=lambda: without_pixels(dataset),
        received=instance.received,
        name=instance.name,
        paced=instance.paced,
    )


def _enhanced(instance: Instance, index: int) -> list[Stack]:
    read = enhanced.read(instance.dataset)
    # of a Siemens volume only the first stored frame is read in full
    flat = enhanced.flat(instance.dataset, instance.dataset.PerFrameFunctionalGroupsSequence[0])
    alone = len(read.volumes) == 1
    is_siemens = vendor(flat) == "siemens"
    scales = [header.scale(flat if is_siemens else enhanced.flat(instance.dataset, first)) for first in read.firsts]
    timing = siemens.frame_timing(read.frames) if is_siemens else None
    return [
        Stack(
            slices=slices,
            affine=read.affine,
            index=index if alone else number,
            slope=scales[number][0],
            inter=scales[number][1],
            repetition_time=header.repetition_time(flat),
            timing=timing,
            timing_is_provisional=alone and index == 0,
            acquired=moment(instance.dataset) if alone else None,  # a file of all volumes comes after the last of them
            planned=planned(instance.dataset) if alone else len(read.volumes),
            header=lambda: flat,
            received=instance.received,
            name=instance.name,
            paced=instance.paced and alone,  # several volumes at once do not come at the scanner's pace
        )
        for number, slices in enumerate(read.volumes)
    ]
