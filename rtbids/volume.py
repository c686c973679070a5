"""What flows: one volume with its place in space, in the run and in time (a BIDS-I), and the end of a run."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from rtbids import nifti
from rtbids.errors import BadData
from rtbids.receipt import Receipt

Entities: TypeAlias = Mapping[str, str]
Metadata: TypeAlias = Mapping[str, Any]
NOTHING: Mapping[str, Any] = MappingProxyType({})


@dataclass(frozen=True)
class Belongings:
    """What goes along with a run besides its volumes: what its data set says of it all, and of this subject and session.

    Attributes
    ----------
    files
        Contents by name: those of the data set's top folder (``dataset_description.json``, ``README.md``, ...), and the
        sidecars that apply to this run's tables by inheritance (``participants.json``, ``sessions.json``, ``events.json``).
    rows
        What stands in the subject's row of ``participants`` and in the session's of ``sessions``, by column.
    file
        The 4-D file that the run is read from, where that is on this machine.
    """

    files: Mapping[str, bytes] = field(default_factory=lambda: NOTHING)
    rows: Mapping[str, Mapping[str, str]] = field(default_factory=lambda: NOTHING)
    file: Path | None = None


@dataclass(frozen=True, eq=False)
class Volume:
    """One volume of a run, exactly as the NIfTI file will hold it.

    Attributes
    ----------
    data
        (i, j, k), read-only, as stored: multiply by `slope` and add `inter` for the scanner's values.
    slope, inter
        From stored to the scanner's values; 1 and 0 where they are stored as they are.
    affine
        4×4, voxel → scanner mm, RAS+, rounded to float32.
    entities
        BIDS entities by their long names: ``{"subject": "01", "task": "nf", "run": "01"}``.
    metadata
        The run's sidecar fields (seconds). Volumes of a run share one mapping until a field becomes known later.
    index
        Place in the run, from 0; a volume that never came leaves a gap.
    times
        POSIX seconds by stage: ``acquired`` where known, ``received`` (last byte), ``converted``, ...
    events
        The text of the run's ``events.tsv`` where it is known.
    belongings
        What goes along with the run where it came from a data set; volumes of a run share it.
    receipts
        Of the images that it was made of; whoever brings the volume to safety settles them.
    """

    data: NDArray[Any]
    affine: NDArray[np.float64]
    entities: Entities
    metadata: Metadata
    index: int
    times: Mapping[str, float] = field(default_factory=lambda: NOTHING)
    slope: float = 1.0
    inter: float = 0.0
    events: str | None = None
    belongings: Belongings | None = None
    receipts: tuple[Receipt, ...] = ()

    @property
    def shape(self) -> tuple[int, int, int]:
        """How many voxels there are along i, j and k."""
        i, j, k = self.data.shape
        return i, j, k

    @property
    def repetition_time(self) -> float:
        """Seconds from one volume to the next."""
        try:
            return float(self.metadata["RepetitionTime"])
        except KeyError:
            raise BadData(f"volume {self.index}: the sidecar has no RepetitionTime (seconds)") from None

    @property
    def paced(self) -> bool:
        """Whether volumes come at the scanner's pace; without word on it they do."""
        return bool(self.metadata.get("Paced", True))

    @property
    def speed(self) -> float:
        """How many times as fast as they were acquired volumes come, where a replay says so; otherwise 1."""
        speed = self.metadata.get("ReplaySpeed", 1.0)
        return float(speed) if isinstance(speed, int | float) and 0 < speed < math.inf else 1.0

    def scaled(self) -> NDArray[np.float64]:
        """Return the scanner's values as float64: ``data * slope + inter``."""
        return self.data * np.float64(self.slope) + self.inter

    def header(self) -> nifti.Header:
        """Return the header of this volume as a 3-D file."""
        repetition_time = float(self.metadata.get("RepetitionTime", 0.0))
        return nifti.Header(self.shape, self.data.dtype, self.affine, self.slope, self.inter, repetition_time)

    def at(self, **times: float) -> Volume:
        """Return this volume with more stage times."""
        return replace(self, times={**self.times, **times})


@dataclass(frozen=True)
class RunEnd:
    """A run is over: `count` volumes came, those at `missing` never did."""

    entities: Entities
    count: int
    missing: tuple[int, ...] = ()


Item: TypeAlias = Volume | RunEnd


def volume_of(
    data: NDArray[Any],
    affine: NDArray[np.floating],
    entities: Entities,
    metadata: Metadata,
    index: int,
    *,
    times: Mapping[str, float] = NOTHING,
    slope: float = 1.0,
    inter: float = 0.0,
    events: str | None = None,
    belongings: Belongings | None = None,
    receipts: tuple[Receipt, ...] = (),
) -> Volume:
    """Make a volume: data made read-only and little endian, affine and scale rounded to what a NIfTI file holds."""
    data = data.astype(data.dtype.newbyteorder("<"), copy=False)
    data.setflags(write=False)
    slope, inter = float(np.float32(slope)), float(np.float32(inter))
    return Volume(data, nifti.as_stored(affine), entities, metadata, index, times, slope, inter, events, belongings, receipts)


def voxels(volume: Volume) -> memoryview:
    """Return the voxels as bytes in file order (first axis fastest), without a copy where they lie so already."""
    return volume.data.ravel(order="F").data.cast("B")


def run_key(entities: Entities) -> tuple[tuple[str, str], ...]:
    """Return a hashable identity of the run that these entities name."""
    return tuple(sorted(entities.items()))


def difference(before: Volume, volume: Volume) -> str | None:
    """Say how `volume` differs from one `before` it in what a run, and its one file, has but once; None where it does not."""
    if volume.shape != before.shape or volume.data.dtype != before.data.dtype:
        return f"expected {before.shape} {before.data.dtype} as before, found {volume.shape} {volume.data.dtype}"
    if not np.array_equal(volume.affine, before.affine):
        return "the position of the slices changed in the middle of the run"
    scale, expected = (volume.slope, volume.inter), (before.slope, before.inter)
    if scale != expected:
        return "expected scale {:g} and offset {:g} as before, found {:g} and {:g}".format(*expected, *scale)
    times = before.metadata.get("RepetitionTime"), volume.metadata.get("RepetitionTime")
    if times[0] == times[1]:
        return None
    said = ["none" if time is None else f"{time:g} s" for time in times]
    return "expected a RepetitionTime of {} as before, found {}".format(*said)


def volumes(items: Iterable[Item]) -> Iterator[Volume]:
    """Leave out everything but the volumes."""
    return (item for item in items if isinstance(item, Volume))
