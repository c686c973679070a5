"""Which facts that BIDS knows a data set will lack, by what was done to the elements that hold them.

A private element is known by the name of its creator, which a path does not tell: of those the profile is asked.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from rtbids.deidentify import private
from rtbids.deidentify.profile import Action, Profile

_FACTS = {
    0x00080080: "InstitutionName",
    0x00080081: "InstitutionAddress",
    0x00081040: "InstitutionalDepartmentName",
    0x00081010: "StationName",
    0x00181000: "DeviceSerialNumber",
    0x00181030: "ProtocolName",
    0x00181020: "SoftwareVersions",
    0x00180010: "ContrastBolusIngredient",
    0x00100040: "sex",
    0x00101010: "age",
    0x00080022: "acq_time",
    0x0008002A: "acq_time",
    0x00080032: "acq_time",
}
_TAKEN = (Action.REMOVE, Action.EMPTY, Action.DUMMY)
_LAST = re.compile(r"\(([0-9A-F]{4}),([0-9A-F]{4})\)$")
_PLACE = re.compile(r"\(([0-9A-Fa-f]{4}),xx([0-9A-Fa-f]{2})\)")


def of(done: Iterable[tuple[str, Action]]) -> list[str]:
    """Return the facts that went with what was `done` to public elements by path."""
    tags = (int(last[1] + last[2], 16) for path, action in done if action in _TAKEN and (last := _LAST.search(path)))
    return sorted({_FACTS[tag] for tag in tags if tag in _FACTS})


def of_private(profile: Profile) -> list[str]:
    """Return the facts that may lack because `profile` takes out private elements that would stay otherwise."""
    return sorted({fact for creator, place, facts in _needed() for fact in facts if _is_gone(profile, creator, place)})


def _is_gone(profile: Profile, creator: str, place: str) -> bool:
    match = _PLACE.fullmatch(place)
    tag = int(f"{match[1]}10{match[2]}", 16) if match else 0
    change = profile.change(tag, "UN", creator)
    return change.action in _TAKEN if change else not profile.options.private


def _needed() -> Iterator[tuple[str, str, list[str]]]:
    """Yield creator, place and what BIDS has from it, for the private elements that stay as a rule."""
    for creator, elements in private.listing()["elements"].items():
        for place, said in elements.items():
            yield creator, place, said.get("needed", [])
