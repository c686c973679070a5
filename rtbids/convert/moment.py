"""When an image was acquired, as an offset only: the date stays out."""

from __future__ import annotations

from typing import Any

from pydicom.dataset import Dataset

from rtbids.convert import private
from rtbids.convert.vendor import vendor

DAY = 86400.0


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


def seconds_of_day(time: Any) -> float | None:
    """Return the seconds of a DICOM time ``HHMMSS.FFFFFF``; None where it is something else."""
    digits, _, fraction = str(time or "").split("+")[0].split("-")[0].partition(".")
    if len(digits) != 6 or not digits.isdigit():
        return None
    whole = int(digits[:2]) * 3600 + int(digits[2:4]) * 60 + int(digits[4:])
    return whole + (float(f"0.{fraction}") if fraction.isdigit() else 0.0)
