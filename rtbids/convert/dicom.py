"""One DICOM file: its bytes, the elements that conversion needs, and whether it is whole."""

from __future__ import annotations

import re
import zlib
from dataclasses import dataclass
from io import BytesIO
from typing import Any

import numpy as np
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.uid import UID, DeflatedExplicitVRLittleEndian, UncompressedTransferSyntaxes

from rtbids.convert import elements, mosaic, pixels
from rtbids.errors import BadData
from rtbids.receipt import Receipt

ELEMENT_FIRST = (b"\x02\x00", b"\x08\x00", b"\x00\x08")  # beginnings of DICOM without a preamble
_SMALL_IMAGE = 1 << 26  # bytes that may be asked for whatever the file's size
_MOST_COMPRESSED, _MOST_DEFLATED = 1024, 256  # times the file's size
_BITE = 64  # rows looked at in one go
_DICOMDIR = "1.2.840.10008.1.3.10"
_NUMBER = re.compile(r"(IM|IMG|MR|I|[a-z]*)[-_]?\d{1,6}([-_]\d{1,6}){0,3}")  # 001_000007_000012, IM-0001-0012
_SMALL = re.compile(r"[a-z0-9 ,_-]*")
_LONG_NUMBER = re.compile(r"\d{5}")
_LETTERS = re.compile(r"[a-z]{3,}")
_PLAIN = frozenset(  # words of file names that name nobody
    re.findall(
        "[a-z]+",
        """
        anon arbitrary away bare bold broken closed colour copy cut damaged dicom dicomdir different done echo empty end
        ending epi file final first five folder four frame functional good growing hidden image img inside last late
        latest localizer mosaic name new next none notes nothing nowhere odd old one other outside part phantom pipe
        preallocated pydicom readme renamed report rgb rtplan run same sample scan second series short six slice slices
        slow small spool test text three torn trunc truncated twice two vol volume watch whole yet zero zeros
        """,
    )
)


class Incomplete(BadData):
    """A DICOM file whose pixel data have not all arrived: wait, or count it as lost."""


@dataclass(frozen=True, eq=False)
class Instance:
    """One whole DICOM file.

    `dataset` is a ``pydicom.Dataset`` with the elements that rtbids uses and no others, pixel data included (uncompressed,
    little endian); `content` the file's bytes as they came; `received` POSIX seconds of the last byte; `name` where it came
    from, for messages; `receipts` the word of a source that keeps it until they are settled.
    """

    name: str
    content: bytes | bytearray | memoryview
    dataset: Any
    received: float
    paced: bool = True
    receipts: tuple[Receipt, ...] = ()


def read(content: bytes | bytearray | memoryview, name: str, received: float) -> Instance:
    """Read one DICOM image.

    Raises
    ------
    Incomplete
        The bytes end before the pixel data do.
    BadData
        Not a DICOM file, no image, or compressed in a way that no installed plug-in reads.
    """
    try:
        return Instance(name, content, _image(memoryview(content), name), received)
    except BadData:
        raise
    except elements.CutShort as error:
        raise Incomplete(f"{name}: {error}") from None
    except Exception as error:  # foreign bytes, and parsers raise whatever they stumble over
        raise BadData(f"{name}: not a DICOM file that can be read ({type(error).__name__})") from error


def _image(content: memoryview, name: str) -> Dataset:
    """Return the elements of an image that has all its pixels."""
    dataset = _dataset(content, name)
    if "PixelData" not in dataset:
        raise _without_image(dataset, content, name)
    if not dataset.get("SOPInstanceUID"):
        raise BadData(f"{name}: its SOP Instance UID is missing or empty, so that nothing tells it from other images")
    expected, found = pixels.expected_bytes(dataset, name), len(dataset.PixelData)
    if found < expected:
        raise Incomplete(f"{name}: the pixel data end after {found} of {expected} bytes")
    return dataset


def shown(path: str) -> str:
    """Return what a message may say of a file: its name where it is a number or made of plain words, else the end of it.

    Scanners name folders and files by patients and by UIDs, which hold a serial number and a date.
    """
    name = path.rsplit("/", 1)[-1]
    stem, dot, extension = name.rpartition(".")
    stem, extension = (stem, dot + extension) if stem and len(extension) <= 4 else (name, "")
    is_small = _NUMBER.fullmatch(stem) or (_SMALL.fullmatch(stem) and not _LONG_NUMBER.search(stem))
    if is_small and _PLAIN.issuperset(_LETTERS.findall(stem)):
        return name
    digits = re.search(r"\d{0,3}\Z", stem)
    return f"…{digits[0] if digits else ''}{extension}"


def last_slice(dataset: Any) -> tuple[pixels.Pixels, bool]:
    """Return the slice that is written last, and whether it is the only one.

    That of a mosaic is its last used tile, of a multi-frame image the last frame.
    """
    images = pixels.stored(dataset)
    count = mosaic.slice_count(dataset) if mosaic.is_mosaic(dataset) else None
    if count:
        return mosaic.tile(images[0], count, count - 1), False
    return images[-1], len(images) == 1


def zero_rows(image: pixels.Pixels) -> int:
    """Return how many rows at the end of an image, or of a pile of them, are all zero."""
    for end in range(len(image), 0, -_BITE):  # from the end: most have none, and an image may be long
        bite = image[max(0, end - _BITE) : end]
        if (filled := np.flatnonzero(bite.any(axis=1))).size:
            return len(image) - end + len(bite) - int(filled[-1]) - 1
    return len(image)


def series_key(dataset: Any) -> str:
    """Return what the images of one series share and no other series has."""
    return f"{dataset.get('SeriesInstanceUID')} {dataset.get('SeriesNumber')}"


def instance_uid(dataset: Any) -> str:
    """Return what no other image has; copies of an image have the same."""
    return str(dataset.SOPInstanceUID)


def sort_key(dataset: Any) -> tuple[int, str, int, int]:
    """Return the order of acquisition as the header tells it: series, then image.

    Series go by study and number: some anonymisers give every file a series UID of its own.
    """
    return (
        pixels.whole(dataset, "SeriesNumber"),
        str(dataset.get("StudyInstanceUID")),
        pixels.whole(dataset, "AcquisitionNumber"),
        pixels.whole(dataset, "InstanceNumber"),
    )


def _dataset(content: memoryview, name: str) -> Dataset:
    _check_beginning(content, name)
    if bytes(content[128:132]) == b"DICM":
        try:
            syntax, position = elements.transfer_syntax(content)
            if syntax == elements.EXPLICIT_LITTLE_ENDIAN:
                return elements.walk(content, position)
        except elements.Unusual:
            pass  # legal DICOM that scanners do not write, or damage: pydicom knows
    return _through_pydicom(content, name)


def _check_beginning(content: memoryview, name: str) -> None:
    """Raise Incomplete for a file in which nothing is written yet, BadData for what does not begin as DICOM does."""
    preamble, mark = bytes(content[:128]), bytes(content[128:132])
    if mark == b"DICM" or preamble[:2] in ELEMENT_FIRST:
        return
    if not any(preamble) and (len(mark) < 4 or not any(mark)):
        raise Incomplete(f"{name}: nothing is written yet ({len(content)} bytes, all zero at the start)")
    raise BadData(f"{name}: not a DICOM file (no DICM mark at byte 128, no DICOM element at byte 0)")


def _through_pydicom(content: memoryview, name: str) -> Dataset:
    """Read any transfer syntax; the pixel data come back uncompressed and little endian."""
    _check_inflated(content, name)
    whole = dcmread(BytesIO(content), force=True)
    kept = Dataset({tag: whole[tag] for tag in whole.keys() if elements.wanted(tag)})  # noqa: SIM118 (iteration converts)
    syntax = UID(whole.file_meta.get("TransferSyntaxUID") or "1.2.840.10008.1.2")
    if "PixelData" in kept and (syntax not in UncompressedTransferSyntaxes or not syntax.is_little_endian):
        _check_promise(pixels.expected_bytes(kept, name), content, name)
        kept.PixelData = _decoded(whole, syntax, name)
    return kept


def _check_promise(expected: int, content: memoryview, name: str) -> None:
    """Refuse an image that cannot be in so few bytes, before memory is taken for it."""
    if expected > max(_SMALL_IMAGE, _MOST_COMPRESSED * len(content)):
        raise BadData(f"{name}: {len(content)} bytes cannot hold the image of {expected} bytes that the header promises")


def _check_inflated(content: memoryview, name: str) -> None:
    """Refuse a deflated file that grows beyond all measure."""
    if bytes(content[128:132]) != b"DICM":
        return
    syntax, position = elements.transfer_syntax(content)
    if syntax != DeflatedExplicitVRLittleEndian:
        return
    inflating, most = zlib.decompressobj(-zlib.MAX_WBITS), max(_SMALL_IMAGE, _MOST_DEFLATED * len(content))
    inflating.decompress(content[position:], most)
    if inflating.unconsumed_tail:
        raise BadData(f"{name}: {len(content)} deflated bytes grow to more than {most}")


def _decoded(whole: Dataset, syntax: UID, name: str) -> bytes:
    try:
        array = whole.pixel_array
    except (NotImplementedError, RuntimeError, ImportError) as error:
        if syntax in UncompressedTransferSyntaxes:
            raise BadData(f"{name}: the pixel data cannot be read ({error})") from None
        raise BadData(f"{name}: no plug-in reads {syntax.name} here", 'install one with: pip install "rtbids[jpeg]"') from None
    except (ValueError, AttributeError) as error:
        raise Incomplete(f"{name}: {error}") from None
    return bytes(array.astype(array.dtype.newbyteorder("<"), copy=False).tobytes())


def _without_image(dataset: Dataset, content: memoryview, name: str) -> BadData:
    """Return why there is no image: not an image at all, or one of which only the beginning is there."""
    kind = str(dataset.get("SOPClassUID") or "")
    if _DICOMDIR.encode() in bytes(content[132:1024]):
        kind = _DICOMDIR
    if not kind and bytes(content[128:132]) != b"DICM":
        return BadData(f"{name}: not a DICOM file (no SOP class)")
    if not kind or "Image Storage" in UID(kind).name:
        return Incomplete(f"{name}: the file ends after {len(content)} bytes, before its pixel data")
    return BadData(f"{name}: no image in it ({UID(kind).name})")
