"""What GE headers say: the protocol block, the repetition time with its delays, phase encoding, slice times."""

from __future__ import annotations

import math
import re
import struct
import zlib
from collections.abc import Mapping, Sequence

from pydicom.dataset import Dataset

from rtbids.convert import private
from rtbids.convert.encoding import Encoding

_LINE = re.compile(r'^\s*(\S+)\s+"(.*)"\s*$', re.MULTILINE)
_RELEASE = re.compile(r"MR Software release:\D*(\d+)\.\d+_(?:R0*(\d+)|EA)")
_MOST_TEXT = 1 << 20  # bytes; those seen have some 20,000
_NEW_ORDER = (27, 3)  # release from which multiband slices are ordered otherwise: 27.0 R03


def protocol(dataset: Dataset) -> Mapping[str, str]:
    """Return the protocol block (0025,xx1B): a length, then gzip of lines ``KEY "VALUE"``; empty where it is lost."""
    content = private.find(dataset, 0x0025, private.GE_SERIES, 0x1B)
    if not isinstance(content, bytes) or len(content) < 6:
        return {}
    try:
        text = zlib.decompressobj(wbits=31).decompress(content[4:], _MOST_TEXT)
    except zlib.error:
        return {}
    return dict(_LINE.findall(text.decode("latin-1")))


def repetition_time(dataset: Dataset) -> float | None:
    """Return seconds from volume to volume: the TR and the delay after it."""
    if not dataset.get("RepetitionTime"):
        return None
    seconds = float(dataset.RepetitionTime) / 1000.0
    seconds += private.number(dataset, 0x0043, private.GE_PARAMETERS, 0x7C) or 0.0
    block = protocol(dataset)
    if _multiphase(block):
        seconds += _seconds(block.get("DELACQ", ""))
    return round(seconds, 7)


def slice_count(dataset: Dataset) -> int | None:
    """Return the slices of one volume (locations in acquisition); None where a copy has lost it."""
    count = private.number(dataset, 0x0021, private.GE_ACQUISITION, 0x4F)
    return int(count) if count else None


def images_in_acquisition(dataset: Dataset) -> int | None:
    """Return the images in acquisition: the slices of a volume on some scanners, the images of the whole run in some copies."""
    values = private.as_numbers(dataset.get("ImagesInAcquisition"))
    return int(values[0]) if values and values[0] > 0 else None


def timing(dataset: Dataset, slices: int, descending: bool) -> tuple[float, ...] | None:
    """Return slice times (s) in order of the slices, from the protocol block; None where it does not tell them.

    `descending` says that the images are numbered against the slices (superior to inferior).
    """
    block = protocol(dataset)
    options = block.get("IOPT", "")
    if not block or "DIFF" in options or not dataset.get("RepetitionTime") or (_multiphase(block) and "DELACQ" not in block):
        return None
    bands = max(1, int(_seconds(block.get("MBACCEL", ""))))
    shots, new = math.ceil(slices / bands), _release(dataset) >= _NEW_ORDER
    if bands > 1 and not new and shots % 2 == 0:
        shots += 1
    interleaved = block.get("SLICEORDER") != "0" if "FMRI" in options else True
    times = _shot_times(shots, float(dataset.RepetitionTime) / 1000.0 / shots, interleaved)
    if interleaved and bands > 1 and new and shots > 2 and shots % 2 == 0:
        times[-1], times[-3] = times[-3], times[-1]
    ordered = [times[number % shots] for number in range(slices)]
    return tuple(ordered[::-1] if descending else ordered)


def encoding(dataset: Dataset, steps: int) -> Encoding:
    """Return sign and readout from the acquisition matrix, the acceleration and the echo spacing (µs)."""
    phase = [int(value) for value in (dataset.get("AcquisitionMatrix") or ())[2:4] if value]
    microseconds = private.number(dataset, 0x0043, private.GE_PARAMETERS, 0x2C)
    if not phase or not microseconds or phase[0] < 2:
        return Encoding(_sign(dataset))
    factor = private.number(dataset, 0x0043, private.GE_PARAMETERS, 0x83) or 0.0
    acceleration = 1.0 / factor if factor > 0 else 1.0
    partial = {"PFF", "PFP"} & set(_texts(dataset.get("ScanOptions")))
    rounding = 4 if partial else 2
    lines = math.ceil(phase[0] / acceleration / rounding) * rounding
    spacing = (lines - 1) * microseconds * 1e-6 / (phase[0] - 1)
    return Encoding(_sign(dataset), spacing, spacing * (steps - 1))


def _multiphase(block: Mapping[str, str]) -> bool:
    options = block.get("IOPT", "")
    return "MPh" in options and "FMRI" not in options


def _seconds(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return 0.0  # "Minimum"


def _release(dataset: Dataset) -> tuple[int, int]:
    found = _RELEASE.search("\\".join(_texts(dataset.get("SoftwareVersions"))))
    return (int(found[1]), int(found[2] or 0)) if found else (0, 0)


def _texts(value: object) -> list[str]:
    several = isinstance(value, Sequence) and not isinstance(value, str)
    return [str(single) for single in value] if several else [str(value or "")]  # type: ignore[attr-defined]


def _shot_times(shots: int, step: float, interleaved: bool) -> list[float]:
    if not interleaved:
        return [number * step for number in range(shots)]
    odd_begin = (shots - 1) // 2
    return [(number // 2 if number % 2 == 0 else odd_begin + (number + 1) // 2) * step for number in range(shots)]


def _sign(dataset: Dataset) -> int | None:
    """Return the polarity of phase encoding, from the standard's element or from the image header in (0043,xx2A)."""
    reordering = {"LINEAR": 0, "REVERSE_LINEAR": 1}.get(str(dataset.get("RectilinearPhaseEncodeReordering") or ""))
    if reordering is not None:
        return reordering
    header = private.find(dataset, 0x0043, private.GE_PARAMETERS, 0x2A)
    try:
        return _header_sign(header) if isinstance(header, bytes) else None
    except struct.error:
        return None


def _header_sign(header: bytes) -> int | None:
    start = struct.unpack_from("<h", header, 24)[0]
    view_order = 0x394
    if struct.unpack_from("<f", header, start)[0] >= 25.002:
        start, view_order = start + 0x4C, 0x308
    if not struct.unpack_from("<h", header, start + 0x3A)[0] & 0x800:  # not echo planar
        return None
    sign = 0 if struct.unpack_from("<h", header, start + 0x30)[0] & 4 else 1
    return 1 - sign if struct.unpack_from("<h", header, start + view_order)[0] == 2 else sign
