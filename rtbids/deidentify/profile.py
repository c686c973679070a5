"""What becomes of each element: the Basic Profile of DICOM PS3.15 with its options, changed by the rules of a recipe."""

from __future__ import annotations

import enum
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from functools import cache, cached_property
from importlib.resources import files
from typing import Any, Literal

from pydicom.datadict import dictionary_has_tag, dictionary_VR, keyword_for_tag

from rtbids.deidentify import kept

TEXTS = frozenset({"LO", "SH", "ST", "LT", "UT", "UC"})
_DATES = frozenset({"DA", "DT"})
_TIMES = frozenset({"DA", "DT", "TM"})
_TIME_ZONE = 0x00080201
_CHARACTERISTICS = frozenset({0x00100040, 0x00101010, 0x00101020, 0x00101030})  # sex, age, size, weight
_OPAQUE = frozenset({"OB", "OW", "OF", "OD", "OL", "OV", "UN"}) | TEXTS | {"AE"}  # may say anything
IMAGE = frozenset({0x7FE00001, 0x7FE00002, 0x7FE00008, 0x7FE00009, 0x7FE00010})  # pixels, and tables of where they lie
_DESCRIPTORS = frozenset({0x00181030, 0x0008103E})  # what names a task: cleaned word by word, all other free text goes
PATIENT_NAME, PATIENT_ID, _ACCESSION = 0x00100010, 0x00100020, 0x00080050
_LENGTH_TO_END = 0x00080001
_MARKERS = frozenset({0x00120062, 0x00120063, 0x00120064, 0x00280303})
_GONE_GROUPS = frozenset({0x0000, 0x0002, 0x0004, 0x0006, 0xFFFA, 0xFFFC})


class Action(enum.Enum):
    """What is done to an element; the words are those that a report shows."""

    KEEP = "kept"
    REMOVE = "removed"
    EMPTY = "emptied"
    DUMMY = "replaced by a dummy"
    UID = "given a new UID"
    CLEAN = "cleaned"
    SHIFT = "shifted"
    MASK = "masked"
    REPLACE = "replaced"
    PATIENT = "given the new patient ID"
    ACCESSION = "given the new accession number"
    CAP = "capped"
    WALK = "cleaned inside"


@dataclass(frozen=True)
class Options:
    """The options of PS3.15: True retains. `words` are those that a site's protocol names may keep, beside the known ones."""

    dates: Literal["shifted", "removed", "kept"] = "shifted"
    device: bool = False
    patient: bool = False
    institution: bool = False
    uids: bool = False
    descriptors: Literal["clean", "removed"] = "clean"
    private: bool = True
    burned_in: bool = False
    faces: bool = False
    words: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Change:
    """One rule of a recipe, for elements by tag, pattern of a tag, keyword, or VR; a later rule wins over an earlier one.

    Parameters
    ----------
    tags
        Whole tags (``0x00081030``), tags with x for any digit (``"0018xxxx"``), keywords with * (``"*Comments"``), or a VR.
    series
        Keyword and pattern of what the top of a file's header must say for the rule to hold, all of them.
    value
        The new value of REPLACE and DUMMY.
    creator
        Whose private elements are meant; their tags are patterns such as ``"0019xx0a"``, for blocks have no fixed place.
    """

    action: Action
    tags: tuple[str | int, ...]
    series: tuple[tuple[str, str], ...] = ()
    value: str | None = None
    creator: str | None = None

    def holds(self, said: Callable[[str], str]) -> bool:
        """Tell whether this rule is for a file of which `said` gives the value of a keyword."""
        return all(fnmatchcase(said(keyword).casefold(), pattern.casefold()) for keyword, pattern in self.series)

    def matches(self, tag: int, representation: str, creator: str | None = None) -> bool:
        """Tell whether an element is meant: a private one, of which the creator is given, by a rule for that creator only."""
        if creator != self.creator:
            return False
        keyword = "" if creator is not None else keyword_for_tag(tag)
        return any(_matches(pattern, tag, representation, keyword) for pattern in self.tags)


@dataclass(frozen=True)
class Profile:
    """What is done to which element."""

    options: Options = field(default_factory=Options)
    changes: tuple[Change, ...] = ()

    def action(self, tag: int, vr: str) -> Action:
        """Return what becomes of an element; of a private one only what a recipe says of it, else KEEP."""
        known = self._actions.get((tag, vr))
        if known is None:
            known = self._actions[tag, vr] = self._decide(tag, vr)
        return known

    def change(self, tag: int, vr: str, creator: str | None = None) -> Change | None:
        """Return the recipe's last rule for an element, None where it has none."""
        return next((change for change in reversed(self.changes) if change.matches(tag, vr, creator)), None)

    def retained(self, vr: str) -> Action:
        """Return what becomes of an element that is safe but for what its VR may hold: names, dates, UIDs, ages."""
        return _by_representation({vr}, self.options)

    def for_file(self, said: Callable[[str], str]) -> Profile:
        """Return the profile with those rules only that are for this file."""
        held = tuple(change for change in self.changes if change.holds(said))
        return self if held == self.changes else self._narrowed(held)

    def _narrowed(self, changes: tuple[Change, ...]) -> Profile:
        if changes not in self._narrower:
            self._narrower[changes] = replace(self, changes=changes)
        return self._narrower[changes]

    @cached_property
    def _actions(self) -> dict[tuple[int, str], Action]:
        return {}

    @cached_property
    def _narrower(self) -> dict[tuple[Change, ...], Profile]:
        return {}

    def _decide(self, tag: int, vr: str) -> Action:
        if change := self.change(tag, vr):
            return within(change.action, vr)
        return Action.KEEP if tag >> 16 & 1 else _standard(tag, vr, self.options)


def within(action: Action, vr: str) -> Action:
    """Return WALK for a sequence that is kept: what lies in it has rules of its own."""
    return Action.WALK if action is Action.KEEP and vr == "SQ" else action


def _standard(tag: int, vr: str, options: Options) -> Action:
    """Return what the standard and the rules that are in no row of its table make of a public element."""
    group = tag >> 16
    if tag in _MARKERS or tag == _LENGTH_TO_END:  # written anew; no longer true
        return Action.REMOVE
    if tag in (PATIENT_NAME, PATIENT_ID):
        return Action.PATIENT
    if tag == _ACCESSION:
        return Action.ACCESSION
    if (
        group in _GONE_GROUPS
        or tag & 0xFFFF == 0
        or 0x5000 <= group <= 0x501F
        or 0x6000 <= group <= 0x601F
        or 0x7F00 <= group < 0x7FE0
    ):
        return Action.REMOVE
    representations = {vr, *dictionary(tag).split(" or ")}
    if row := rows().get(tag):
        return _of_row(row, tag, representations, options)
    return _unlisted(tag, representations, options)


def _of_row(row: tuple[str, Mapping[str, str]], tag: int, representations: set[str], options: Options) -> Action:
    code, columns = row
    if any(_is_retained(tag, name, columns, options) for name in ("uids", "device", "patient", "institution")):
        return _by_representation(representations, options)
    if "dates" in columns and options.dates != "removed" and (tag == _TIME_ZONE or representations & _TIMES):
        return _by_representation(representations, options)
    if tag in _DESCRIPTORS and options.descriptors == "clean":
        return Action.CLEAN
    return _of_code(code, "SQ" in representations, representations)


def _is_retained(tag: int, name: str, columns: Mapping[str, str], options: Options) -> bool:
    """Tell whether an option keeps an element; of a patient's characteristics those that the option is known by."""
    kept_by_the_table = getattr(options, name) is True and columns.get(name) == "K"
    return kept_by_the_table and (name != "patient" or tag in _CHARACTERISTICS)


def _of_code(code: str, is_sequence: bool, representations: set[str]) -> Action:
    """Return the action of a base code; of combined ones that which satisfies every type of attribute.

    A sequence with D is emptied: its items would go on saying who it was by a code.
    """
    if code == "X/Z/U*":
        return Action.WALK
    if code == "U" or ("UI" in representations and "D" in code):
        return Action.UID
    if "D" in code:
        is_name = "PN" in representations and code != "D"  # which has a value always (type 1)
        return Action.EMPTY if is_sequence or is_name else Action.DUMMY
    return Action.EMPTY if "Z" in code else Action.REMOVE


def _unlisted(tag: int, representations: set[str], options: Options) -> Action:
    """Return what becomes of an element that the table does not list: texts and blobs go, but for those of ``kept.yaml``."""
    if not dictionary_has_tag(tag):  # those of repeating groups, all retired, are not in it
        return Action.REMOVE
    if tag in IMAGE:
        return Action.KEEP
    by_representation = _by_representation(representations, options)
    is_text = by_representation is Action.KEEP and representations & _OPAQUE
    return Action.REMOVE if is_text and tag not in kept.listing() else by_representation


def _by_representation(representations: set[str], options: Options) -> Action:
    if "SQ" in representations:
        return Action.WALK
    if "PN" in representations:
        return Action.EMPTY
    if representations & _DATES:
        return {"shifted": Action.SHIFT, "removed": Action.EMPTY, "kept": Action.KEEP}[options.dates]
    if "UI" in representations and not options.uids:
        return Action.UID
    if "AS" in representations:
        return Action.CAP
    return Action.EMPTY if "UR" in representations else Action.KEEP


@cache
def rows() -> Mapping[int, tuple[str, Mapping[str, str]]]:
    """Return the table of PS3.15: base code and codes of the options by tag."""
    read: dict[str, list[Any]] = table()["rows"]
    return {int(tag, 16): (row[0], row[1] if len(row) > 1 else {}) for tag, row in read.items()}


@cache
def table() -> Mapping[str, Any]:
    """Return the table as it is stored, with its edition and where it is from."""
    read: Mapping[str, Any] = json.loads(files("rtbids.deidentify").joinpath("table.json").read_text(encoding="utf-8"))
    return read


@cache
def dictionary(tag: int) -> str:
    """Return the VR of a public element by the dictionary, UN where it has none."""
    try:
        return dictionary_VR(tag)
    except KeyError:
        return "UN"


def _matches(pattern: str | int, tag: int, representation: str, keyword: str) -> bool:
    if isinstance(pattern, int):
        return pattern == tag
    if len(pattern) == 2:
        return pattern == representation
    digits = f"{tag:08X}"
    plain = pattern.upper().strip("()").replace(",", "")
    if len(plain) == 8 and all(one in "0123456789ABCDEFX" for one in plain):
        return all(one in ("X", digit) for one, digit in zip(plain, digits, strict=True))
    return bool(keyword) and fnmatchcase(keyword, pattern)
