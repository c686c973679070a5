"""What a de-identified file says of itself: that it is, how, by which options, and what became of its dates (PS3.3, C.12.1)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache
from typing import NamedTuple

from rtbids import __version__
from rtbids.deidentify import weakening
from rtbids.deidentify.encoding import ITEM, Encoding
from rtbids.deidentify.profile import Options, Profile, table
from rtbids.deidentify.weakening import NONE, Weakening

METHODS, CODE = 0x00120064, 0x00080100
BASIC = "113100"
METHOD = 0x00120063
_REMOVED, _DATES = 0x00120062, 0x00280303
_OURS = re.compile(r"rtbids [\d.]{1,12}\w{0,12}, DICOM PS3\.15 20\d\d[a-e](?: Basic Profile|, fewer elements)")
_VERSION = re.compile(r"[A-Za-z]?\d{1,3}(?:\.\d{1,3})?(?:-(?:19|20)\d\d[a-e]?)?|[A-Za-z]?(?:19|20)\d\d[a-e]?|[A-Z]\.\d-\d|-|")
_WORDS = re.compile(
    r"dicomanon|deid|dicognito|gdcmanon|ctp|rsna|orthanc|dicom(-anonymizer)?|ps(3\.15)?|table|annex|basic|application|level"
    r"|confidentiality|profile|options?|clean|retain|(non)?default|rev|version|supplement",
    re.IGNORECASE,
)
_LASTING = frozenset({"113101", "113102", "113103", "113104"})  # what was taken out before stays out
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


class Earlier(NamedTuple):
    """What a file says of a de-identification before: codes of its methods, and its words."""

    codes: frozenset[str] = frozenset()
    words: tuple[str, ...] = ()


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


def _told(earlier: Earlier) -> Iterator[str]:
    """Yield the words of a de-identification before that name programs, versions and the standard, and nothing else."""
    for text in earlier.words:
        tokens = re.split(r"[\s(),]+", text)
        if _OURS.fullmatch(text) or all(_WORDS.fullmatch(one) or _VERSION.fullmatch(one) for one in tokens):
            yield text


def method(through: Weakening = NONE) -> str:
    """Return how it was done, in words; `through` is what a recipe lets through of what the profile takes out."""
    if through:
        return f"rtbids {__version__}, DICOM PS3.15 {table()['edition']}, fewer elements"[:64]
    return f"rtbids {__version__}, DICOM PS3.15 {table()['edition']} Basic Profile"[:64]


@lru_cache(64)
def elements(encoding: Encoding, profile: Profile, earlier: Earlier) -> tuple[tuple[int, bytes], ...]:
    """Return the elements to be put into a dataset, by tag; codes of `earlier` methods that still hold are named again."""
    through = weakening.of(profile)
    listed = sorted({*codes(profile.options), *(earlier.codes & _LASTING)} - ({BASIC} if through else set()))
    items = b"".join(_item(encoding, code) for code in listed)
    removed, dates = "NO" if through.direct else "YES", _DATE_WORDS[profile.options.dates]
    texts = {
        _REMOVED: ("CS", removed),
        METHOD: ("LO", "\\".join(dict.fromkeys((*_told(earlier), method(through))))),
        _DATES: ("CS", dates),
    }
    written = [(tag, encoding.element(tag, vr, text.encode())) for tag, (vr, text) in texts.items()]
    return tuple(sorted([*written, (METHODS, encoding.element(METHODS, "SQ", items))]))


def _item(encoding: Encoding, code: str) -> bytes:
    """Return a code sequence's item (PS3.3, 8.8)."""
    fields = {CODE: ("SH", code), 0x00080102: ("SH", "DCM"), 0x00080104: ("LO", MEANINGS[code])}
    inside = b"".join(encoding.element(tag, vr, text.encode()) for tag, (vr, text) in fields.items())
    return encoding.header(ITEM, "", len(inside)) + inside
