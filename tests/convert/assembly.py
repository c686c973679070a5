"""What the tests of conversion share: files into runs, and a phantom's mosaics."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rtbids.clock import ManualClock
from rtbids.convert import dicom, series
from rtbids.replay.mosaic import MosaicSeries
from rtbids.volume import Item, RunEnd, Volume

AFFINE = np.array([[-3.0, 0, 0, 10], [0, 3.0, 0, -8], [0, 0, 4.0, -6], [0, 0, 0, 1]])
SHAPE = (8, 6, 5)
TR = 2.0


def mosaics(number: int = 7, affine: NDArray[np.float64] = AFFINE, **options: Any) -> MosaicSeries:
    """Return a small imaginary series."""
    return MosaicSeries(options.pop("shape", SHAPE), affine, options.pop("repetition_time", TR), number, **options)


def voxels_of(index: int, shape: tuple[int, int, int] = SHAPE) -> NDArray[np.integer]:
    """Return the voxels of the imaginary volume `index`: no two volumes and no two voxels near each other are the same."""
    return (np.arange(np.prod(shape)).reshape(shape) + 100 * index) % 4096


def image(scan: MosaicSeries, index: int, received: float = 0.0, uid: int | None = None) -> dicom.Instance:
    """Return volume `index` of an imaginary series as it arrives."""
    content = scan.dicom(voxels_of(index, scan.shape), index, uid)
    return dicom.read(content, f"{scan.number}-{index}.dcm", received)


class Scanner:
    """An assembler with a clock that stands still, and everything that has left it."""

    def __init__(self, entities: Mapping[str, str] | None = None, **options: Any) -> None:
        self.clock = ManualClock(1000.0)
        self.assembler = series.Assembler(entities or {}, series.counter(), clock=self.clock, **options)
        self.items: list[Item] = []

    def send(self, *instances: dicom.Instance) -> Scanner:
        for instance in instances:
            self.items += self.assembler.add(instance, self.clock.now())
        return self

    def wait(self, seconds: float) -> Scanner:
        self.items += self.assembler.tick(self.clock.advance(seconds))
        return self

    def finish(self) -> Scanner:
        self.items += self.assembler.finish()
        return self

    @property
    def volumes(self) -> list[Volume]:
        return [item for item in self.items if isinstance(item, Volume)]

    @property
    def indices(self) -> list[int]:
        return [volume.index for volume in self.volumes]

    @property
    def ends(self) -> list[RunEnd]:
        return [item for item in self.items if isinstance(item, RunEnd)]


def instances(files: Iterable[Path]) -> list[dicom.Instance]:
    """Read files, in the order of acquisition that their headers tell."""
    found = [dicom.read(file.read_bytes(), file.name, 0.0) for file in files]
    return sorted(found, key=lambda instance: dicom.sort_key(instance.dataset))
