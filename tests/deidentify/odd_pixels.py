"""Oddities of pixels: text behind them, between them, in their bits and in their compressed frames."""

from __future__ import annotations

import struct

import numpy as np
from identity import Ledger
from odd_case import odd
from planted import element, private
from raw_files import PIXELS, Element, RawFile, having


@odd(refusable=True)
def pixels_with_more_behind_them(file: RawFile, ledger: Ledger) -> RawFile:
    return having(file, Element(PIXELS, "OW", bytes(512) + ledger.word("behind the pixels").encode() + bytes(50)))


@odd(refusable=True)
def a_comment_in_compressed_pixels(file: RawFile, ledger: Ledger) -> RawFile:
    """A JPEG with a comment (COM) and an application segment before the frame."""
    comment = f"Patient {ledger.word('a comment in a JPEG')}".encode()
    segments = b"\xff\xfe" + struct.pack(">H", len(comment) + 2) + comment
    exif = f"Exif\0\0{ledger.word('Exif in a JPEG')}".encode()
    segments += b"\xff\xe1" + struct.pack(">H", len(exif) + 2) + exif
    jpeg = b"\xff\xd8" + segments + b"\xff\xc3\0\x0b\x10\0\x10\0\x10\1\1\x11\0" + b"\xff\xd9"
    jpeg += bytes(len(jpeg) % 2)
    fragments = struct.pack("<HHI", 0xFFFE, 0xE000, 0) + struct.pack("<HHI", 0xFFFE, 0xE000, len(jpeg)) + jpeg
    return having(file, Element(PIXELS, "OB", fragments, True)).with_syntax("1.2.840.10008.1.2.4.70")


@odd(refusable=True)
def a_fragment_too_many(file: RawFile, ledger: Ledger) -> RawFile:
    """RLE of one frame, and a fragment of text behind it."""
    text = f"name {ledger.word('a fragment too many')} ".encode()
    fragments = b"".join(
        struct.pack("<HHI", 0xFFFE, 0xE000, len(part)) + part for part in (b"", bytes(64), text + bytes(len(text) % 2))
    )
    return having(file, Element(PIXELS, "OB", fragments, True)).with_syntax("1.2.840.10008.1.2.5")


@odd()
def other_pixels(file: RawFile, ledger: Ledger) -> RawFile:
    """Pixel data where none are expected: in a private element, and of another kind beside the right ones."""
    word = ledger.word("in float pixels").encode()
    return having(
        file,
        Element(0x7FDE0010, "OB", ledger.word("variable pixel data, retired").encode()),
        Element(0x7FE10010, "OW", word),
        *private("PIXELS OF OURS", 0x7FE3, (0x10, "OB", ledger.word("private pixels"))),
    )


@odd(refusable=True)
def an_overlay_in_the_bits_above_the_pixels(file: RawFile, ledger: Ledger) -> RawFile:
    """Sixteen bits a pixel of which twelve are stored: what is drawn in the others is an overlay of old."""
    name = ledger.word("bits above the pixels").encode()
    nibbles = [half for letter in name for half in (letter >> 4, letter & 15)]
    pixels = np.arange(256, dtype="<u2")
    pixels[: len(nibbles)] |= np.array(nibbles, "<u2") << 12
    ledger.sought["bits above the pixels"] = (pixels[: len(nibbles)].tobytes(),)
    overlay = [
        Element(0x60000000 | low, "US", struct.pack("<H", number))
        for low, number in ((0x10, 16), (0x11, 16), (0x100, 16), (0x102, 12))
    ]
    return having(file, *overlay, element(0x60000040, "CS", "G"), Element(PIXELS, "OW", pixels.tobytes()))


@odd(refusable=True)
def text_in_tables_of_offsets(file: RawFile, ledger: Ledger) -> RawFile:
    """Text in the basic and the extended table of offsets, and in what is unused of the head of a run-length frame."""
    table = (ledger.word("basic offset table") * 2).encode()
    head = struct.pack("<II", 1, 64) + (ledger.word("unused offsets") * 5).encode()[:56]
    frame = head + b"\x81\0" * 4
    fragments = b"".join(struct.pack("<HHI", 0xFFFE, 0xE000, len(part)) + part for part in (table, frame))
    extended = Element(0x7FE00001, "OV", (ledger.word("extended offset table") * 4).encode())
    return having(file, extended, Element(PIXELS, "OB", fragments, True)).with_syntax("1.2.840.10008.1.2.5")
