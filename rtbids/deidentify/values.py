"""New values of elements, where they follow from the old ones alone."""

from __future__ import annotations

import re
from functools import lru_cache

_AGE = re.compile(rb"(\d{3})([DWMY])")
_A_YEAR = {b"D": 365.25, b"W": 52.18, b"M": 12.0, b"Y": 1.0}
_DUMMIES = {
    "DA": b"19000101",
    "TM": b"000000",
    "DT": b"19000101000000",
    "AS": b"000D",
    "DS": b"0",
    "IS": b"0",
    "CS": b"REMOVED",
    "AE": b"REMOVED",
    "UR": b"urn:removed",
}
_WIDTHS = {"US": 2, "SS": 2, "OW": 2, "UL": 4, "SL": 4, "FL": 4, "AT": 4, "FD": 8, "SV": 8, "UV": 8, "OB": 2}
MOST_YEARS = 89


def dummy(representation: str) -> bytes:
    """Return a value of the VR that says nothing."""
    if representation in _WIDTHS:
        return bytes(_WIDTHS[representation])
    return _DUMMIES.get(representation, b"REMOVED" if representation in ("PN", "LO", "SH", "ST", "LT", "UT", "UC") else b"")


@lru_cache(4096)
def capped(value: bytes) -> bytes:
    """Return ages with those above 89 years as 090Y, and without what is no age.

    Ages over 89 may only be given as one class of 90 or older (45 CFR 164.514(b)(2)(i)(C)).
    """
    return b"\\".join(_capped(one.strip(b" \0")) for one in value.split(b"\\"))


def _capped(age: bytes) -> bytes:
    found = _AGE.fullmatch(age)
    if not found:
        return b""
    return b"090Y" if int(found[1]) / _A_YEAR[found[2]] >= MOST_YEARS + 1 else age
