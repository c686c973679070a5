"""How long a volume takes from a DICOM file's bytes to a volume."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from rtbids.clock import CLOCK
from rtbids.convert.dicom import Instance, read
from rtbids.convert.series import Assembler, counter, volumes
from rtbids.replay import scanner
from rtbids.replay.phantom import Phantom
from rtbids.run.doctor.row import Cost, Row, look, ok
from rtbids.run.doctor.spread import Spread, span, spread
from rtbids.volume import Volume

PHANTOM = Phantom(shape=(64, 64, 36), volumes=25)
SLOW = 0.1  # seconds


@dataclass(frozen=True)
class Conversion:
    """Seconds: of the first volume, which begins the run, and of those after it."""

    first: float
    took: Spread
    shape: tuple[int, int, int] = PHANTOM.shape


def mosaics() -> list[bytes]:
    """Return the files of a phantom."""
    return list(scanner.dicoms(PHANTOM))


def measure(files: Sequence[bytes]) -> tuple[Conversion, list[Volume]]:
    """Convert the mosaics of a phantom; return the volumes too."""
    begun: list[float] = []
    found, times = [], []
    for item in volumes(_instances(files, begun), Assembler({}, counter())):
        if isinstance(item, Volume):
            times.append(time.perf_counter() - begun[item.index])
            found.append(item)
    return Conversion(times[0], spread(times[1:])), found


def _instances(files: Sequence[bytes], begun: list[float]) -> Iterator[Instance]:
    for number, content in enumerate(files):
        begun.append(time.perf_counter())
        yield read(content, f"mosaic {number}", CLOCK.now())


def judge(conversion: Conversion) -> tuple[Row, ...]:
    shape = " × ".join(map(str, conversion.shape))
    text = f"a mosaic of {shape} in {span(conversion.took.median)} (p99 {span(conversion.took.p99)})"
    if conversion.took.median > SLOW:
        return (look("conversion", text, "slow: is the machine busy?", "end what is not needed"),)
    return (ok("conversion", text),)


def costs(conversion: Conversion) -> tuple[Cost, ...]:
    return (Cost("conversion", conversion.took.median, conversion.took.p99),)
