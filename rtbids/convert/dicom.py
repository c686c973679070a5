"""One DICOM file: its bytes, the elements that conversion needs, and whether it is whole."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from rtbids.errors import BadData


class Incomplete(BadData):
    """A DICOM file whose pixel data have not all arrived: wait, or count it as lost."""


@dataclass(frozen=True, eq=False)
class Instance:
    """One whole DICOM file.

    `dataset` is a ``pydicom.Dataset`` with the elements that rtbids uses and no others, pixel data included;
    `content` the file's bytes as they came; `received` POSIX seconds of the last byte; `name` where it came from, for messages.
    """

    name: str
    content: bytes | bytearray | memoryview
    dataset: Any
    received: float
