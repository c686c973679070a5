"""Two blocks of GE, written anew with nothing but what is known and needed: the protocol and the image header.

The protocol is compressed, so that a search of the bytes does not see into it: number of the examination, name of the series,
UIDs, the coil's serial number, and in the gzip header the time and a name. The image header holds the date and the time.
"""

from __future__ import annotations

import re
import struct
import zlib
from collections.abc import Callable, Iterator, Mapping
from functools import lru_cache

from rtbids.deidentify.private_values import Values

_LINE = re.compile(rb'^[ \t]*(\w+)[ \t]+"([^"\r\n]*)"[ \t\r]*$', re.MULTILINE)
_MOST = 1 << 20  # bytes of text; those seen have some 2,000
_GZIP = 31  # zlib's number for it
_NEW_VERSION = 25.002  # of the image header, from which its places are others


def protocol(settings: Mapping[str, Values]) -> Callable[[bytes], bytes]:
    """Return what rewrites a protocol block, a length and gzip of lines ``KEY "VALUE"``: the known `settings` are kept."""

    @lru_cache(4)  # it is the same in every image of a series
    def rewritten(content: bytes) -> bytes:
        try:
            text = zlib.decompressobj(wbits=_GZIP).decompress(content[4:], _MOST)
        except zlib.error:
            return b""
        kept = b"".join(b'%b "%b"\n' % line for line in _kept(text, settings))
        return _packed(kept, len(content)) if kept else b""

    return rewritten


def image_header(content: bytes) -> bytes:
    """Return the image header with nothing but what tells the polarity of phase encoding, at the places where it is read."""
    try:
        places = list(_places(content))
    except struct.error:
        return b""
    made = bytearray(len(content))
    for place, size in places:
        made[place : place + size] = content[place : place + size]
    return bytes(made) if all(place + size <= len(content) for place, size in places) else b""


def _kept(text: bytes, settings: Mapping[str, Values]) -> Iterator[tuple[bytes, bytes]]:
    for name, value in _LINE.findall(text):
        values = settings.get(name.decode())
        if values and value.isascii() and values.fit_texts([value.decode().strip()]):
            yield name, value.strip()


def _packed(text: bytes, length: int) -> bytes:
    """Return the block: a gzip header without time and name, and as long as the old one where it fits."""
    packer = zlib.compressobj(level=9, wbits=_GZIP)
    block = packer.compress(text) + packer.flush()
    whole = struct.pack("<I", len(block)) + block
    return whole.ljust(length if length >= len(whole) else len(whole) + len(whole) % 2, b"\0")


def _places(content: bytes) -> Iterator[tuple[int, int]]:
    """Yield place and length of what `rtbids.convert.ge` and dcm2niix read: 16 bits that hold flags, and the version."""
    yield 24, 2
    start = struct.unpack_from("<h", content, 24)[0]
    version = struct.unpack_from("<f", content, start)[0] if start > 24 else 0.0
    if not 1 < version < 100:  # text is no number of that size
        raise struct.error
    yield start, 4
    new = version >= _NEW_VERSION
    first, order = (start + 0x4C, 0x308) if new else (start, 0x394)
    yield from ((first + 0x3A, 2), (first + 0x30, 2), (first + order, 2))
