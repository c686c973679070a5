"""A decoded volume before it belongs to a run."""

from __future__ import annotations

import re
import struct
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.errors import BytesLengthException

from rtbids.convert import geometry, nonsense
from rtbids.convert.dicom import Instance
from rtbids.convert.elements import PIXEL_DATA
from rtbids.convert.vendor import vendor
from rtbids.errors import BadData

_MOST_NAMED = 3  # elements that a message names
_ABSENT = re.compile(r"Dataset' object has no attribute '(\w+)'")
MALFORMED = (
    AttributeError,
    LookupError,
    TypeError,
    ValueError,
    ArithmeticError,
    NotImplementedError,
    struct.error,
    BytesLengthException,
)


@dataclass(frozen=True, eq=False)
class Stack:
    """One whole volume: `slices` (slice, row upwards, column), so that its transpose lies in memory as NIfTI files do.

    `index` is its place in the run as the header tells it, `timing` the slice times (s) in order of the slices where they are
    known (of the first volume they may be provisional: the second's are then preferred), `paced` as of its instances,
    `acquired` seconds on a clock of the scanner's, `planned` the number of volumes that the header announces,
    `repetition_time` seconds; `header` gives the elements that are the same for the whole run, enhanced groups laid flat.
    `instances` are the images that it was made of; it is a holder of their receipts.
    """

    slices: NDArray[Any]
    affine: NDArray[np.float64]
    index: int
    slope: float
    inter: float
    repetition_time: float | None
    timing: tuple[float, ...] | None
    acquired: float | None
    planned: int | None
    header: Callable[[], Dataset]
    received: float
    name: str
    timing_is_provisional: bool = False
    paced: bool = True
    instances: tuple[Instance, ...] = ()

    @property
    def shape(self) -> tuple[int, int, int]:
        """(i, j, k) as in the NIfTI file."""
        k, j, i = self.slices.shape
        return i, j, k


@dataclass(frozen=True)
class Refusal:
    """A volume that came and cannot be used; `index` is None where even its place is unknown; `instances` as of a stack.

    `is_late` says that it would have been of use, had it come before its volume was given up.
    """

    index: int | None
    name: str
    reason: str
    instances: tuple[Instance, ...] = ()
    is_late: bool = False


def stacks_or_refusal(
    index: int | None, name: str, instances: tuple[Instance, ...], make: Callable[[], list[Stack]]
) -> list[Stack | Refusal]:
    """Return what `make` makes of `instances`, or why it cannot: a header can lack anything, and hold anything."""
    try:
        return [replace(_usable(stack, instances), instances=instances) for stack in make()]
    except BadData as error:
        return [Refusal(index, name, str(error), instances)]
    except MALFORMED as error:
        return [Refusal(index, name, malformed(error, instances), instances)]


def malformed(error: Exception, instances: Iterable[Instance]) -> str:
    """Say what an error met in the headers of `instances` means: what is missing or nonsense, never what it holds."""
    absent = _ABSENT.search(str(error))
    if absent and isinstance(error, AttributeError):
        return f"the header has no {absent[1]}"
    return f"an element that conversion needs is missing or malformed ({_broken(instances) or type(error).__name__})"


def _broken(instances: Iterable[Instance]) -> str:
    """Name the elements that hold no value of their kind."""
    broken = dict.fromkeys(name for instance in instances for name in nonsense.elements(instance.dataset))
    return "; ".join(list(broken)[:_MOST_NAMED])


def _usable(stack: Stack, instances: Iterable[Instance]) -> Stack:
    if not stack.repetition_time:
        raise BadData("the header has no repetition time, without which there is no BOLD run")
    numbers = [*stack.affine.ravel(), stack.slope, stack.inter, stack.repetition_time]
    if not np.isfinite(numbers).all():
        what = _broken(instances) or "as computed from the header"
        raise BadData(f"expected numbers for geometry, scale and repetition time, found others ({what})")
    if stack.repetition_time < 0:
        raise BadData(f"expected a repetition time above 0 s, found {stack.repetition_time:g}")
    if not (stack.affine[:3, :3] ** 2).sum(axis=0).all():
        raise BadData("expected voxels of some size in all directions: a spacing or an orientation in the header is 0")
    return stack


def planned(dataset: Dataset) -> int | None:
    """Return how many volumes the header announces, where the vendor means it."""
    count = dataset.get("NumberOfTemporalPositions")
    return int(count) if count and int(count) > 1 and vendor(dataset) in ("siemens", "ge", "philips") else None


def without_pixels(dataset: Dataset) -> Dataset:
    return Dataset({tag: dataset[tag] for tag in dataset.keys() if tag != PIXEL_DATA})  # noqa: SIM118 (iteration converts)


def checked_step(depths: list[float], single: float) -> float:
    """Return the step (mm) of ascending slices; raise BadData naming the slices that are missing between them."""
    missing = geometry.gaps(depths)
    if missing == [0]:
        raise BadData("expected even steps from slice to slice, found uneven ones")
    if missing:
        raise BadData(f"incomplete, without slice{'s' if len(missing) > 1 else ''} {geometry.named(missing)}")
    return geometry.step(depths, single)
