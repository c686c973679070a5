"""What compressed pixels carry beside the image: comments, Exif, bytes behind the end. They become zero, the image stays.

JPEG and JPEG-LS: ISO/IEC 10918-1, Annex B, and 14495-1; JPEG 2000: 15444-1, Annex A; fragments: DICOM PS3.5, A.4.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from itertools import accumulate, pairwise
from struct import Struct

from rtbids.deidentify.encoding import UNDEFINED
from rtbids.deidentify.pixels import Refused
from rtbids.deidentify.reading import Found
from rtbids.errors import BadData

Span = tuple[int, int]
Edit = tuple[int, int, bytes]
_JPEG, _JPEG_2000, _RLE = re.compile(r"\.4\.(5\d|6\d|70|8[01])$"), re.compile(r"\.4\.(9[0-3]|20[1-3])$"), re.compile(r"\.2\.5$")
_MARKER = re.compile(rb"\xff[\x80-\xcf\xd8-\xfe]")  # not a byte of the image, not a restart
_APPLICATION = range(0xE1, 0xF0)
_OF_THE_IMAGE = (0xE8, 0xEE)  # colour: SPIFF, Adobe
_COMMENT, _END = 0xFE, 0xD9
_ENCODER = re.compile(  # a comment that names the software, as most write it
    rb"(created by:? )?(gdcm/)?(openjpeg|kakadu|jasper|charls|libjpeg(-turbo)?|lead technologies)[ -]?(version )?v?[\d. ]*\0?",
    re.IGNORECASE,
)
_ITEM = Struct("<LL")
_RLE_HEAD, _NO_RUN = 64, 128
_BIG_SHORT, _BIG_LONG = Struct(">H"), Struct(">L")
_START = {"jpeg": b"\xff\xd8", "jpeg 2000": b"\xff\x4f\xff\x51", "rle": b""}


def edits(content: bytes, pixels: Found, syntax: str, frames: int, plane: int) -> Iterator[Edit]:
    """Yield what is to be changed in compressed pixels for nothing to be left in them but images of `plane` pixels."""
    kind = _kind(syntax)
    table, *fragments = _fragments(content, pixels)
    begins: list[int] = []
    frame: list[Span] = []
    for fragment in fragments:
        if content.startswith(_START[kind], fragment[0]):
            yield from _blank(_of_frame(content, frame, kind, plane))
            begins, frame = [*begins, fragment[0] - _ITEM.size], []
        if not begins or len(begins) > max(frames, 1):
            yield from _blank([fragment])
        else:
            frame.append(fragment)
    if not begins:
        raise BadData("its pixel data hold no image as its transfer syntax says")
    yield from _blank(_of_frame(content, frame, kind, plane))
    if not _is_table(content[slice(*table)], [begin - table[1] for begin in begins[:frames]]):
        yield table[0] - 4, table[1], bytes(4)  # none is as good (PS3.5, A.4)


def is_extended_table(content: bytes, frames: int, most: int) -> bool:
    """Tell whether an extended table holds offsets or lengths within the pixel data (PS3.3, C.7.6.3.1.8)."""
    numbers = [int.from_bytes(content[place : place + 8], "little") for place in range(0, len(content), 8)]
    return len(content) == 8 * frames and all(number < most for number in numbers)


def _is_table(content: bytes, begins: list[int]) -> bool:
    return not content or content == b"".join(begin.to_bytes(4, "little") for begin in begins if 0 <= begin < 1 << 32)


def _blank(spans: Iterable[Span]) -> Iterator[Edit]:
    return ((start, stop, bytes(stop - start)) for start, stop in spans)


def _kind(syntax: str) -> str:
    for kind, pattern in (("jpeg", _JPEG), ("jpeg 2000", _JPEG_2000), ("rle", _RLE)):
        if pattern.search(syntax):
            return kind
    raise Refused("its pixels are compressed in a way that may carry text, which is not looked into", "decompress it first")


def _fragments(content: bytes, pixels: Found) -> Iterator[Span]:
    position = pixels.value
    while position + 8 < pixels.stop:
        _, length = _ITEM.unpack_from(content, position)
        if length == UNDEFINED or position + 8 + length > pixels.stop:
            raise BadData("a fragment of its pixel data has no end")
        yield position + 8, position + 8 + length
        position += 8 + length


def _of_frame(content: bytes, fragments: list[Span], kind: str, plane: int) -> Iterator[Span]:
    """Yield what to blank in one frame, whose bytes may lie in several fragments."""
    if not fragments:
        return
    if kind == "rle":
        yield from _of_run_lengths(content, *fragments[0], plane)
        return
    frame = b"".join(content[start:stop] for start, stop in fragments)
    for first, last in (_of_jpeg if kind == "jpeg" else _of_jpeg_2000)(frame):
        yield from _placed(first, min(last, len(frame)), fragments)


def _of_run_lengths(content: bytes, start: int, stop: int, plane: int) -> Iterator[Span]:
    """Yield what is unused: of the head (the number of segments and up to fifteen offsets), and behind each segment."""
    segments = int.from_bytes(content[start : start + 4], "little")
    if stop - start < _RLE_HEAD or segments > 15:
        raise BadData("its run-length encoded pixels have no head")
    begins = [start + offset for offset in Struct(f"<{segments}L").unpack_from(content, start + 4)]
    places = [start + _RLE_HEAD, *begins, stop]
    if places != sorted(places):
        raise BadData("its run-length encoded pixels have segments out of place")
    ends = [start + 4 + 4 * segments, *(_end_of_runs(content, *span, plane) for span in pairwise(places[1:]))]
    yield from ((end, until) for end, until in zip(ends, places[1:], strict=True) if any(content[end:until]))


def _end_of_runs(content: bytes, position: int, stop: int, plane: int) -> int:
    """Return where a segment ends that makes so many bytes (PS3.5, G.3)."""
    made = 0
    while made < plane and position < stop:
        count = content[position]
        if count < _NO_RUN:
            position, made = position + count + 2, made + count + 1
        elif count > _NO_RUN:
            position, made = position + 2, made + 257 - count
        else:
            position += 1
    return min(position, stop)


def _placed(first: int, last: int, fragments: list[Span]) -> Iterator[Span]:
    """Yield where a stretch of a frame lies in the file."""
    ends = list(accumulate(stop - start for start, stop in fragments))
    for (start, stop), end in zip(fragments, ends, strict=True):
        begin = end - (stop - start)
        low, high = max(first, begin), min(last, end)
        if low < high:
            yield start + low - begin, start + high - begin


def _of_jpeg(frame: bytes) -> Iterator[Span]:
    position = 2
    while found := _MARKER.search(frame, position):
        position, marker = found.end(), frame[found.start() + 1]
        if marker == _END:
            yield position, len(frame)
            return
        length = _length(frame, position)
        if (marker == _COMMENT and not _ENCODER.fullmatch(frame, position + 2, position + length)) or (
            marker in _APPLICATION and marker not in _OF_THE_IMAGE
        ):
            yield position + 2, position + length
        position += length


def _of_jpeg_2000(frame: bytes) -> Iterator[Span]:
    position, tile = 2, 0
    while frame[position : position + 1] == b"\xff":
        marker, position = frame[position + 1], position + 2
        if marker == _END:
            yield position, len(frame)
            return
        if marker == 0x93:  # SOD, what follows are the data of the tile up to the length that SOT gave
            if not tile:
                return
            position, tile = tile, 0
            continue
        length = _length(frame, position)
        if marker == 0x90 and length >= 10:  # SOT
            size = _BIG_LONG.unpack_from(frame, position + 4)[0]
            tile = position - 2 + size if size else 0
        elif marker == 0x64 and not _ENCODER.fullmatch(frame, position + 4, position + length):  # COM
            yield position + 4, position + length
        position += length


def _length(frame: bytes, position: int) -> int:
    if position + 2 > len(frame):
        raise BadData("its compressed pixels end within a marker")
    length: int = _BIG_SHORT.unpack_from(frame, position)[0]
    return max(length, 2)
