"""How elements are written (PS3.5, 7): explicit or implicit VR, little or big endian."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from struct import Struct

UNDEFINED = 0xFFFFFFFF
ITEM, ITEM_END, SEQUENCE_END = 0xFFFEE000, 0xFFFEE00D, 0xFFFEE0DD
LONG = frozenset({b"OB", b"OD", b"OF", b"OL", b"OV", b"OW", b"SQ", b"SV", b"UC", b"UN", b"UR", b"UT", b"UV"})
_ZERO_FILLED = frozenset({"UI", "OB", "UN"})


@dataclass(frozen=True)
class Encoding:
    """One of the ways to write elements."""

    implicit: bool
    little: bool = True

    @cached_property
    def order(self) -> str:
        return "<" if self.little else ">"

    @cached_property
    def tag(self) -> Struct:
        return Struct(self.order + "HH")

    @cached_property
    def short(self) -> Struct:
        """Two-byte lengths of explicit VR."""
        return Struct(self.order + "H")

    @cached_property
    def long(self) -> Struct:
        return Struct(self.order + "L")

    def header(self, tag: int, representation: str, length: int) -> bytes:
        """Return what stands before a value."""
        start = self.tag.pack(tag >> 16, tag & 0xFFFF)
        if self.implicit or tag >> 16 == 0xFFFE:
            return start + self.long.pack(length)
        name = representation.encode("ascii")
        return start + name + (b"\0\0" + self.long.pack(length) if name in LONG else self.short.pack(length))

    def element(self, tag: int, representation: str, value: bytes) -> bytes:
        """Return a whole element, its value filled up to an even length."""
        value = even(value, representation)
        return self.header(tag, representation, len(value)) + value


def even(value: bytes, representation: str) -> bytes:
    """Fill a value up to an even length, as its VR wants it (PS3.5, 6.2)."""
    return value + (b"\0" if representation in _ZERO_FILLED else b" ") * (len(value) % 2)


EXPLICIT, IMPLICIT, BIG = Encoding(implicit=False), Encoding(implicit=True), Encoding(implicit=False, little=False)
