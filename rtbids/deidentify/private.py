"""Which private elements stay: those of ``private.yaml``, found by the name of their creator, all others go.

An element that stays is looked at first: where its value is not of the kind that was read (a text in the place of a number), it
is emptied. Blocks in which many things stand together are written anew from the parts that are known.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache, lru_cache, partial
from typing import Any

from pydicom._private_dict import private_dictionaries

from rtbids.deidentify import ge, listed, siemens
from rtbids.deidentify.private_values import Values
from rtbids.deidentify.profile import Action

RULES = "private.yaml"
_PLACE = re.compile(r"\(([0-9A-Fa-f]{4}),xx([0-9A-Fa-f]{2})\)")
_ICE = re.compile(rb"X(?:_(?:X|\d{1,5}))*[ \0]?")
_MEASUREMENT = 12  # field of the ICE dimensions, counted from 0: its number among the raw data that stay on the scanner
_REMEMBERED = 1024  # values; a series repeats most of its own
_LONGEST = 64  # bytes of a value that is remembered


@dataclass(frozen=True)
class PrivateRule:
    """What becomes of a private element: REMOVE, WALK, or MASK.

    `mask` gives what to write for the bytes of an element: the same bytes, or as many with nothing in them that was not known,
    or none where the element is not what the rule knows.
    """

    action: Action
    mask: Callable[[bytes], bytes] | None = None
    block: str = ""  # what a block that is written anew is called


REMOVED = PrivateRule(Action.REMOVE)
WALKED = PrivateRule(Action.WALK)


def rule(creator: str, group: int, low_byte: int) -> PrivateRule:
    """Return the rule of an element: `low_byte` is the last of its tag, `creator` is who reserved its block."""
    return _rules().get((creator.strip(" \0"), group, low_byte), REMOVED)


def is_known(creator: str) -> bool:
    """Say whether the name of a creator is a maker's, as the rules or pydicom have it, and so identifies nobody."""
    return creator in listing()["elements"] or creator in private_dictionaries


@cache
def listing() -> Mapping[str, Any]:
    """Return the file of rules as it is written."""
    return listed.load(RULES)


def fields(section: str) -> dict[str, Values]:
    """Return what a section of the file says of fields or settings, by name."""
    return {name: Values.of(said) for name, said in listing()[section].items()}


@cache
def _rules() -> dict[tuple[str, int, int], PrivateRule]:
    masks = _masks()
    return {
        (creator, group, low_byte): _rule(said, masks)
        for creator, elements in listing()["elements"].items()
        for group, low_byte, said in _places(elements)
    }


def _places(elements: Mapping[str, Any]) -> Iterator[tuple[int, int, Mapping[str, Any]]]:
    for place, said in elements.items():
        found = _PLACE.fullmatch(place)
        if not found:
            raise ValueError(f"expected an element as (0019,xx0A), found {place}")
        yield int(found[1], 16), int(found[2], 16), said


def _rule(said: Mapping[str, Any], masks: Mapping[str, Callable[[bytes], bytes]]) -> PrivateRule:
    if "walk" in said:
        return WALKED
    if "mask" in said:
        return PrivateRule(Action.MASK, masks[said["mask"]], said["mask"])
    return PrivateRule(Action.MASK, partial(_looked_at, Values.of(said["keep"]), said["vr"]))


def _masks() -> dict[str, Callable[[bytes], bytes]]:
    protocol = fields("protocol of Siemens")
    return {
        "csa image header": siemens.csa_header(fields("csa image header"), {}),
        "csa series header": siemens.csa_header(fields("csa series header"), protocol),
        "protocol of Siemens": siemens.protocol(protocol),
        "protocol of GE": ge.protocol(fields("protocol of GE")),
        "image header of GE": ge.image_header,
        "ice dimensions": _ice_dimensions,
    }


def _looked_at(values: Values, representation: str, content: bytes) -> bytes:
    fits = _fits if len(content) <= _LONGEST else Values.fit
    return content if fits(values, content, representation) else b""


@lru_cache(_REMEMBERED)
def _fits(values: Values, content: bytes, representation: str) -> bool:
    return values.fit(content, representation)


def _ice_dimensions(content: bytes) -> bytes:
    if not _ICE.fullmatch(content):
        return b""
    places = content.split(b"_")
    if len(places) > _MEASUREMENT:
        places[_MEASUREMENT] = re.sub(rb"\d", b"0", places[_MEASUREMENT])
    return b"_".join(places)
