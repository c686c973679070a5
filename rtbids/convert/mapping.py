"""Where BIDS wants an image that is not of a functional run: rules over what dcm2niix says of it, which a YAML file can change.

Pure but for reading the files of rules.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import Any

from rtbids import config
from rtbids.bids import entities as bids_entities
from rtbids.errors import UsageFault

SOURCEDATA = "sourcedata"
GRADIENTS, NAME = "gradients", "name"
SUFFIXES: Mapping[str, frozenset[str]] = {
    "anat": frozenset({"T1w", "T2w", "FLAIR", "PDw", "T2starw", "inplaneT1", "inplaneT2", "angio", "PDT2"}),
    "dwi": frozenset({"dwi", "sbref"}),
    "fmap": frozenset({"phasediff", "phase1", "phase2", "magnitude", "magnitude1", "magnitude2", "fieldmap", "epi"}),
    "func": frozenset({"sbref"}),
}
_TAKEN_FROM_NAMES = {  # entities that a series may be named by (acq-fast), where BIDS allows them
    "anat": ("acquisition", "ceagent", "reconstruction"),
    "dwi": ("acquisition", "direction"),
    "fmap": ("acquisition",),
    "func": ("acquisition", "direction"),
}
_DIRECTION = re.compile(r"(?:^|[_ -])(AP|PA|LR|RL|SI|IS)(?=$|[_ -])")
_KEYS = {"name", "match", "unless", "datatype", "suffix", "entities", "requires", "metadata"}


@dataclass(frozen=True)
class Place:
    """Where an image goes: datatype (or ``sourcedata``), suffix, entities, and sidecar fields that are known besides."""

    datatype: str
    suffix: str = ""
    entities: Mapping[str, str] = field(default_factory=dict)
    requires: tuple[str, ...] = ()
    metadata: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Rule:
    """A place, and what an image must be and must not be to go there."""

    name: str
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
                named = _named(fields, rule.place)
                return Place(
                    rule.place.datatype,
                    rule.place.suffix,
                    {**named, **rule.place.entities},
                    rule.place.requires,
                    rule.place.metadata,
                )
        return None


def load(path: Path | None = None) -> SessionMap:
    """Return the rules of a YAML file, and after them those that come with rtbids unless it says ``defaults: false``.

    Raises
    ------
    InputMissing
        There is no such file.
    UsageFault
        It is not as a session map should be; the message names the rule.
    """
    with resources.as_file(resources.files("rtbids.convert") / "session_map.yaml") as own:
        default = _rules(config.load(own), "session_map.yaml")
    if path is None:
        return SessionMap(default)
    settings = config.load(path)
    keep = settings.pop("defaults", True)
    return SessionMap((*_rules(settings, str(path)), *(default if keep else ())))


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
        if match := re.search(rf"(?:^|[_\s]){bids_entities.KEYS[entity]}-([A-Za-z0-9]+)", name):
            found[entity] = match[1]
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


def _rules(settings: Mapping[str, Any], where: str) -> tuple[Rule, ...]:
    rules = settings.get("rules", [])
    if unknown := set(settings) - {"rules"}:
        raise UsageFault(f"{where}: expected rules and defaults, found {', '.join(sorted(map(str, unknown)))}")
    if not isinstance(rules, list):
        raise UsageFault(f"{where}: expected rules to be a list, found {type(rules).__name__}")
    return tuple(_rule(rule, f"{where}, rule {number}") for number, rule in enumerate(rules, 1))


def _rule(rule: Any, where: str) -> Rule:
    if not isinstance(rule, dict):
        raise UsageFault(f"{where}: expected match, datatype and suffix, found {rule!r}")
    if unknown := set(rule) - _KEYS:
        raise UsageFault(
            f"{where}: no such key: {', '.join(sorted(map(str, unknown)))} (there are: {', '.join(sorted(_KEYS))})"
        )
    match, unless = _patterns(rule, "match", where), _patterns(rule, "unless", where)
    if not match:
        raise UsageFault(f"{where}: expected match to name a field at least, found none")
    return Rule(str(rule.get("name", "")), match, unless, _place(rule, where))


def _place(rule: Mapping[str, Any], where: str) -> Place:
    datatype, suffix = str(rule.get("datatype", "")), str(rule.get("suffix", ""))
    if datatype != SOURCEDATA and suffix not in SUFFIXES.get(datatype, ()):
        known = "; ".join(f"{name}: {', '.join(sorted(suffixes))}" for name, suffixes in SUFFIXES.items())
        raise UsageFault(f"{where}: expected {SOURCEDATA} or one of {known}; found {datatype or 'nothing'} {suffix}".rstrip())
    requires = rule.get("requires", [])
    if not isinstance(requires, list):
        raise UsageFault(f"{where}: expected requires to be a list, found {requires!r}")
    return Place(datatype, suffix, _labels(rule, where), tuple(map(str, requires)), _mapping(rule, "metadata", where))


def _labels(rule: Mapping[str, Any], where: str) -> dict[str, str]:
    labels = _mapping(rule, "entities", where)
    if unknown := set(labels) - set(bids_entities.KEYS):
        raise UsageFault(f"{where}: no such entity: {', '.join(sorted(map(str, unknown)))}")
    return {entity: bids_entities.label(entity, str(value)) for entity, value in labels.items()}


def _patterns(rule: Mapping[str, Any], key: str, where: str) -> dict[str, re.Pattern[str]]:
    found = {}
    for name, pattern in _mapping(rule, key, where).items():
        try:
            found[str(name)] = re.compile(str(pattern), re.IGNORECASE)
        except re.error as error:
            raise UsageFault(f"{where}: {key} {name}: not a regular expression ({error})") from None
    return found


def _mapping(rule: Mapping[str, Any], key: str, where: str) -> dict[str, Any]:
    value = rule.get(key) or {}
    if not isinstance(value, dict):
        raise UsageFault(f"{where}: expected {key} to be keys and values, found {value!r}")
    return value
