"""A DICOM file: preamble, meta information, and a dataset in some transfer syntax (PS3.10, 7)."""

from __future__ import annotations

import zlib
from dataclasses import dataclass

from pydicom._uid_dict import UID_dictionary

from rtbids import __version__
from rtbids.deidentify import reading
from rtbids.deidentify.encoding import BIG, EXPLICIT, IMPLICIT, Encoding
from rtbids.errors import BadData

SOP_CLASS, INSTANCE, SYNTAX = 0x00020002, 0x00020003, 0x00020010
_IMPLEMENTATION, _VERSION_NAME = 0x00020012, 0x00020013
_OURS = "2.25.141925903516174306437012219164405938281"  # of the implementation that wrote the file, which is this one
_IMPLICIT_LITTLE, _EXPLICIT_LITTLE = "1.2.840.10008.1.2", "1.2.840.10008.1.2.1"
_DEFLATED, _EXPLICIT_BIG = ("1.2.840.10008.1.2.1.99", "1.2.840.10008.1.2.4.95"), "1.2.840.10008.1.2.2"
NATIVE = frozenset({_IMPLICIT_LITTLE, _EXPLICIT_LITTLE, _EXPLICIT_BIG, *_DEFLATED})  # whose pixels are not compressed
_MOST_INFLATED, _SMALL = 256, 1 << 26  # times the file's size; bytes that are always allowed


@dataclass(frozen=True)
class File:
    """What a file holds: the dataset, inflated, and how it is written."""

    syntax: str
    encoding: Encoding
    content: bytes  # in which the dataset begins at `position`
    position: int
    deflated: bool = False


def read(content: bytes) -> File:
    """Take a file apart; one without meta information is read as its first element looks."""
    if content[128:132] != b"DICM":
        return _headless(content)
    meta, position = _meta(content)
    syntax = _text(meta.get(SYNTAX, b""))
    if not syntax:
        return File(*_guessed(content, position), content, position)
    if syntax in _DEFLATED:
        return File(syntax, EXPLICIT, _inflated(content[position:]), 0, deflated=True)
    if UID_dictionary.get(syntax, ("", ""))[1] != "Transfer Syntax":
        raise BadData("its transfer syntax is one of a maker, not of the standard", "export it again in one of the standard")
    encoding = IMPLICIT if syntax == _IMPLICIT_LITTLE else BIG if syntax == _EXPLICIT_BIG else EXPLICIT
    return File(syntax, encoding, content, position)


def written(file: File, dataset: bytes, sop_class: str, instance: str) -> bytes:
    """Return a file with a new dataset: its preamble zero, and of the meta information what concerns the file alone."""
    elements = EXPLICIT.element(0x00020001, "OB", b"\0\1") + EXPLICIT.element(SOP_CLASS, "UI", sop_class.encode())
    elements += EXPLICIT.element(INSTANCE, "UI", instance.encode()) + EXPLICIT.element(SYNTAX, "UI", file.syntax.encode())
    elements += EXPLICIT.element(_IMPLEMENTATION, "UI", _OURS.encode())
    elements += EXPLICIT.element(_VERSION_NAME, "SH", f"RTBIDS {__version__}"[:16].encode())
    length = EXPLICIT.element(0x00020000, "UL", len(elements).to_bytes(4, "little"))
    return b"".join((bytes(128), b"DICM", length, elements, _deflated(dataset) if file.deflated else dataset))


def _meta(content: bytes) -> tuple[dict[int, bytes], int]:
    """Return the meta information and where the dataset begins: the group's length is often wrong, its end never."""
    meta: dict[int, bytes] = {}
    position = 132
    while content[position : position + 2] == b"\x02\0":
        found = reading.element(content, position, len(content), EXPLICIT)
        meta[found.tag] = content[found.value : found.stop]
        position = found.stop
    return meta, position


def _headless(content: bytes) -> File:
    if content[:2] in (b"\x08\0", b"\0\x08") and len(content) > 8:
        return File(*_guessed(content, 0), content, 0)
    if content[:2] == b"\x02\0":
        return read(bytes(128) + b"DICM" + content)
    raise BadData("it is no DICOM file (no DICM mark at byte 128, no DICOM element at byte 0)")


def _guessed(content: bytes, position: int) -> tuple[str, Encoding]:
    """Return the transfer syntax that the first element of a dataset looks like."""
    if content[position : position + 2] == b"\0\x08":
        return _EXPLICIT_BIG, BIG
    name = content[position + 4 : position + 6]
    explicit = name.isalpha() and name.isupper()
    return (_EXPLICIT_LITTLE, EXPLICIT) if explicit else (_IMPLICIT_LITTLE, IMPLICIT)


def _inflated(content: bytes) -> bytes:
    inflating, most = zlib.decompressobj(-zlib.MAX_WBITS), max(_SMALL, _MOST_INFLATED * len(content))
    try:
        inflated = inflating.decompress(content, most)
    except zlib.error:
        raise BadData("its deflated dataset is damaged", "copy it anew from where it came from") from None
    if inflating.unconsumed_tail:
        raise BadData(f"its {len(content)} deflated bytes grow to more than {most}")
    if not inflating.eof:
        raise reading.CutShort("the file ends within its deflated dataset")
    return inflated


def _deflated(content: bytes) -> bytes:
    deflating = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    deflated = deflating.compress(content) + deflating.flush()
    return deflated + b"\0" * (len(deflated) % 2)


def _text(value: bytes) -> str:
    return value.decode("ascii", "replace").strip(" \0")
