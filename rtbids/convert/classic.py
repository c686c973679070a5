"""One file a slice: GE, Philips, Canon, Toshiba, and the classic export of Siemens XA.

A slice is decoded when it arrives, so that only the last slice's share of the work falls after the volume is whole. Volumes are
told apart by the header alone: the vendors number their images differently.
"""

from __future__ import annotations

import logging
import math
from collections import Counter, defaultdict
from collections.abc import Collection

from pydicom.dataset import Dataset

from rtbids.convert import enhanced, ge, geometry, pixels, private, slices
from rtbids.convert.dicom import Instance
from rtbids.convert.slices import Slice
from rtbids.convert.stack import MALFORMED, Refusal, Stack, malformed, stacks_or_refusal
from rtbids.convert.vendor import vendor
from rtbids.errors import BadData
from rtbids.receipt import hold

logger = logging.getLogger("rtbids")

_ICE_SLICES = 20  # field of the ICE dimensions, as in enhanced images; the classic export keeps it
_FIRST_TELL_TIMES = 2  # volumes that may differ in the slice times that they tell: the first one's may be broken
VOLUME_SERIES = 1000  # XA classic export: volume 12 of series 7 is series 7012


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


def volume_number(dataset: Dataset, count: int | None) -> int | None:
    """Return the place in the run, from 0, of the volume that a slice belongs to; None where only the series can tell."""
    if is_volume_series(dataset):
        return pixels.whole(dataset, "SeriesNumber") % VOLUME_SERIES - 1
    if vendor(dataset) == "philips":  # numbered through time within each slice: the instance number alone tells nothing
        position = pixels.whole(dataset, "TemporalPositionIdentifier")
        return position - 1 if position else None
    number = pixels.whole(dataset, "InstanceNumber", -1)
    return (number - 1) // count if count and number >= 0 else None


class Collector:
    """Collects slices into volumes.

    Where the header has no slice count (Canon, Toshiba) the first position that comes again tells it: images are numbered
    slice by slice, so that two images at one position are a whole number of volumes apart. Where a TR brings several echoes,
    the numbers of one echo's images run over all of them and only the distance between two at one position tells volumes.
    What even this does not sort is sorted when the series is over, by rank within a position.

    A copy may number its images from elsewhere than the first slice of a volume. Numbers run along the slices, so that the
    first whole volume then jumps from one end to the other where the next really begins, and all are counted from there.
    """

    def __init__(self) -> None:
        self._slices: int | None = None  # of a volume
        self._period: int | None = None  # images from one volume to the next, where the numbers tell volumes
        self._offset: int | None = None  # images before the first of a volume, where volumes are counted anew
        self._hint: int | None = None  # images in acquisition: the slices of a volume, or the images of the whole run
        self._volumes: dict[int, dict[float, Slice]] = {}
        self._done: set[int] = set()
        self._dropped: set[int] = set()
        self._waiting: list[Slice] = []  # until the slice count is known, or the series is over
        self._from_zero = False  # whether images are numbered from 0, where DICOM has 1
        self._depths: list[float] = []  # of the slices of a whole volume
        self._end = math.nan  # depth of the slice with the highest number of a volume
        self._ranked = False  # whether only the end of the series sorts what waits
        self._timing: tuple[float, ...] | None = None

    @property
    def begun(self) -> list[int]:
        """The volumes that are not whole yet."""
        return sorted(self._volumes)

    @property
    def waiting(self) -> int:
        """How many images wait for others of their volume."""
        return sum(map(len, self._volumes.values())) + len(self._waiting)

    def add(self, instance: Instance, several: bool) -> list[Stack | Refusal]:
        """Decode a slice; return its volume where it was the last one."""
        dataset = instance.dataset
        hold(instance.receipts)
        try:
            arrived = slices.decoded(instance)
            self._slices = self._slices or slice_count(dataset)
            self._hint = self._hint or ge.images_in_acquisition(dataset)
        except BadData as error:
            return [Refusal(None, instance.name, str(error), (instance,))]
        except MALFORMED as error:
            return [Refusal(None, instance.name, _unplaced(dataset) or malformed(error, (instance,)), (instance,))]
        if arrived.number == 0 and self._offset is None and _is_told_by_number(dataset):
            return self._count_from_zero(arrived, several)
        return self._sort(arrived, several)

    def _sort(self, arrived: Slice, several: bool) -> list[Stack | Refusal]:
        if self._ranked:
            self._waiting.append(arrived)
            return []
        index = self._index(arrived, several)
        if index is None:
            return self._learn(arrived)
        if self._slices is None and is_volume_series(arrived.dataset):
            self._learn_from_next(index)
        return self._place(index, arrived)

    def finish(self) -> list[Stack | Refusal]:
        """Return the volumes of which only the end of the series shows that they are whole."""
        refusals = self._rank() if self._waiting else []
        if self._slices is None and self._volumes:
            self._slices = max(len(volume) for volume in self._volumes.values())
        whole = [index for index in self.begun if len(self._volumes[index]) == self._slices]
        return [*refusals, *(done for index in whole for done in self._take(index))]

    def partial(self, index: int) -> str | None:
        """Say what is there of a volume that is not whole; None where nothing is."""
        found = self._volumes.get(index)
        if not found:
            return None
        return f"{len(found)} of {self._slices or 'an unknown number of'} slices{self._missing(found)}"

    def _missing(self, found: Collection[float]) -> str:
        """Say which slices of a volume are missing, as far as another volume or the steps between the others tell."""
        if self._depths and set(found) <= set(self._depths):
            return f", none at {geometry.named([place for place, one in enumerate(self._depths, 1) if one not in found])}"
        missing = geometry.gaps(sorted(found))
        if not missing or missing == [0]:
            return ""
        ends = " and at the ends" if self._slices and len(found) + len(missing) < self._slices else ""
        return f", none at {geometry.named(missing)}{ends}"

    def drop(self, index: int) -> list[Instance]:
        """Forget a volume that is no longer waited for; return its images, whose receipts are held."""
        self._done.add(index)
        self._dropped.add(index)
        return [one.instance for one in self._volumes.pop(index, {}).values()]

    def _index(self, arrived: Slice, several: bool) -> int | None:
        """Return the volume that a slice belongs to; None where that is not known yet."""
        if not _is_told_by_number(arrived.dataset):
            return volume_number(arrived.dataset, self._slices)
        if several and self._period is None and not self._done:  # what was placed as if it were alone waits with the others
            self._waiting += [one for volume in self._volumes.values() for one in volume.values()]
            self._volumes.clear()
            self._offset = -1 if self._from_zero else None
            return None
        index = volume_number(arrived.dataset, self._period or self._slices)
        return index if index is None or self._offset is None else self._counted(arrived)

    def _learn(self, arrived: Slice) -> list[Stack | Refusal]:
        """Find how far volumes are apart in what has come so far; place what waited for it."""
        if arrived.number is None:
            why = "the header has no InstanceNumber, without which images have no order"
            return [Refusal(None, arrived.name, why, (arrived.instance,))]
        self._waiting.append(arrived)
        period, depths = _period(self._waiting)
        if period == 1:
            self._ranked = True
            logger.warning(
                "%s: images are numbered through time and the header does not say which volume they belong to: "
                "volumes leave when the series is over",
                arrived.name,
            )
            return []
        if not period and self._hint == depths:
            period = depths
        if not period or (self._slices or period) not in _blocks(self._waiting, period).values():
            return []
        self._slices, self._period = self._slices or period, period
        waiting, self._waiting = self._waiting, []
        return [whole for one in waiting for whole in self._place(self._counted(one), one)]

    def _counted(self, one: Slice) -> int:
        """Return the volume that the number of a slice tells, from where volumes begin."""
        return ((one.number or 0) - 1 - (self._offset or 0)) // (self._period or self._slices or 1)

    def _learn_from_next(self, index: int) -> None:
        """Take the slice count from the first volume when the next one begins (XA classic export that has lost its counts)."""
        for begun, volume in self._volumes.items():
            if begun != index and not geometry.gaps(sorted(volume)):
                self._slices = len(volume)

    def _place(self, index: int, arrived: Slice) -> list[Stack | Refusal]:
        if index < 0:
            return [Refusal(None, arrived.name, "its number is below that of the first volume", (arrived.instance,))]
        if index in self._dropped:
            why = f"slices of volume {index} came after it was given up"
            return [Refusal(None, arrived.name, why, (arrived.instance,), is_late=True)]
        if index in self._done or arrived.depth in self._volumes.get(index, {}):
            self._waiting.append(arrived)  # another image at a place that is taken: of a volume that the header does not tell
            return []
        self._volumes.setdefault(index, {})[arrived.depth] = arrived
        whole = [begun for begun, volume in self._volumes.items() if len(volume) == self._slices]
        if whole and not self._done and self._offset is None and (jump := self._jump(self._volumes[whole[0]])):
            return self._count_from(jump)
        return [stack for done in whole for stack in self._whole(done)]

    def _whole(self, index: int) -> list[Stack | Refusal]:
        """Return a volume of which every slice has come, in the places that their numbers tell."""
        volume = self._volumes[index]
        numbers = sorted(one.number or 0 for one in volume.values())
        last = max(volume.values(), key=lambda one: one.number or 0)
        if not _is_told_by_number(last.dataset):
            return self._take(index)
        self._end = last.depth
        if self._period in (None, self._slices) and numbers != list(range(numbers[0], numbers[0] + len(numbers))):
            why = "its slices are not numbered one after the other, so that nothing tells whether they are of one volume"
            return [Refusal(index, last.name, why, tuple(self.drop(index)))]
        return self._take(index)

    def _count_from_zero(self, zero: Slice, several: bool) -> list[Stack | Refusal]:
        """Count from 0 from here on, where DICOM has 1; volumes that have left by then are of slices of two."""
        left = sorted(self._done - self._dropped)
        if left and zero.depth != self._end:
            return [Refusal(None, zero.name, "it is numbered 0 and is no slice before the first", (zero.instance,))]
        self._from_zero, self._offset = True, -1
        found = [one for volume in self._volumes.values() for one in volume.values()]
        self._volumes.clear()
        counted = [done for one in found for done in self._place(self._counted(one), one)]
        if not left:
            return [*counted, *self._sort(zero, several)]
        which = f"volume{'s' if len(left) > 1 else ''} {geometry.named(left)}"
        why = (
            f"images are numbered from 0, and image 0 came only now: {which} left before and held slices of two volumes each; "
            "convert the series anew from its files"
        )
        return [Refusal(None, zero.name, why, (zero.instance,)), *counted]

    def _jump(self, volume: dict[float, Slice]) -> int | None:
        """Return the number at which another volume begins in the midst of what should be one; None where it is one."""
        one = next(iter(volume.values())).dataset
        if not _is_told_by_number(one):
            return None
        return slices.jump(list(volume.values()))

    def _count_from(self, first: int) -> list[Stack | Refusal]:
        """Count volumes anew, from the image numbered `first`; the earliest that has come is in volume 0."""
        found = [one for volume in self._volumes.values() for one in volume.values()]
        self._volumes.clear()
        period = self._period or self._slices or 1
        self._offset = (first - 1) % period
        if any(self._counted(one) < 0 for one in found):
            self._offset -= period
        logger.warning("%s: images are not numbered from the first slice of a volume, and are sorted by place", found[0].name)
        return [whole for one in found for whole in self._place(self._counted(one), one)]

    def _rank(self) -> list[Stack | Refusal]:
        """Place what waits by its rank within a position, after the volumes that are known."""
        places: dict[float, list[Slice]] = defaultdict(list)
        for one in sorted(self._waiting, key=lambda one: one.order):
            places[one.depth].append(one)
        counts = {len(found) for found in places.values()}
        name, instances = self._waiting[-1].name, tuple(one.instance for one in self._waiting)
        self._waiting = []
        after = max((*self._done, *self._volumes), default=-1) + 1
        if len(counts) > 1 or (after and len(places) != self._slices):
            why = "positions have different numbers of images, and nothing tells which volume lacks some"
            return [Refusal(None, name, why, instances)]
        if self._slices is None and counts == {1} and self._hint and len(places) < self._hint and not self._is_planned(places):
            self._slices = self._hint
        for rank in range(counts.pop()):
            self._volumes[after + rank] = {depth: found[rank] for depth, found in places.items()}
        return []

    def _is_planned(self, places: dict[float, list[Slice]]) -> bool:
        """Say whether the images in acquisition are those of a run of volumes of this size."""
        first = next(iter(places.values()))[0].dataset
        return len(places) * (pixels.whole(first, "NumberOfTemporalPositions") or 1) == self._hint

    def _take(self, index: int) -> list[Stack | Refusal]:
        volume = self._volumes.pop(index)
        self._done.add(index)
        name = max(volume.values(), key=lambda one: one.received).name
        instances = tuple(one.instance for one in volume.values())
        self._depths = sorted(volume)
        if self._jump(volume):
            return [Refusal(index, name, "its slices are of two volumes, as their numbers and places tell", instances)]
        return stacks_or_refusal(index, name, instances, lambda: [self._stack(index, volume, name)])

    def _stack(self, index: int, volume: dict[float, Slice], name: str) -> Stack:
        if self._timing is None or index < _FIRST_TELL_TIMES:
            self._timing = slices.timing(volume)
        return slices.stack(index, volume, self._timing, name)


def _is_told_by_number(dataset: Dataset) -> bool:
    """Say whether instance numbers tell which volume a slice belongs to."""
    return vendor(dataset) != "philips" and not is_volume_series(dataset)


def _unplaced(dataset: Dataset) -> str | None:
    """Say which private element has placed the slices of a picture that looks like a UIH grid and no longer is one."""
    if vendor(dataset) == "uih" and "VFRAME" in (dataset.get("ImageType") or ()):
        return "a grid whose header has lost the places of its slices, (0065,xx51) of Image Private Header"
    return None


def _period(waiting: list[Slice]) -> tuple[int, int]:
    """Return how many images lie between two at one position (0 where none has come again), and the number of positions."""
    first: dict[float, int] = {}
    period = 0
    for one in waiting:
        number = one.number or 0
        period = math.gcd(period, number - first.setdefault(one.depth, number))
    return period, len(first)


def _blocks(waiting: list[Slice], period: int) -> Counter[int]:
    """Return how many slices of each volume wait."""
    return Counter(((one.number or 0) - 1) // period for one in waiting)
