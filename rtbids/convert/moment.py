"""When an image was acquired, as an offset only: the date stays out."""

from __future__ import annotations

from typing import Any

from pydicom.dataset import Dataset

from rtbids.convert import private
from rtbids.convert.vendor import vendor

DAY = 86400.0
JUMP = 10.0  # seconds between where a clock is and where it would have to be, beyond which somebody has set it


def moment(dataset: Dataset) -> float | None:
    """Return seconds on the scanner's clock (within the day, or from the run's start); None where the header has none.

    Philips: the begin of the dynamic, where it is given (an AcquisitionTime was seen to be wrong). GE writes the run's start
    into every image, so that it says nothing about volumes.
    """
    if vendor(dataset) == "ge":
        return None
    begin = private.number(dataset, 0x2005, private.PHILIPS_MR, 0xA0)
    if begin is not None:
        return begin
    time = dataset.get("AcquisitionTime") or str(dataset.get("AcquisitionDateTime") or "")[8:]
    return seconds_of_day(time)


class ScannersClock:
    """The scanner's clock carried over to ours: the first volume was acquired when it was received, and from there it counts.

    Where it jumps, it counts anew from that volume.

    Parameters
    ----------
    repetition_time
        Seconds, 0 where it is not known.
    """

    def __init__(self, repetition_time: float) -> None:
        self._repetition_time = repetition_time
        self._began: tuple[float, float] | None = None  # acquired (scanner's clock) and received (POSIX)
        self._last: tuple[int, float, float] | None = None

    def carried(self, index: int, acquired: float, received: float) -> float:
        """Return when (POSIX seconds) a volume was acquired that the scanner's clock has at `acquired`."""
        if self._began is None or self.jump(index, acquired, received):
            self._began = acquired, received
        self._last = index, acquired, received
        return self._began[1] + _step(self._began[0], acquired)

    def jump(self, index: int, acquired: float, received: float) -> float | None:
        """Return by how many seconds the clock has jumped before this volume; None where it has not."""
        if self._last is None:
            return None
        step = _step(self._last[1], acquired)
        off = step - (index - self._last[0]) * self._repetition_time
        paused = abs(step - (received - self._last[2])) <= JUMP
        return None if abs(off) <= JUMP or paused or step == 0 else off  # some scanners write one time for the whole run


def _step(before: float, after: float) -> float:
    return (after - before + DAY / 2) % DAY - DAY / 2  # a run may pass midnight


def seconds_of_day(time: Any) -> float | None:
    """Return the seconds of a DICOM time ``HHMMSS.FFFFFF``; None where it is something else."""
    digits, _, fraction = str(time or "").split("+")[0].split("-")[0].partition(".")
    if len(digits) != 6 or not digits.isdigit():
        return None
    whole = int(digits[:2]) * 3600 + int(digits[2:4]) * 60 + int(digits[4:])
    return whole + (float(f"0.{fraction}") if fraction.isdigit() else 0.0)
