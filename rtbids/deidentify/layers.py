"""The bytes of a file as a search for text sees them: inflated, apart from the pixels, and what is compressed in them."""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterator

import numpy as np

_PIXEL_TAG = b"\xe0\x7f\x10\x00"
_PRINTABLE = np.zeros(256, bool)
_PRINTABLE[0x20:0x7F] = True
_RUN = 6  # characters
_GZIP = b"\x1f\x8b\x08"
_ZLIB = re.compile(rb"\x78[\x01\x5e\x9c\xda]")
_LARGEST = 1 << 24  # bytes that one compressed block may become
_DEFLATED = b"1.2.840.10008.1.2.1.99"


def inflated(content: bytes) -> bytes:
    """Return a deflated file (transfer syntax 1.2.840.10008.1.2.1.99) with its data set inflated behind the same head."""
    if _DEFLATED not in content[:1024]:
        return content
    start = 144 + int.from_bytes(content[140:144], "little")
    try:
        return content[:start].replace(_DEFLATED, b"1.2.840.10008.1.2.1\0\0\0") + zlib.decompress(content[start:], -15)
    except zlib.error:
        return content


def halves(content: bytes) -> tuple[bytes, bytes]:
    """Return what is before and after the head of the largest pixel data, and those pixels."""
    best = (len(content), len(content))
    for match in re.finditer(re.escape(_PIXEL_TAG) + rb"(?:O[BW]\0\0(....)|(....))", content, re.DOTALL):
        length = int.from_bytes(match[1] or match[2], "little")
        end = len(content) if length == 0xFFFFFFFF else match.end() + length
        if end <= len(content) and end - match.end() > best[1] - best[0]:
            best = match.end(), end
    return content[: best[0]] + content[best[1] :], content[best[0] : best[1]]


def plain_text(pixels: bytes) -> bytes:
    """Return the stretches of at least six printable characters, apart from each other."""
    printable = _PRINTABLE[np.frombuffer(pixels, np.uint8)]
    if len(printable) < _RUN:
        return b""
    pairs = printable[:-1] & printable[1:]
    fours = pairs[:-2] & pairs[2:]
    starts = np.flatnonzero(fours[:-2] & pairs[4:])
    if not len(starts):
        return b""
    return b"\0".join(match.group() for match in re.finditer(rb"[\x20-\x7e]{6,}", pixels))


def unpacked(content: bytes, depth: int = 2) -> Iterator[bytes]:
    """Yield what gzip and zlib blocks in `content` hold, and what is compressed once more in those."""
    starts = [(match.start(), 31) for match in re.finditer(re.escape(_GZIP), content)]
    starts += [(match.start(), 15) for match in _ZLIB.finditer(content)]
    for start, window in starts:
        try:
            block = zlib.decompressobj(window).decompress(content[start:], _LARGEST)
        except zlib.error:
            continue
        if block:
            yield block
            if depth > 1:
                yield from unpacked(block, depth - 1)
