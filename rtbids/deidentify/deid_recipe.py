"""Recipes of the package `deid` (``FORMAT dicom``, ``%header``, ``%filter`` ...), read as recipes of ours where they map.

There the recipe is all that is done; here it changes the standard's profile, so that a translation never lets more through than
the profile unless a line says KEEP. Lines that have no counterpart (functions, pixel coordinates), or that would leave a file
which cannot be sent, are named one by one.
"""

from __future__ import annotations

import itertools
import logging
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from rtbids.deidentify import deid_fields, deid_filters, recipe
from rtbids.deidentify.deid_fields import Fields, Unclear
from rtbids.deidentify.elements_named import named
from rtbids.errors import InputMissing, UsageFault
from rtbids.plural import counted

logger = logging.getLogger("rtbids")
PRIORITY = ("BLANK", "REMOVE", "JITTER", "REPLACE", "ADD", "KEEP")  # deid's own, the last wins
_SHOWN = 4  # lines with the same reason; of more only the first are named
_SECTIONS = ("header", "labels", "filter", "values", "fields")
_OURS = {"entity_id": "patient", "entity_timestamp": "shift", "item_timestamp": "shift", "jitter": "shift"}
_UID_FUNCTIONS = ("dicom_uuid", "basic_uuid", "pydicom_uuid")
_PROFILES_OWN = {"AccessionNumber": "item_id", "PatientIdentityRemoved": "YES"}  # what the profile writes in any case


@dataclass(frozen=True)
class Untranslated:
    """A line that has no counterpart, and why."""

    line: int
    text: str
    why: str

    def __str__(self) -> str:
        return f"line {self.line}: {self.text}: {self.why}"


@dataclass(frozen=True)
class Translation:
    """A recipe of ours as a file would hold it, and what of the other is not in it."""

    mapping: Mapping[str, Any]
    untranslated: tuple[Untranslated, ...] = ()

    def missing(self) -> Iterator[str]:
        """Yield what is not in it, lines with the same reason together."""
        for why, lines in itertools.groupby(sorted(self.untranslated, key=lambda one: one.why), key=lambda one: one.why):
            same = sorted(lines, key=lambda one: one.line)
            if len(same) <= _SHOWN:
                yield from map(str, same)
            else:
                yield f"lines {', '.join(str(one.line) for one in same[:_SHOWN])} and {len(same) - _SHOWN} more: {why}"

    def text(self) -> str:
        """Return the recipe as YAML."""
        head = "# Translated from a recipe of deid; the basic profile does the rest.\n"
        missing = "".join(f"# not translated, {line}\n" for line in self.missing())
        return head + missing + yaml.safe_dump(dict(self.mapping), sort_keys=False, width=100)


@dataclass(frozen=True)
class _Line:
    number: int
    text: str
    section: str
    name: str


@dataclass(frozen=True)
class _Rule:
    fields: Fields
    rule: Any
    priority: int


@dataclass
class _Found:
    rules: list[_Rule] = field(default_factory=list)
    series: list[dict[str, Any]] = field(default_factory=list)
    lists: dict[str, Fields] = field(default_factory=dict)
    untranslated: list[Untranslated] = field(default_factory=list)


def is_deid(path: Path) -> bool:
    """Tell whether a file is a recipe of deid: one whose first line that says something is ``FORMAT …`` or a section."""
    lines = (line.strip() for line in _text(path).splitlines())
    first = next((line for line in lines if line and not line.startswith("#")), "")
    return bool(re.match(r"format\s+\w+\s*$|%\s*(header|filter|labels|values|fields)\b", first, re.IGNORECASE))


def load(path: Path, *, partly: bool = False) -> recipe.Recipe:
    """Read a recipe of deid; one with lines that have no counterpart is refused unless `partly`."""
    translation = translate(_text(path), str(path))
    if translation.untranslated:
        _tell(translation, path, partly=partly)
    return recipe.read(translation.mapping, path)


def _tell(translation: Translation, path: Path, *, partly: bool) -> None:
    named_lines = "\n".join(f"  {line}" for line in translation.missing())
    lines = counted(len(translation.untranslated), "line")
    if not partly:
        hint = "--print-recipe shows what it would become; --recipe-partly goes on without these lines, by the basic profile"
        raise UsageFault(f"{path}: {lines} cannot be translated:\n{named_lines}", hint)
    logger.warning("%s: by the basic profile instead of %s that cannot be translated:\n%s", path, lines, named_lines)


def translate(text: str, where: str) -> Translation:
    """Translate a recipe; `where` is for messages."""
    found = _Found()
    lines = list(_lines(text, where))
    for line in lines:
        if line.section in ("values", "fields"):
            _list(line, found)
    for line in lines:
        if line.section in ("header", "labels"):
            _header(line, found)
    labels = [(line.number, line.name, line.text) for line in lines if line.section == "filter"]
    for label in deid_filters.labels(labels):
        found.series += label.series
        found.untranslated += [Untranslated(number, said, why) for number, said, why in label.untranslated]
    mapping = {"elements": _elements(found.rules), "private": _private(found.rules), "series": found.series}
    found.untranslated.sort(key=lambda one: one.line)
    return Translation({key: value for key, value in mapping.items() if value}, tuple(found.untranslated))


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise InputMissing(f"{path}: no such file") from None
    except OSError as error:
        raise InputMissing(f"cannot read {path}: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise UsageFault(f"{path}, byte {error.start}: expected UTF-8 text") from None


def _lines(text: str, where: str) -> Iterator[_Line]:
    """Yield the lines that say something, each with its section."""
    section, name = "", ""
    for number, line in enumerate(map(str.strip, text.splitlines()), 1):
        if not line or line.startswith("#"):
            continue
        if re.match("format", line, re.IGNORECASE):
            if not re.fullmatch(r"format\s+dicom\s*(#.*)?", line, re.IGNORECASE):
                raise UsageFault(f"{where}, line {number}: expected FORMAT dicom, found {line!r}")
        elif line.startswith("%"):
            parts = line[1:].split("#")[0].split(None, 1)
            section, name = (parts[0].lower() if parts else ""), (parts[1].strip() if len(parts) > 1 else "")
            if section not in _SECTIONS:
                raise UsageFault(f"{where}, line {number}: expected %{', %'.join(_SECTIONS)}, found {line!r}")
        else:
            yield _Line(number, line, section, name)


def _list(line: _Line, found: _Found) -> None:
    """Note a member of a ``%fields`` list; what depends on a file's values has no counterpart."""
    parts = deid_fields.split(line.text)
    key = f"{line.section}:{line.name}"
    if line.section == "values":
        why = "lists made from a file's values; a value removed is removed from all free text in any case"
    elif parts[0].upper() != "FIELD" or len(parts) < 2:
        why = "expected FIELD and a field"
    else:
        try:
            found.lists[key] = found.lists.get(key, Fields()).with_more(deid_fields.read(parts[1], {}))
            return
        except Unclear as unclear:
            why = str(unclear)
    found.untranslated.append(Untranslated(line.number, line.text, why))


def _header(line: _Line, found: _Found) -> None:
    action, *rest = deid_fields.split(line.text)
    try:
        if action.upper() not in PRIORITY:
            raise Unclear(f"expected one of {', '.join(reversed(PRIORITY))}")
        if not rest:
            raise Unclear("no field is named")
        value = " ".join(rest[1:]).split("#")[0].strip()
        if _PROFILES_OWN.get(rest[0]) in (value, value.removeprefix("var:")) and value:
            return
        rule = _rule(action.upper(), value)
        fields = deid_fields.read(rest[0], found.lists)
        _check(rule, fields)
        found.rules.append(_Rule(fields, rule, PRIORITY.index(action.upper())))
    except Unclear as unclear:
        found.untranslated.append(Untranslated(line.number, line.text, str(unclear)))


def _rule(action: str, value: str) -> Any:
    """Return our rule for an action of deid and its value."""
    if action == "REMOVE" and value:
        raise Unclear("removing by a condition on values needs a function")
    if action in ("KEEP", "REMOVE", "BLANK"):
        return {"KEEP": "keep", "REMOVE": "remove", "BLANK": "empty"}[action]
    if not value:
        raise Unclear("no value is given")
    return "shift" if action == "JITTER" else _new(value)


def _new(value: str) -> Any:
    kind, colon, name = value.partition(":")
    if colon and kind == "var":
        if name not in _OURS:
            raise Unclear(f"the variable {name!r} is set by a program; known are {', '.join(_OURS)}, item_id")
        return _OURS[name]
    if colon and kind == "deid_func":
        function = name.split()[0] if name else ""
        if function == "jitter" or function in _UID_FUNCTIONS:
            return "shift" if function == "jitter" else "uid"
    if colon and kind in ("func", "deid_func"):
        raise Unclear("a function of somebody's program cannot be run from here; uid, patient and shift may do the same")
    return {"replace": value.strip("\"'")}


def _check(rule: Any, fields: Fields) -> None:
    """Raise Unclear where our own reader would refuse the rule."""
    if fields.private and rule not in ("keep", "remove", "empty"):
        raise Unclear("a private element can be kept, removed or emptied only")
    if fields.everything and rule != "remove":
        raise Unclear("all elements at once: the basic profile decides for each, name those that are to differ")
    mapping = {"elements": {named(pattern): rule for pattern in fields.patterns()}}
    try:
        recipe.read(mapping, Path("recipe"))
    except UsageFault as fault:
        raise Unclear(str(fault).partition(": elements.")[2].partition(": ")[2] or str(fault)) from None


def _elements(rules: list[_Rule]) -> dict[str, Any]:
    """Return rules of ours: patterns by deid's priority, then single elements where no pattern of more weight has its say."""
    ranked = sorted(rules, key=lambda rule: rule.priority)
    said: dict[str, Any] = {}
    for rule in ranked:
        for glob in rule.fields.globs:
            said.pop(glob, None)
            said[glob] = rule.rule
    for rule in ranked:
        for tag in rule.fields.tags:
            stronger = [other for other in ranked if other.priority > rule.priority and other.fields.means(tag)]
            if not stronger:
                said[named(tag)] = rule.rule
    return said


def _private(rules: list[_Rule]) -> dict[str, dict[str, Any]]:
    said: dict[str, dict[str, Any]] = {}
    for rule in sorted(rules, key=lambda rule: rule.priority):
        for creator, element in rule.fields.private:
            said.setdefault(creator, {})[element] = rule.rule
    return said
