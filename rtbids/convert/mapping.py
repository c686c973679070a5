"""Where BIDS wants an image that is not of a functional run: rules over what dcm2niix says of it. Pure.

The files that rules are read from are in `rtbids.convert.session_map`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from rtbids.bids import entities as bids_entities

SOURCEDATA = "sourcedata"
RUNS = r"func/.*_bold\."  # what field maps are for unless a rule says otherwise
GRADIENTS, ECHOES, BESIDE, NAME = "gradients", "echoes", "beside", "name"
_TAKEN_FROM_NAMES = {  # entities that a series may be named by (acq-fast), where BIDS allows them
    "anat": ("acquisition", "ceagent", "reconstruction", "run"),
    "dwi": ("acquisition", "direction", "run"),
    "fmap": ("acquisition", "run"),
    "func": ("acquisition", "direction", "run"),
}
_DIRECTION = re.compile(r"(?:^|[_ -])(AP|PA|LR|RL|SI|IS)(?=$|[_ -])")


@dataclass(frozen=True)
class Place:
    """Where an image goes by a rule.

    Attributes
    ----------
    datatype
        ``sourcedata`` keeps the DICOM files.
    requires
        Sidecar fields without which the image has no place.
    metadata
        Sidecar fields that are known besides.
    reason
        Why it is kept in ``sourcedata``.
    intended_for
        Of a field map: a regular expression over the names of the images that it is for; empty for none.
    rule
        The name of the rule.
    """

    datatype: str
    suffix: str = ""
    entities: Mapping[str, str] = field(default_factory=dict)
    requires: tuple[str, ...] = ()
    metadata: Mapping[str, Any] = field(default_factory=dict)
    reason: str = "BIDS has no place for such images"
    intended_for: str = RUNS
    rule: str = ""


@dataclass(frozen=True)
class Rule:
    """A place, and what an image must be and must not be to go there."""

    match: Mapping[str, re.Pattern[str]]
    unless: Mapping[str, re.Pattern[str]]
    place: Place

    def fits(self, fields: Mapping[str, Any]) -> bool:
        """Say whether an image with these sidecar fields goes by this rule."""
        wanted = all(pattern.search(text(fields, key)) for key, pattern in self.match.items())
        return wanted and not any(pattern.search(text(fields, key)) for key, pattern in self.unless.items())


@dataclass(frozen=True)
class SessionMap:
    """The rules of a session in the order in which they are tried."""

    rules: tuple[Rule, ...]

    def place(self, fields: Mapping[str, Any]) -> Place | None:
        """Return where an image with these sidecar fields goes, its name's entities included; None where no rule fits."""
        for rule in self.rules:
            if rule.fits(fields):
                return replace(rule.place, entities={**_named(fields, rule.place), **rule.place.entities})
        return None

    def intended_for(self, fields: Mapping[str, Any]) -> str:
        """Return what the field map with this sidecar is for: a regular expression over names; empty for nothing."""
        rules = (rule for rule in self.rules if rule.place.datatype == "fmap" and rule.fits(fields))
        return next((rule.place.intended_for for rule in rules), RUNS)


def text(fields: Mapping[str, Any], key: str) -> str:
    """Return a field as the text that patterns are tried on; lists are joined by backslashes, as DICOM does."""
    if key == NAME:
        return f"{fields.get('SeriesDescription', '')}\n{fields.get('ProtocolName', '')}"
    value = fields.get(key, "")
    return "\\" + "\\".join(map(str, value)) + "\\" if isinstance(value, list) else str(value)


def _named(fields: Mapping[str, Any], place: Place) -> dict[str, str]:
    """Return the entities that the series' name tells, in BIDS's own way (``acq-fast``)."""
    wanted = _TAKEN_FROM_NAMES.get(place.datatype, ())
    name = text(fields, NAME)
    found = {}
    for entity in (*wanted, *(("direction",) if place.suffix == "epi" else ())):
        if label := bids_entities.said(name, entity):
            found[entity] = label.zfill(2) if entity == "run" else label
        elif entity == "direction" and (direction := _direction(name, fields, needed=place.suffix == "epi")):
            found[entity] = direction
    return found


def _direction(name: str, fields: Mapping[str, Any], *, needed: bool) -> str | None:
    """Return the phase encoding's direction by the name, or by the axis where BIDS cannot do without a label."""
    for line in name.split("\n"):
        if match := _DIRECTION.search(line):
            return match[1]
    axis = str(fields.get("PhaseEncodingDirection", "")) if needed else ""
    return axis.replace("-", "minus") or None
