"""Which elements a rule means: a tag, a keyword, a pattern of either, or a VR; and which no rule may touch."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator
from fnmatch import fnmatchcase
from functools import cache

from pydicom._dicom_dict import DicomDictionary
from pydicom.datadict import dictionary_has_tag, keyword_for_tag, tag_for_keyword
from pydicom.valuerep import VR

Pattern = str | int

# Without these a file is no image any more: it cannot be sent, sorted into series, or its pixels read.
IDENTITY = frozenset((0x00080018, 0x0020000D, 0x0020000E))  # instance, study, series: a new UID or the old one
NEEDED = frozenset(
    (
        *(0x00080005, 0x00080016, 0x00280002, 0x00280004, 0x00280006, 0x00280008, 0x00280010, 0x00280011),
        *(0x00280100, 0x00280101, 0x00280102, 0x00280103, 0x00201041, 0x00200032, 0x00200037, 0x00280030, 0x00180080),
        *(0x52009229, 0x52009230, 0x7FE00008, 0x7FE00009, 0x7FE00010),
    )
)
_WHOLE = re.compile(r"\(?([0-9A-Fa-f]{4}),?\s?([0-9A-Fa-f]{4})\)?")
_PART = re.compile(r"\(?([0-9A-Fa-fxX]{4}),?\s?([0-9A-Fa-fxX]{4})\)?")
_FIRST = 0x00080000  # what comes before belongs to commands, the file's own head and directories


def element(text: str) -> Pattern:
    """Return the tag or the pattern that `text` names; raise ValueError saying what was expected."""
    text = text.strip()
    if whole := _WHOLE.fullmatch(text):
        return _public(int(whole[1] + whole[2], 16), text)
    if part := _PART.fullmatch(text):
        return (part[1] + part[2]).lower()
    if "*" in text or "?" in text:
        return _glob(text)
    tag = tag_for_keyword(text)
    if tag is None:
        raise ValueError(f"no element has the keyword {text!r}{_nearest(text)}")
    return tag


def representation(text: str) -> str:
    """Return a VR; raise ValueError where there is none of that name."""
    if text not in {str(vr.value) for vr in VR} or len(text) != 2:
        raise ValueError(f"there is no VR {text!r}; expected two capitals such as PN, LO or UT")
    return text


def named(pattern: Pattern) -> str:
    """Return `pattern` as a person would write it."""
    if isinstance(pattern, int):
        return keyword_for_tag(pattern) or f"({pattern >> 16:04X},{pattern & 0xFFFF:04X})"
    return f"({pattern[:4]},{pattern[4:]})" if re.fullmatch("[0-9a-fx]{8}", pattern) else pattern


def meant(pattern: Pattern) -> tuple[tuple[int, str], ...]:
    """Return the public elements that `pattern` means, each tag with its VR by the dictionary."""
    if isinstance(pattern, int):
        return ((pattern, _dictionary().get(pattern, ("UN", ""))[0]),)
    return _matching(pattern)


@cache
def _matching(pattern: str) -> tuple[tuple[int, str], ...]:
    in_data_sets = ((tag, vr, keyword) for tag, (vr, keyword) in _dictionary().items() if tag >= _FIRST)
    return tuple((tag, vr) for tag, vr, keyword in in_data_sets if _is(pattern, tag, vr, keyword))


def _is(pattern: str, tag: int, vr: str, keyword: str) -> bool:
    if len(pattern) == 2:
        return pattern in vr.split(" or ")
    if re.fullmatch("[0-9a-fx]{8}", pattern):
        return all(one in ("x", digit) for one, digit in zip(pattern, f"{tag:08x}", strict=True))
    return bool(keyword) and fnmatchcase(keyword, pattern)


@cache
def _dictionary() -> dict[int, tuple[str, str]]:
    return {tag: (entry[0], entry[4]) for tag, entry in DicomDictionary.items()}


def _public(tag: int, text: str) -> int:
    if tag >> 16 & 1:
        raise ValueError(f"{text} is private, and its number says nothing without its creator: put it under private:")
    if not dictionary_has_tag(tag):
        raise ValueError(f"the standard has no element {text}; unknown public elements are always removed")
    return tag


def _glob(text: str) -> str:
    if not _matching(text):
        raise ValueError(f"no keyword matches {text!r}")
    return text


def _nearest(text: str) -> str:
    near = difflib.get_close_matches(text, list(_keywords()), n=1, cutoff=0.75)
    return f", did you mean {near[0]!r}?" if near else "; expected a keyword such as PatientSex, or a tag in quotes"


def _keywords() -> Iterator[str]:
    return (keyword for _, keyword in _dictionary().values() if keyword)
