"""What a de-identified file says of itself: that it is, how, by which options, and what became of its dates (PS3.3, C.12.1)."""

from __future__ import annotations

from functools import lru_cache

from rtbids import __version__
from rtbids.deidentify import weakening
from rtbids.deidentify.encoding import ITEM, Encoding
from rtbids.deidentify.profile import Options, Profile, table
from rtbids.deidentify.weakening import NONE, Weakening

METHODS, CODE = 0x00120064, 0x00080100
BASIC = "113100"
_REMOVED, _METHOD, _DATES = 0x00120062, 0x00120063, 0x00280303
_DATE_CODES = {"shifted": "113107", "kept": "113106"}
_DATE_WORDS = {"shifted": "MODIFIED", "kept": "UNMODIFIED", "removed": "REMOVED"}
MEANINGS = {
    "113100": "Basic Application Confidentiality Profile",
    "113101": "Clean Pixel Data Option",
    "113102": "Clean Recognizable Visual Features Option",
    "113103": "Clean Graphics Option",
    "113104": "Clean Structured Content Option",
    "113105": "Clean Descriptors Option",
    "113106": "Retain Longitudinal Temporal Information Full Dates Option",
    "113107": "Retain Longitudinal Temporal Information Modified Dates Option",
    "113108": "Retain Patient Characteristics Option",
    "113109": "Retain Device Identity Option",
    "113110": "Retain UIDs Option",
    "113111": "Retain Safe Private Option",
    "113112": "Retain Institution Identity Option",
}


def codes(options: Options) -> tuple[str, ...]:
    """Return the codes of the profile and of the options that are really applied (scheme DCM)."""
    flags = {
        "113105": options.descriptors == "clean",
        "113108": options.patient,
        "113109": options.device,
        "113110": options.uids,
        "113111": options.private,
        "113112": options.institution,
    }
    dates = _DATE_CODES.get(options.dates)
    return tuple(sorted(["113100", *([dates] if dates else []), *(code for code, applied in flags.items() if applied)]))


def method(through: Weakening = NONE) -> str:
    """Return how it was done, in words; `through` is what a recipe lets through of what the profile takes out."""
    if through:
        return f"rtbids {__version__}, DICOM PS3.15 {table()['edition']}, fewer elements"[:64]
    return f"rtbids {__version__}, DICOM PS3.15 {table()['edition']} Basic Profile"[:64]


@lru_cache(64)
def elements(encoding: Encoding, profile: Profile, earlier: frozenset[str]) -> tuple[tuple[int, bytes], ...]:
    """Return the elements to be put into a dataset, by tag; codes of `earlier` methods are named again."""
    through = weakening.of(profile)
    listed = sorted({*codes(profile.options), *(earlier & MEANINGS.keys())} - ({BASIC} if through else set()))
    items = b"".join(_item(encoding, code) for code in listed)
    removed, dates = "NO" if through.direct else "YES", _DATE_WORDS[profile.options.dates]
    texts = {_REMOVED: ("CS", removed), _METHOD: ("LO", method(through)), _DATES: ("CS", dates)}
    written = [(tag, encoding.element(tag, vr, text.encode())) for tag, (vr, text) in texts.items()]
    return tuple(sorted([*written, (METHODS, encoding.element(METHODS, "SQ", items))]))


def _item(encoding: Encoding, code: str) -> bytes:
    """Return a code sequence's item (PS3.3, 8.8)."""
    fields = {CODE: ("SH", code), 0x00080102: ("SH", "DCM"), 0x00080104: ("LO", MEANINGS[code])}
    inside = b"".join(encoding.element(tag, vr, text.encode()) for tag, (vr, text) in fields.items())
    return encoding.header(ITEM, "", len(inside)) + inside
