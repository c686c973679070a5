"""The rules of a session as a YAML file: those that come with rtbids, and a user's own before them."""

from __future__ import annotations

import difflib
import re
from collections.abc import Collection, Mapping
from importlib import resources
from pathlib import Path
from typing import Any

from rtbids import config
from rtbids.bids import entities as bids_entities
from rtbids.convert.mapping import SOURCEDATA, Place, Rule, SessionMap
from rtbids.errors import UsageFault

SUFFIXES: Mapping[str, frozenset[str]] = {
    "anat": frozenset({"T1w", "T2w", "FLAIR", "PDw", "T2starw", "inplaneT1", "inplaneT2", "angio", "PDT2", "UNIT1"}),
    "dwi": frozenset({"dwi", "sbref"}),
    "fmap": frozenset({"phasediff", "phase1", "phase2", "magnitude", "magnitude1", "magnitude2", "fieldmap", "epi"}),
    "func": frozenset({"sbref"}),
}
_ENTITIES = {  # BIDS 1.10, appendix "Entity table", besides subject, session, acquisition and run
    "anat": ("ceagent", "reconstruction", "echo", "part"),
    "dwi": ("reconstruction", "direction", "part"),
    "func": ("task", "ceagent", "reconstruction", "direction", "echo", "part"),
}
_LONG = {short: long for long, short in bids_entities.KEYS.items()}
_KEYS = ("name", "match", "unless", "datatype", "suffix", "entities", "requires", "metadata", "reason", "intended_for")
_TEXTS = ("name", "datatype", "suffix", "reason", "intended_for")


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
    keep = settings.get("defaults", True)
    if not isinstance(keep, bool):
        raise UsageFault(f"{path}: expected defaults to be true or false, found {keep!r}")
    return SessionMap((*_rules(settings, str(path)), *(default if keep else ())))


def _rules(settings: Mapping[str, Any], where: str) -> tuple[Rule, ...]:
    _known(settings, ("rules", "defaults"), where)
    rules = settings.get("rules") or []
    if not isinstance(rules, list):
        raise UsageFault(f"{where}: expected rules to be a list, found {type(rules).__name__}")
    return tuple(_rule(rule, f"{where}, rule {number}") for number, rule in enumerate(rules, 1))


def _rule(rule: Any, where: str) -> Rule:
    if not isinstance(rule, dict):
        raise UsageFault(f"{where}: expected match, datatype and suffix, found {rule!r}")
    if isinstance(rule.get("name"), str):
        where = f"{where} ({rule['name']})"
    _known(rule, _KEYS, where)
    match, unless = _patterns(rule, "match", where), _patterns(rule, "unless", where)
    if not match:
        raise UsageFault(f"{where}: expected match to name a field at least, found none")
    return Rule(match, unless, _place(rule, where))


def _place(rule: Mapping[str, Any], where: str) -> Place:
    texts = {key: rule[key] for key in _TEXTS if key in rule}
    for key, value in texts.items():
        if not isinstance(value, str):
            raise UsageFault(f"{where}: expected {key} to be a text, found {value!r}")
    datatype, suffix = texts.pop("datatype", ""), texts.pop("suffix", "")
    if datatype != SOURCEDATA and suffix not in SUFFIXES.get(datatype, ()):
        known = "; ".join(f"{name}: {', '.join(sorted(suffixes))}" for name, suffixes in SUFFIXES.items())
        raise UsageFault(f"{where}: expected {SOURCEDATA} or one of {known}; found {datatype or 'nothing'} {suffix}".rstrip())
    requires = rule.get("requires") or []
    if not isinstance(requires, list):
        raise UsageFault(f"{where}: expected requires to be a list, found {requires!r}")
    if "intended_for" in texts:
        _pattern(texts["intended_for"], f"{where}: intended_for")
    texts["rule"] = texts.pop("name", "") or where
    return Place(datatype, suffix, _labels(rule, where), tuple(map(str, requires)), _mapping(rule, "metadata", where), **texts)


def _labels(rule: Mapping[str, Any], where: str) -> dict[str, str]:
    labels = _mapping(rule, "entities", where)
    labels = {_LONG.get(entity, entity): label for entity, label in labels.items()}
    _known(labels, tuple(bids_entities.KEYS), f"{where}: entities")
    allowed = _allowed(rule)
    if others := [entity for entity in labels if entity not in allowed]:
        raise UsageFault(f"{where}: a {rule['suffix']} has no {others[0]} in BIDS, only {', '.join(allowed)}")
    try:
        return {entity: bids_entities.label(entity, str(value)) for entity, value in labels.items()}
    except UsageFault as fault:
        raise UsageFault(f"{where}: entities: {fault}") from None


def _allowed(rule: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the entities that BIDS has for the datatype and suffix of a rule."""
    more = ("direction", "ceagent", "reconstruction") if rule.get("suffix") == "epi" else ()
    return ("subject", "session", "acquisition", "run", *_ENTITIES.get(str(rule.get("datatype")), ()), *more)


def _patterns(rule: Mapping[str, Any], key: str, where: str) -> dict[str, re.Pattern[str]]:
    found = _mapping(rule, key, where).items()
    return {str(name): _pattern(str(pattern), f"{where}: {key} {name}") for name, pattern in found}


def _pattern(text: str, where: str) -> re.Pattern[str]:
    try:
        return re.compile(text, re.IGNORECASE)
    except re.error as error:
        raise UsageFault(f"{where}: not a regular expression ({error})") from None


def _mapping(rule: Mapping[str, Any], key: str, where: str) -> dict[str, Any]:
    value = rule.get(key) or {}
    if not isinstance(value, dict):
        raise UsageFault(f"{where}: expected {key} to be keys and values, found {value!r}")
    return value


def _known(found: Collection[Any], known: tuple[str, ...], where: str) -> None:
    """Refuse a key that is not known, and name the nearest."""
    for key in found:
        if key not in known:
            near = difflib.get_close_matches(str(key), known, n=1)
            there = f"did you mean {near[0]!r}?" if near else f"expected one of {', '.join(known)}"
            raise UsageFault(f"{where}: unknown key {str(key)!r}, {there}")
