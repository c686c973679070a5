"""Whether a DICOM file that lies on a disk is whole, told from its header and its length alone.

A parser does not notice that a file is cut off. Here the header is read up to the pixels, and what it promises is compared with
the bytes that are there. Nothing is decoded, so that any transfer syntax will do, and any sort of object.
"""

from __future__ import annotations

import os
import struct
from typing import Any, BinaryIO

from pydicom.filereader import read_partial
from pydicom.tag import BaseTag
from pydicom.uid import UID, DeflatedExplicitVRLittleEndian, MediaStorageDirectoryStorage

from rtbids.convert.dicom import ELEMENT_FIRST, Incomplete, shown
from rtbids.errors import BadData
from rtbids.watch import whole

PIXELS = frozenset((0x7FE00008, 0x7FE00009, 0x7FE00010))  # float, double float, and the usual ones
_TAGS: list[BaseTag | int] = [0x00080016, 0x00080018, 0x0020000E, 0x00200011, 0x00280002, 0x00280004, 0x00280008]
_TAGS += [0x00280010, 0x00280011, 0x00280100]
_ITEM, _SEQUENCE_END, _UNDEFINED = 0xFFFEE000, 0xFFFEE0DD, 0xFFFFFFFF


def check(path: str) -> Any:
    """Return the few elements that say which image a file holds.

    Raises
    ------
    Incomplete
        The file ends before its pixels do, or nothing is written yet.
    BadData
        Not a DICOM file, or one that is no object to be sent.
    OSError
        It cannot be read.
    """
    with open(path, "rb") as file:
        return check_file(file, shown(path))


def check_file(file: BinaryIO, name: str) -> Any:
    """As `check`, of an open file or of bytes in memory."""
    size = file.seek(0, os.SEEK_END)
    file.seek(0)
    head = file.read(whole.HEAD)
    whole.check_beginning(head, name)
    try:
        return _checked(file, size, head, name)
    except BadData:
        raise
    except Exception as error:
        if isinstance(error, OSError) and error.errno:  # pydicom's own, of a file that is cut off, have no number
            raise
        raise Incomplete(f"{name}: {size} bytes that cannot be read to the end ({type(error).__name__})") from error


def _checked(file: BinaryIO, size: int, head: bytes, name: str) -> Any:
    end = _End(file)
    file.seek(0)
    dataset = read_partial(file, end, force=head[:2] in ELEMENT_FIRST and head[128:] != b"DICM", specific_tags=_TAGS)
    syntax = UID(dataset.file_meta.get("TransferSyntaxUID") or "1.2.840.10008.1.2")
    if syntax == DeflatedExplicitVRLittleEndian:
        return dataset  # its bytes were inflated to the end, or that would have failed
    if dataset.get("SOPClassUID") == MediaStorageDirectoryStorage:
        raise BadData(f"{name}: a DICOMDIR, which is no image")
    if not end.in_pixels:
        _check_without_pixels(dataset, end, size, name)
    elif end.length == _UNDEFINED:
        _check_fragments(file, end.position, size, name)
    else:
        _check_length(dataset, end, size, name)
    if not dataset.get("SOPInstanceUID"):
        raise BadData(f"{name}: its SOP Instance UID is missing or empty, so that nothing tells it from other images")
    return dataset


class _End:
    """Where the reading of a header ended: asked of each element, it stops before the pixels."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.in_pixels, self.position, self.length = False, 0, 0

    def __call__(self, tag: BaseTag, vr: str | None, length: int) -> bool:
        self.in_pixels, self.length, self.position = int(tag) in PIXELS, length, self._file.tell()
        return self.in_pixels


def _check_length(dataset: Any, end: _End, size: int, name: str) -> None:
    found, expected = size - end.position, max(end.length, _promised(dataset))
    if end.length > found or expected > end.length + 1:  # an odd length may stand as it is
        raise Incomplete(f"{name}: the pixel data end after {max(0, min(found, end.length))} of {expected} bytes")


def _promised(dataset: Any) -> int:
    """Return how many bytes of pixels Rows, Columns and so on make; 0 where they do not say."""
    factors = [dataset.get(keyword) for keyword in ("Rows", "Columns", "BitsAllocated")]
    factors += [dataset.get("NumberOfFrames") or 1, dataset.get("SamplesPerPixel") or 1]
    bits = 1
    for factor in factors:
        bits *= int(factor or 0)
    shared = dataset.get("PhotometricInterpretation") == "YBR_FULL_422"  # two pixels share their colours (PS3.3, C.7.6.3.1.2)
    return (bits * 2 // 3 if shared else bits) // 8


def _check_fragments(file: BinaryIO, position: int, size: int, name: str) -> None:
    """Step from fragment to fragment of compressed pixels to the mark of their end (PS3.5, A.4)."""
    while position + 8 <= size:
        file.seek(position)
        group, element, length = struct.unpack("<HHI", file.read(8))
        position += 8
        if group << 16 | element == _SEQUENCE_END:
            return
        if group << 16 | element != _ITEM or length == _UNDEFINED:
            raise BadData(f"{name}: its compressed pixel data are damaged")
        position += length
    raise Incomplete(f"{name}: the file ends after {size} bytes, before its compressed pixel data do")


def _check_without_pixels(dataset: Any, end: _End, size: int, name: str) -> None:
    """Tell an image that was cut off from an object that has no pixels."""
    kind = str(dataset.get("SOPClassUID") or "")
    cut = end.length != _UNDEFINED and end.position + end.length > size
    if cut or not kind or "Image Storage" in UID(kind).name:
        raise Incomplete(f"{name}: the file ends after {size} bytes, before its pixel data")
