"""The search: needles in whatever bytes come out, in every spelling and through every layer of coding."""

from __future__ import annotations

import base64
import re
import zlib
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from typing import Any

import numpy as np
from identity import forms

ENCODINGS = (
    "utf-8",
    "latin-1",
    "utf-16-le",
    "utf-16-be",
    "iso2022_jp",
    "shift_jis",
    "gb18030",
    "euc_kr",
    "iso8859_5",
    "euc_jp",
)
PACKED = re.compile(rb"\x1f\x8b\x08|\x78[\x01\x5e\x9c\xda]|PK\x03\x04")
BASE64 = re.compile(rb"[A-Za-z0-9+/]{20,}")
HEXADECIMAL = re.compile(rb"[0-9A-Fa-f]{20,}")
DEFLATED = b"1.2.840.10008.1.2.1.99"
MADE_UID = re.compile(rb"2\.25\.\d{30,39}")  # has some day of eight digits in it by chance, once in a few thousand
WINDOW = 8
MOST = 8_000_000  # bytes of one packed block that are looked at


def views(content: bytes, depth: int = 0) -> Iterator[bytes]:
    """Yield bytes as they are, and what is packed or coded within them."""
    yield content
    yield content.replace(b"\0", b"")  # what is written in two bytes a character, and what is padded
    if depth == 3:
        return
    for found in PACKED.finditer(content):
        yield from (view for inner in unpacked(content, found) for view in views(inner, depth + 1))
    for found in BASE64.finditer(content):
        yield from (base64.b64decode(found[0][start : start + (len(found[0]) - start) // 4 * 4]) for start in range(4))
    for found in HEXADECIMAL.finditer(content):
        yield from (
            bytes.fromhex(found[0][start : start + (len(found[0]) - start) // 2 * 2].decode("ascii")) for start in (0, 1)
        )
    if depth == 0 and content[128:132] == b"DICM" and DEFLATED in content[132:400]:
        length = 144 + int.from_bytes(content[140:144], "little")
        yield from views(inflated(content[length:], -zlib.MAX_WBITS), depth + 1)


def unpacked(content: bytes, found: re.Match[bytes]) -> Iterator[bytes]:
    start = found.start()
    if content[start : start + 2] == b"PK":
        skip = (
            30
            + int.from_bytes(content[start + 26 : start + 28], "little")
            + int.from_bytes(content[start + 28 : start + 30], "little")
        )
        inner = inflated(content[start + skip :], -zlib.MAX_WBITS)
    else:
        inner = inflated(content[start:], zlib.MAX_WBITS | 32)
    if len(inner) > 8:
        yield inner


def inflated(content: bytes, bits: int) -> bytes:
    """Return what can be inflated of a stream, to its first fault."""
    stream, made, step = zlib.decompressobj(bits), b"", 512
    try:
        for place in range(0, len(content), step):
            made += stream.decompress(content[place : place + step], MOST)
            if stream.eof or len(made) > MOST:
                break
    except zlib.error:
        pass
    return made


@cache
def patterns(needle: str | bytes) -> tuple[dict[bytes, int], frozenset[bytes]]:
    """Return what to look for in bytes made lower case, each with the mark of its beginning, and in bytes as they are."""
    if isinstance(needle, bytes):
        return {}, frozenset({needle})
    spelt = (spelling for form in forms(needle) for spelling in (form, form.lower(), form.upper(), form.title()))
    found = {coded.lower() for spelling in spelt for coded in encoded(spelling)}
    return {pattern: int(marks(pattern[:WINDOW])[0]) if len(pattern) >= WINDOW else -1 for pattern in found}, frozenset()


def encoded(text: str) -> Iterator[bytes]:
    for encoding in ENCODINGS if not text.isascii() else ("ascii",):
        try:
            coded = text.encode(encoding)
        except UnicodeEncodeError:
            continue
        yield coded
        if coded.startswith(b"\x1b"):
            yield coded.split(b"\x1b")[1][2:]  # without the escapes, which stand where the text about it has them


class Haystack:
    """Bytes to search, unpacked once."""

    def __init__(self, *contents: bytes) -> None:
        self.views = [MADE_UID.sub(b"", view) for content in contents for view in views(content)]
        self.lowered = [view.lower() for view in self.views]
        starts = np.zeros(1 << 24, np.bool_)
        for view in self.lowered:
            starts[marks(view)] = True
        self.starts = starts.tobytes()

    def holds(self, needle: str | bytes) -> bool:
        lower, exact = patterns(needle)
        likely = [pattern for pattern, mark in lower.items() if mark < 0 or self.starts[mark]]
        return any(pattern in view for view in self.lowered for pattern in likely) or any(
            pattern in view for view in self.views for pattern in exact
        )


def marks(view: bytes) -> np.ndarray[Any, Any]:
    """Return a short number for every eight bytes in a row: what begins with none that was seen cannot be there."""
    starts = range(min(WINDOW, max(len(view) - WINDOW + 1, 0)))
    found = [np.frombuffer(view, "<u8", (len(view) - start) // WINDOW, start) for start in starts]
    return np.concatenate([np.zeros(0, "<u8"), *found]) * np.uint64(0x9E3779B97F4A7C15) >> np.uint64(40)


def survivors(sought: Mapping[str, Iterable[str | bytes]], *contents: bytes) -> dict[str, list[str | bytes]]:
    """Return the places whose needles are in the contents, with the needles."""
    haystack = Haystack(*contents)
    found = {place: [needle for needle in needles if haystack.holds(needle)] for place, needles in sought.items()}
    return {place: needles for place, needles in found.items() if needles}


def missing(sought: Mapping[str, Iterable[str | bytes]], *contents: bytes) -> list[str]:
    """Return the places of which a needle cannot be found: the plant that did not take."""
    haystack = Haystack(*contents)
    return [place for place, needles in sought.items() if not all(haystack.holds(needle) for needle in needles)]
