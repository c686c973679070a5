"""Private elements, found by the name of their creator and never by a fixed block number.

A PACS may move a private block, so (0021,1153) on the scanner is (0021,1053) in a copy; only the creator element says which.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Mapping, Sequence
from typing import Any

from pydicom.dataset import Dataset
from pydicom.tag import BaseTag

from rtbids import csa
from rtbids.convert import known

CSA = "SIEMENS CSA HEADER"
SIEMENS_MR = "SIEMENS MR HEADER"
SDI = "SIEMENS MR SDI 02"
SDS = "SIEMENS MR SDS 01"
GE_ACQUIRED = "GEMS_ACQU_01"
GE_ACQUISITION = "GEMS_RELA_01"
GE_SERIES = "GEMS_SERS_01"
GE_PARAMETERS = "GEMS_PARM_01"
PHILIPS_IMAGE = "Philips Imaging DD 001"
PHILIPS_MR = "Philips MR Imaging DD 001"
PHILIPS_FRAME = "Philips MR Imaging DD 005"
UIH = "Image Private Header"


def find(dataset: Dataset, group: int, creator: str, low_byte: int) -> Any:
    """Return the value of ``(group,xx[low_byte])`` in the block that `creator` reserved; None where there is none."""
    for tag in dataset.keys():  # noqa: SIM118 (iterating a Dataset converts every element)
        if tag >> 16 == group and 0x10 <= tag & 0xFFFF <= 0xFF and str(known.value(dataset, tag)).strip() == creator:
            value = known.value(dataset, BaseTag(group << 16 | (tag & 0xFF) << 8 | low_byte))
            if value is not None:
                return value
    return None


def item(dataset: Dataset, group: int, creator: str, low_byte: int) -> Dataset | None:
    """Return the first item of a private sequence."""
    items = find(dataset, group, creator, low_byte)
    return items[0] if isinstance(items, Sequence) and len(items) and isinstance(items[0], Dataset) else None


def csa_fields(dataset: Dataset) -> Mapping[str, list[str]]:
    """Return the fields of the CSA image header (0029,xx10) as texts by name; empty where it is missing or unreadable."""
    content = find(dataset, 0x0029, CSA, 0x10)
    return csa.parse(content) if isinstance(content, bytes) else {}


def number(dataset: Dataset, group: int, creator: str, low_byte: int) -> float | None:
    """Return a private value as a number; None where it is absent or no number."""
    values = numbers(dataset, group, creator, low_byte)
    return values[0] if values else None


def numbers(dataset: Dataset, group: int, creator: str, low_byte: int) -> list[float]:
    """Return a private value as numbers; empty where it is absent or holds something else."""
    return as_numbers(find(dataset, group, creator, low_byte))


def texts(dataset: Dataset, group: int, creator: str, low_byte: int) -> list[str]:
    """Return a private value as texts; where a copy has lost the representation (UN) they are split as DICOM splits them."""
    value = find(dataset, group, creator, low_byte)
    if isinstance(value, bytes):
        value = value.decode("ascii", "replace").rstrip(" \0").split("\\")
    if value is None:
        return []
    several = isinstance(value, Sequence) and not isinstance(value, str)
    return [str(single) for single in value] if several else [str(value)]


def as_numbers(value: Any) -> list[float]:
    """Return one or several values as floats; text and bytes are split as DICOM splits them."""
    if value is None:
        return []
    if isinstance(value, bytes):
        value = _text_or_doubles(value)
    if isinstance(value, str):
        value = value.split("\\")
    try:
        found = [float(single) for single in (value if isinstance(value, Sequence) else [value])]
    except (TypeError, ValueError):
        return []
    return found if all(map(math.isfinite, found)) else []


def _text_or_doubles(content: bytes) -> Any:
    """Read a value of which a copy has lost the representation (UN): a text, or else doubles."""
    text = content.decode("ascii", "replace")
    if len(content) % 8 or (content.isascii() and text.isprintable()):
        return text
    return list(struct.unpack(f"<{len(content) // 8}d", content))
