"""DICOM files as trees of raw elements: read, changed and written byte by byte, so that they may be as wrong as one likes.

pydicom would mend, refuse or reorder much of what is planted: odd lengths, wrong representations, creators that are missing.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from pydicom.datadict import dictionary_has_tag, dictionary_VR
from pydicom.uid import UID, DeflatedExplicitVRLittleEndian, ExplicitVRBigEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian

UNDEFINED = 0xFFFFFFFF
ITEM, ITEM_END, SEQUENCE_END = 0xFFFEE000, 0xFFFEE00D, 0xFFFEE0DD
LONG = frozenset({"OB", "OD", "OF", "OL", "OV", "OW", "SQ", "SV", "UC", "UN", "UR", "UT", "UV"})
WIDTHS = {"US": 2, "SS": 2, "OW": 2, "AT": 2, "UL": 4, "SL": 4, "FL": 4, "OF": 4, "OL": 4, "FD": 8, "OD": 8, "SV": 8, "UV": 8}
PIXELS = 0x7FE00010

Items = tuple[tuple["Element", ...], ...]


@dataclass(frozen=True)
class Element:
    """A data element: numbers in `value` are little endian, whatever the file is; items where it is a sequence."""

    tag: int
    vr: str
    value: bytes | Items = b""
    undefined: bool = False

    @property
    def items(self) -> Items:
        return self.value if isinstance(self.value, tuple) else ()

    @property
    def bytes(self) -> bytes:
        return self.value if isinstance(self.value, bytes) else b""


@dataclass(frozen=True)
class Coding:
    """How elements are laid out: with their representation or without, little endian or big."""

    implicit: bool = False
    little: bool = True

    @property
    def order(self) -> str:
        return "<" if self.little else ">"


IMPLICIT = Coding(implicit=True)
CODINGS = {
    ImplicitVRLittleEndian: IMPLICIT,
    ExplicitVRBigEndian: Coding(little=False),
}


def swapped(value: bytes, vr: str, coding: Coding) -> bytes:
    """Return numbers in the byte order of the file, from little endian or to it."""
    width = WIDTHS.get(vr, 1)
    if coding.little or width == 1 or len(value) % width:
        return value
    return np.frombuffer(value, f"<u{width}").byteswap().tobytes()


def encode(element: Element, coding: Coding) -> bytes:
    """Return the bytes of an element; an unknown one of undefined length holds implicit VR little endian, as PS3.5 has it."""
    inner = IMPLICIT if element.vr == "UN" and element.undefined else coding
    if isinstance(element.value, tuple):
        body = b"".join(encode_item(item, inner, element.undefined) for item in element.value)
    else:
        body = swapped(element.value, element.vr, coding)
    length = UNDEFINED if element.undefined else len(body)
    end = delimiter(SEQUENCE_END, 0, coding) if element.undefined else b""
    return header(element.tag, element.vr, length, coding) + body + end


def encode_item(elements: tuple[Element, ...], coding: Coding, undefined: bool) -> bytes:
    body = b"".join(encode(element, coding) for element in elements)
    if undefined:
        return delimiter(ITEM, UNDEFINED, coding) + body + delimiter(ITEM_END, 0, coding)
    return delimiter(ITEM, len(body), coding) + body


def delimiter(tag: int, length: int, coding: Coding) -> bytes:
    return struct.pack(coding.order + "HHI", tag >> 16, tag & 0xFFFF, length)


def header(tag: int, vr: str, length: int, coding: Coding) -> bytes:
    if coding.implicit:
        return delimiter(tag, length, coding)
    start = struct.pack(coding.order + "HH", tag >> 16, tag & 0xFFFF) + vr.encode("ascii")
    if vr in LONG:
        return start + struct.pack(coding.order + "HI", 0, length)
    return start + struct.pack(coding.order + "H", length)


class Reader:
    """Elements of bytes, from `place` on."""

    def __init__(self, content: bytes, coding: Coding, place: int = 0) -> None:
        self.content, self.coding, self.place = content, coding, place

    def number(self, form: str) -> Any:
        found = struct.unpack_from(self.coding.order + form, self.content, self.place)
        self.place += struct.calcsize(self.coding.order + form)
        return found[0] if len(found) == 1 else found

    def tag(self) -> int:
        group, number = self.number("HH")
        return int(group << 16 | number)

    def elements(self, end: int) -> Iterator[Element]:
        while self.place < end:
            start = self.place
            tag = self.tag()
            if tag == ITEM_END:
                self.place += 4
                return
            if tag == 0 and not any(self.content[start:end]):
                return
            yield self.element(tag)

    def element(self, tag: int) -> Element:
        vr, length = self.implicit(tag) if self.coding.implicit else self.explicit()
        undefined = length == UNDEFINED
        if undefined and tag == PIXELS:
            return Element(tag, vr, self.fragments(), True)
        if vr == "SQ" or undefined:
            reader = Reader(self.content, IMPLICIT, self.place) if vr == "UN" else self
            items = tuple(reader.sequence(length))
            self.place = reader.place
            return Element(tag, vr, items, undefined)
        value = self.content[self.place : self.place + length]
        self.place += length
        return Element(tag, vr, swapped(value, vr, self.coding))

    def explicit(self) -> tuple[str, int]:
        vr = self.content[self.place : self.place + 2].decode("ascii")
        self.place += 2
        if vr in LONG:
            self.place += 2
            return vr, self.number("I")
        return vr, self.number("H")

    def implicit(self, tag: int) -> tuple[str, int]:
        vr = dictionary_VR(tag)[:2] if dictionary_has_tag(tag) else "UN"
        return "OW" if tag == PIXELS else vr, self.number("I")

    def sequence(self, length: int) -> Iterator[tuple[Element, ...]]:
        end = len(self.content) if length == UNDEFINED else self.place + length
        while self.place < end:
            tag, size = self.tag(), self.number("I")
            if tag == SEQUENCE_END:
                return
            yield tuple(self.elements(len(self.content) if size == UNDEFINED else self.place + size))

    def fragments(self) -> bytes:
        start = self.place
        while (tag := self.tag()) != SEQUENCE_END:
            if tag != ITEM:
                raise ValueError("a fragment is missing")
            self.place += 4 + struct.unpack_from("<I", self.content, self.place)[0]
        self.place += 4
        return self.content[start : self.place - 8]


@dataclass(frozen=True)
class RawFile:
    """A Part 10 file."""

    meta: tuple[Element, ...]
    dataset: tuple[Element, ...]
    preamble: bytes = bytes(128)
    trailing: bytes = b""

    @property
    def syntax(self) -> UID:
        return UID(next(e.bytes for e in self.meta if e.tag == 0x00020010).rstrip(b"\0 ").decode("ascii"))

    @property
    def coding(self) -> Coding:
        return CODINGS.get(self.syntax, Coding())

    def content(self) -> bytes:
        meta = b"".join(encode(element, Coding()) for element in self.meta if element.tag != 0x00020000)
        length = encode(Element(0x00020000, "UL", struct.pack("<I", len(meta))), Coding())
        body = b"".join(encode(element, self.coding) for element in self.dataset)
        if self.syntax == DeflatedExplicitVRLittleEndian:
            body = zlib.compress(body)[2:-4]
            body += bytes(len(body) % 2)
        return self.preamble + b"DICM" + length + meta + body + self.trailing

    def with_syntax(self, syntax: str) -> RawFile:
        """Return the file in another transfer syntax without compression of pixels."""
        uid = syntax.encode("ascii")
        named = Element(0x00020010, "UI", uid + bytes(len(uid) % 2))
        return replace(self, meta=tuple(named if e.tag == named.tag else e for e in self.meta))


def read(content: bytes) -> RawFile:
    """Read a file whose elements are all there."""
    length = 132 + 12 + int(struct.unpack_from("<I", content, 140)[0])
    meta = tuple(Reader(content[:length], Coding(), 132).elements(length))
    file = RawFile(meta, (), content[:128])
    body = content[length:]
    if file.syntax == DeflatedExplicitVRLittleEndian:
        body = zlib.decompressobj(-zlib.MAX_WBITS).decompress(body)
    return replace(file, dataset=tuple(Reader(body, file.coding).elements(len(body))))


def walk(elements: tuple[Element, ...], depth: int = 0) -> Iterator[tuple[int, Element]]:
    """Yield every element and how deep it lies."""
    for element in elements:
        yield depth, element
        for item in element.items:
            yield from walk(item, depth + 1)


def merged(dataset: tuple[Element, ...], others: tuple[Element, ...]) -> tuple[Element, ...]:
    """Return the elements of both in the order of their tags; where both have a tag, that of the others."""
    return tuple(sorted(({e.tag: e for e in dataset} | {e.tag: e for e in others}).values(), key=lambda e: e.tag))


def having(file: RawFile, *elements: Element) -> RawFile:
    return replace(file, dataset=merged(file.dataset, elements))


def made(sop_class: str = "1.2.840.10008.5.1.4.1.1.4", syntax: str = ExplicitVRLittleEndian) -> RawFile:
    """Return a file made from nothing: one slice of MR of 16 x 16 voxels."""

    def text(tag: int, vr: str, value: str) -> Element:
        encoded = value.encode("ascii")
        return Element(tag, vr, encoded + (b"\0" if vr == "UI" else b" ") * (len(encoded) % 2))

    def short(tag: int, value: int) -> Element:
        return Element(tag, "US", struct.pack("<H", value))

    instance = "1.2.826.0.1.3680043.2.1143.7.1"
    meta = (
        Element(0x00020001, "OB", b"\0\1"),
        text(0x00020002, "UI", sop_class),
        text(0x00020003, "UI", instance),
        text(0x00020010, "UI", str(syntax)),
        text(0x00020012, "UI", "1.2.826.0.1.3680043.2.1143"),
    )
    dataset = (
        text(0x00080008, "CS", "ORIGINAL\\PRIMARY\\M\\ND"),
        text(0x00080016, "UI", sop_class),
        text(0x00080018, "UI", instance),
        text(0x00080020, "DA", "20180304"),
        text(0x00080030, "TM", "101112.130000"),
        text(0x00080060, "CS", "MR"),
        text(0x00080070, "LO", "SIEMENS"),
        text(0x00081090, "LO", "Prisma"),
        text(0x00180020, "CS", "EP"),
        text(0x00180080, "DS", "2000"),
        text(0x00180081, "DS", "30"),
        text(0x0020000D, "UI", "1.2.826.0.1.3680043.2.1143.7.2"),
        text(0x0020000E, "UI", "1.2.826.0.1.3680043.2.1143.7.3"),
        text(0x00200011, "IS", "3"),
        text(0x00200013, "IS", "1"),
        text(0x00200032, "DS", "-100\\-90\\10"),
        text(0x00200037, "DS", "1\\0\\0\\0\\1\\0"),
        short(0x00280002, 1),
        text(0x00280004, "CS", "MONOCHROME2"),
        short(0x00280010, 16),
        short(0x00280011, 16),
        text(0x00280030, "DS", "3\\3"),
        short(0x00280100, 16),
        short(0x00280101, 12),
        short(0x00280102, 11),
        short(0x00280103, 0),
        Element(PIXELS, "OW", np.arange(256, dtype="<u2").tobytes()),
    )
    return RawFile(meta, dataset)
