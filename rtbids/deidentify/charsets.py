"""Texts by their Specific Character Set (PS3.3, C.12.1.1.2), of one byte or several, with code extensions or without."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from threading import Lock

from pydicom.charset import convert_encodings, decode_bytes, encode_string, python_encoding

_DELIMITERS = {0x0A, 0x0C, 0x0D, 0x09, 0x5C, 0x5E, 0x3D}


_ESCAPE = b"\x1b"
_alone = Lock()  # what silences warnings is the same for all threads


@lru_cache(1 << 13)
def decoded(value: bytes, charset: bytes) -> str:
    """Return a text; what its character set does not know becomes replacement characters."""
    encodings = _encodings(charset)
    if _ESCAPE not in value:
        return value.decode(encodings[0], "replace").strip(" \0")
    with _silence():
        return decode_bytes(value, list(encodings), _DELIMITERS).strip(" \0")


def encoded(text: str, charset: bytes) -> bytes:
    encodings = _encodings(charset)
    if text.isascii() or len(encodings) == 1:
        return text.encode(encodings[0], "replace")
    with _silence():
        return bytes(encode_string(text, list(encodings)))


def known_sets(value: bytes) -> bytes:
    """Return a Specific Character Set as it is where the standard knows its terms, else those that it knows."""
    names = [name.strip(b" \0") for name in value.split(b"\\")]
    known = [name for name in names if name.decode("latin-1") in python_encoding]
    return value if known == names else b"\\".join(known)


@contextmanager
def _silence() -> Iterator[None]:
    with _alone, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


@lru_cache(64)
def _encodings(charset: bytes) -> tuple[str, ...]:
    """Return Python's names of character sets; terms that the standard does not know are passed over."""
    terms = [name.strip(" \0") for name in charset.decode("latin-1").split("\\")]
    with _silence():
        return tuple(convert_encodings([name for name in terms if name in python_encoding] or [""]))
