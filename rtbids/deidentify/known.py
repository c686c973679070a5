"""What is to be done with an element, told by its first bytes: its tag and, where it is written, its VR."""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

from pydicom.datadict import dictionary_has_tag, dictionary_VM

from rtbids.deidentify import kept
from rtbids.deidentify.encoding import ITEM, ITEM_END, LONG, SEQUENCE_END, UNDEFINED, Encoding
from rtbids.deidentify.private import PrivateRule, rule
from rtbids.deidentify.profile import IMAGE, TEXTS, Action, Profile, dictionary, within
from rtbids.errors import BadData

CHARACTER_SET = 0x00080005
PIXELS = frozenset({0x7FE00008, 0x7FE00009, 0x7FE00010})
KEEP, TEXT, TERM, NUMBER, TIME, CODE, WORDS, COUNT, FORM, CREATOR, PRIVATE, OTHER = range(12)  # up to FORM copied, if fit to be
# Signs of how a text that stays is looked at: as a term of a maker, as a maker's own word, as a number, as a time of day, as
# a code, by its known words, as a number that counts, by the form of the element whose tag follows.
AS_TERM, AS_WORD, AS_NUMBER, AS_TIME, AS_CODE, AS_WORDS, AS_COUNT, AS_FORM = b"!", b"?", b"#", b":", b"/", b"~", b"%", b"="
REMOVED = PrivateRule(Action.REMOVE)
_TIME_ZONE = 0x00080201
_TECHNICAL = frozenset({0x00081090, 0x00181020})  # model, software: a station may be called like them
# Numbers of series and images, times of triggers: they run through five digits, and one may be that of the patient.
_COUNTS = frozenset({0x00200011, 0x00200013, 0x00200100, 0x00181060, 0x00541300})
_NUMBERS = frozenset({"DS", "IS", "UI"})
_KINDS = {kept.TEXT: TEXT, kept.WORDS: WORDS, kept.NUMBERS: KEEP, "": FORM}
_SIZES = {"US": 2, "SS": 2, "UL": 4, "SL": 4, "FL": 4, "AT": 4, "FD": 8, "SV": 8, "UV": 8}
_MOST_KNOWN = 1 << 16  # elements that no scanner writes must not fill the memory


class Known(NamedTuple):
    """What is to be done with all elements that begin with the same bytes."""

    kind: int
    tag: int
    vr: str
    long: bool
    action: Action
    most: int = UNDEFINED  # bytes that a value can have
    sign: bytes = b""  # of an element of a known form


class Memory(dict[bytes, Known]):
    """What is known by the first bytes of an element; learnt where it is asked for."""

    def __init__(self, profile: Profile, encoding: Encoding) -> None:
        self._profile, self._encoding = profile, encoding
        super().__init__()

    def __missing__(self, key: bytes) -> Known:
        if len(self) > _MOST_KNOWN:
            self.clear()
        known = self[key] = _learnt(key, self._profile, self._encoding)
        return known


class PrivateMemory(dict[tuple[str, int, str], PrivateRule]):
    """What is known of private elements by creator, tag and VR."""

    def __init__(self, profile: Profile) -> None:
        self._profile = profile
        super().__init__()

    def __missing__(self, key: tuple[str, int, str]) -> PrivateRule:
        if len(self) > _MOST_KNOWN:
            self.clear()
        decided = self[key] = _private_rule(self._profile, *key)
        return decided


@lru_cache(64)
def memory(profile: Profile, encoding: Encoding) -> Memory:
    """Return the one memory for all files of a profile."""
    return Memory(profile, encoding)


@lru_cache(64)
def private_memory(profile: Profile) -> PrivateMemory:
    """Return the one memory for the private elements of all files of a profile."""
    return PrivateMemory(profile)


def kind(tag: int, vr: str) -> int:
    """Return what is looked at in an element that is copied: its text, its term, its number, or nothing.

    Where the file's VR is not that of the dictionary, what the dictionary says is to be in it.
    """
    expected = dictionary(tag) if not tag >> 16 & 1 else vr
    if "TM" in (expected, vr):
        return TIME
    if "CS" in (expected, vr):
        return CODE
    if tag in _TECHNICAL or "AE" in (expected, vr):
        return TERM
    if tag in kept.listing():
        return _KINDS[kept.listing()[tag].how]
    if tag in _COUNTS:
        return COUNT
    if tag == _TIME_ZONE or _NUMBERS & {vr, expected} or (vr in TEXTS and expected in _SIZES):
        return NUMBER
    return TEXT if TEXTS & {vr, expected} else KEEP


def signs(charset: bytes) -> tuple[bytes, ...]:
    """Return the sign of each kind of text of a character set; those of a form have one for each element."""
    return b"", charset, AS_TERM + charset, AS_NUMBER, AS_TIME, AS_CODE, AS_WORDS + charset, AS_COUNT, b""


def form(tag: int) -> bytes:
    """Return the sign of an element of a known form, none for others."""
    is_of_a_form = tag in kept.listing() and kept.listing()[tag].form is not None
    return AS_FORM + b"%08X" % tag if is_of_a_form else b""


def most(tag: int, vr: str) -> int:
    """Return how many bytes a binary number can have, by how many values its element may hold (PS3.6)."""
    if vr not in _SIZES or not dictionary_has_tag(tag):
        return UNDEFINED
    last = dictionary_VM(tag).rpartition("-")[2]
    return int(last) * _SIZES[vr] if last.isdigit() else UNDEFINED


def _learnt(key: bytes, profile: Profile, encoding: Encoding) -> Known:
    group, number = encoding.tag.unpack_from(key)
    tag = group << 16 | number
    vr = dictionary(tag) if encoding.implicit else "" if group == 0xFFFE else _representation(key)
    known = Known(OTHER, tag, vr, not encoding.implicit and key[4:6] in LONG, Action.KEEP)
    if tag in (ITEM, ITEM_END, SEQUENCE_END, CHARACTER_SET):
        return known
    if tag >> 16 & 1:
        return known._replace(kind=CREATOR if 0x10 <= tag & 0xFFFF <= 0xFF else PRIVATE)
    return _judged(known, profile)


def _judged(known: Known, profile: Profile) -> Known:
    """Return what is to be done with a public element."""
    tag = known.tag
    vr = dictionary(tag) if known.vr == "UN" else known.vr
    if tag in IMAGE:  # those of a sequence go
        return known
    action = profile.action(tag, vr)
    if action is not Action.KEEP:
        return known._replace(action=action)
    return known._replace(kind=kind(tag, vr), most=most(tag, vr), sign=form(tag))


def _representation(key: bytes) -> str:
    name = key[4:6]
    if not (name.isalpha() and name.isupper()):
        raise BadData("an element has no VR that the standard knows, the file is damaged")
    return name.decode("ascii")


def _private_rule(profile: Profile, creator: str, tag: int, vr: str) -> PrivateRule:
    """Return the rule of a private element: that of a recipe, else that of its creator."""
    if change := profile.change(tag, vr, creator):
        return PrivateRule(within(change.action, vr))
    decided = rule(creator, tag >> 16, tag & 0xFF) if profile.options.private else REMOVED
    return PrivateRule(profile.retained(vr)) if decided.action is Action.KEEP else decided
