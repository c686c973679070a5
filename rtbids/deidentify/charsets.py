"""Texts by their Specific Character Set (PS3.3, C.12.1.1.2), of one byte or several, with code extensions or without."""

from __future__ import annotations

import warnings
from functools import lru_cache

from pydicom.charset import convert_encodings, decode_bytes, encode_string, python_encoding

_DELIMITERS = {0x0A, 0x0C, 0x0D, 0x09, 0x5C, 0x5E, 0x3D}


@lru_cache(1 << 13)
def decoded(value: bytes, charset: bytes) -> str:
    """Return a text; what its character set does not know becomes replacement characters."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return decode_bytes(value, _encodings(charset), _DELIMITERS).strip(" \0")


def encoded(text: str, charset: bytes) -> bytes:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return bytes(encode_string(text, _encodings(charset)))


def known_sets(value: bytes) -> bytes:
    """Return a Specific Character Set as it is where the standard knows its terms, else those that it knows."""
    names = [name.strip(b" \0") for name in value.split(b"\\")]
    known = [name for name in names if name.decode("latin-1") in python_encoding]
    return value if known == names else b"\\".join(known)


@lru_cache(64)
def _encodings(charset: bytes) -> list[str]:
    names = charset.decode("latin-1").split("\\")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return list(convert_encodings(names))
        except LookupError:
            return ["iso8859"]
