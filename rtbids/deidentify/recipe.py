"""A recipe: a YAML or TOML file of rules that change the profile, by element, by VR, by private creator and by series.

What is said of one element wins over what is said of a pattern, that over what is said of a VR, and a rule for some series
over one for all; of two alike the later wins. A rule that would leave a file unreadable is refused, and so is one that cannot
do what it says (``shift`` on what is no date).
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, Literal

import yaml
from pydicom.datadict import tag_for_keyword

from rtbids import config
from rtbids.deidentify import elements_named, new_values
from rtbids.deidentify.elements_named import Pattern
from rtbids.deidentify.profile import Action, Change, Options
from rtbids.errors import UsageFault

ACTIONS = {
    "keep": Action.KEEP,
    "remove": Action.REMOVE,
    "empty": Action.EMPTY,
    "dummy": Action.DUMMY,
    "uid": Action.UID,
    "shift": Action.SHIFT,
    "clean": Action.CLEAN,
    "patient": Action.PATIENT,
}
_TAKES = {  # the VRs that an action can do something to
    Action.UID: {"UI"},
    Action.SHIFT: {"DA", "DT"},
    Action.CLEAN: {"LO", "SH", "ST", "LT", "UT", "UC"},
    Action.PATIENT: {"LO", "SH", "PN", "ST", "LT", "UT", "UC"},
}
_DESTROYING = (Action.REMOVE, Action.EMPTY, Action.DUMMY, Action.REPLACE, Action.PATIENT, Action.CLEAN)

Condition = tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Turned:
    """What becomes of whole series: left out without a word, or refused and counted."""

    do: Literal["skip", "refuse"]
    where: Condition


@dataclass(frozen=True)
class Recipe:
    """What a recipe file says: options, rules, and series that are not to be taken at all."""

    options: Mapping[str, Any] = field(default_factory=dict)
    changes: tuple[Change, ...] = ()
    turned: tuple[Turned, ...] = ()

    def applied(self, **given: Any) -> Options:
        """Return the options: those `given` (None where not), else the recipe's, else the defaults."""
        return Options(**{**self.options, **{name: value for name, value in given.items() if value is not None}})

    def verdict(self, said: Callable[[str], str]) -> Literal["skip", "refuse"] | None:
        """Tell what becomes of a file whose header gives `said` for a keyword; None: it is de-identified."""
        for turned in self.turned:
            if all(fnmatchcase(said(keyword).casefold(), pattern.casefold()) for keyword, pattern in turned.where):
                return turned.do
        return None

    def keywords(self) -> frozenset[str]:
        """Return what `verdict` needs to know of a file."""
        return frozenset(keyword for turned in self.turned for keyword, _ in turned.where)


@dataclass(frozen=True)
class _Options:
    """The options as a file gives them; None where it says nothing. The names are those of the command line."""

    dates: Literal["shifted", "removed", "kept"] | None = None
    device: bool | None = None
    patient: bool | None = None
    institution: bool | None = None
    uids: bool | None = None
    descriptors: Literal["clean", "removed"] | None = None
    private: bool | None = None
    burned_in: bool | None = None
    faces: bool | None = None
    words: tuple[str, ...] | None = None


@dataclass(frozen=True)
class _Rules:
    elements: dict[str, Any] = field(default_factory=dict)
    vr: dict[str, Any] = field(default_factory=dict)
    private: dict[str, dict[str, Any]] = field(default_factory=dict)


@dataclass(frozen=True)
class _Series(_Rules):
    where: dict[str, Any] = field(default_factory=dict)
    do: Literal["skip", "refuse"] | None = None


@dataclass(frozen=True)
class _File(_Rules):
    options: _Options = field(default_factory=_Options)
    series: tuple[_Series, ...] = ()


class _Fault(Exception):
    """Something is wrong at a key of the file."""

    def __init__(self, key: str, message: str) -> None:
        super().__init__(message)
        self.key = key


def load(path: Path) -> Recipe:
    """Read a recipe.

    Raises
    ------
    InputMissing
        There is no such file.
    UsageFault
        It is malformed; the message names file, line and key.
    """
    return read(config.load(path), path)


def read(mapping: Mapping[str, object], path: Path) -> Recipe:
    """Read a recipe from what a file holds; `path` is for the messages, and to find a key's line."""
    try:
        file = config.read(_File, mapping, str(path))
        return Recipe(_options(file.options), tuple(_all_changes(file)), tuple(_turned(file)))
    except UsageFault as fault:
        message = str(fault).removeprefix(f"{path}: ")
        key = re.search(r"key '([^']+)'", message) or re.match(r"(.+?): expected", message)
        raise UsageFault(f"{_place(path, key[1] if key else '')}: {message}", fault.hint) from None
    except _Fault as fault:
        raise UsageFault(f"{_place(path, fault.key)}: {fault.key}: {fault}") from None


def _options(options: _Options) -> dict[str, Any]:
    said = {one.name: getattr(options, one.name) for one in fields(options)}
    given = {name: value for name, value in said.items() if value is not None}
    return {**given, "words": frozenset(given["words"])} if "words" in given else given


def _all_changes(file: _File) -> Iterator[Change]:
    """Yield the rules in the order in which a later one wins."""
    yield from _changes(file, "", ())
    for number, series in enumerate(file.series):
        key = f"series[{number}]"
        if not series.where:
            raise _Fault(key, "expected where:, such as {SeriesDescription: '*localizer*'}")
        if series.do is None and not (series.elements or series.vr or series.private):
            raise _Fault(key, "expected do: skip, do: refuse, or rules under elements:, vr: or private:")
        for condition in _conditions(series.where, f"{key}.where"):
            yield from _changes(series, f"{key}.", condition)


def _turned(file: _File) -> Iterator[Turned]:
    for number, series in enumerate(file.series):
        if series.do is not None:
            for condition in _conditions(series.where, f"series[{number}].where"):
                yield Turned(series.do, condition)


def _changes(rules: _Rules, prefix: str, series: Condition) -> Iterator[Change]:
    yield from (_change(_vr, text, rule, f"{prefix}vr.{text}", series) for text, rule in rules.vr.items())
    found = [_change(_tag, text, rule, f"{prefix}elements.{text}", series) for text, rule in rules.elements.items()]
    yield from sorted(found, key=lambda change: isinstance(change.tags[0], int))  # a pattern first: what is later wins
    for creator, elements in rules.private.items():
        for text, rule in elements.items():
            yield _private(creator, text, rule, f"{prefix}private.{creator}.{text}", series)


def _change(reader: Callable[[str, str], Pattern], text: str, rule: Any, key: str, series: Condition) -> Change:
    pattern = reader(text, key)
    action, value = _action(rule, key)
    for tag, vr in elements_named.meant(pattern):
        _check_possible(action, tag, vr, pattern, key)
        if value is not None and (reason := new_values.unfit(value, vr)):
            raise _Fault(key, f"{value!r} is no value of {elements_named.named(tag)} ({vr}): {reason}")
    return Change(action, (pattern,), series, value)


def _tag(text: str, key: str) -> Pattern:
    try:
        return elements_named.element(text)
    except ValueError as error:
        raise _Fault(key, str(error)) from None


def _vr(text: str, key: str) -> Pattern:
    try:
        return elements_named.representation(text)
    except ValueError as error:
        raise _Fault(key, str(error)) from None


def _action(rule: Any, key: str) -> tuple[Action, str | None]:
    if isinstance(rule, str) and rule in ACTIONS:
        return ACTIONS[rule], None
    if isinstance(rule, Mapping) and set(rule) == {"replace"} and isinstance(rule["replace"], str | int | float):
        if not isinstance(rule["replace"], bool):
            return Action.REPLACE, str(rule["replace"])
        raise _Fault(key, f"replace: found {str(rule['replace']).lower()}; put a value such as YES or NO in quotes")
    raise _Fault(key, f"expected {', '.join(ACTIONS)}, or {{replace: TEXT}}, found {_shown(rule)}")


def _shown(rule: Any) -> str:
    return repr(rule) if isinstance(rule, str | int | float) else "nothing" if rule is None else "something else"


def _check_possible(action: Action, tag: int, vr: str, pattern: Pattern, key: str) -> None:
    """Refuse what would break a file, or cannot be done to such an element."""
    name = elements_named.named(tag)
    also = "" if isinstance(pattern, int) else f", which {elements_named.named(pattern)} means too"
    if tag in elements_named.IDENTITY and action in _DESTROYING:
        raise _Fault(key, f"an image without its {name}{also} cannot be sent or sorted; uid gives it a new one")
    if tag in elements_named.IDENTITY and action is Action.KEEP:
        raise _Fault(key, f"{name}{also} is kept with all other UIDs or not at all: options: {{uids: true}}")
    if tag in elements_named.NEEDED and action is not Action.KEEP:
        uids = "; the profile gives UIDs new values" if vr == "UI" else ""
        raise _Fault(key, f"an image cannot be read or placed without its {name}{also}{uids}")
    if tag >> 16 == 0x0002 and action is not Action.KEEP:
        raise _Fault(key, "the file's own head is written anew in any case")
    if action in _TAKES and not _TAKES[action] & set(vr.split(" or ")):
        takes = ", ".join(sorted(_TAKES[action]))
        raise _Fault(key, f"{action.name.lower()} is for elements of VR {takes}, and {name}{also} is {vr}")


def _private(creator: str, text: str, rule: Any, key: str, series: Condition) -> Change:
    action, value = _action(rule, key)
    if action not in (Action.KEEP, Action.REMOVE, Action.EMPTY):
        raise _Fault(key, "a private element can be kept, removed or emptied: what it holds is its maker's own")
    match = re.fullmatch(r"\(?([0-9A-Fa-f]{3}[13579BDFbdf]),?\s?(?:xx)?([0-9A-Fa-f]{2}|xx)\)?", text)
    if not match:
        raise _Fault(key, "expected group and last two digits such as (0019,xx0A), or (0019,xxxx) for all of a group")
    return Change(action, (f"{match[1]}xx{match[2]}".lower(),), series, value, creator.strip())


def _conditions(where: Mapping[str, Any], key: str) -> Iterator[Condition]:
    """Yield the conditions that `where` means: one for each way to choose from its lists."""
    choices: list[list[tuple[str, str]]] = []
    for keyword, patterns in where.items():
        if tag_for_keyword(keyword) is None:
            raise _Fault(f"{key}.{keyword}", "expected the keyword of an element, such as SeriesDescription")
        listed: Sequence[Any] = patterns if isinstance(patterns, list) else [patterns]
        if not listed or not all(isinstance(one, str | int) and not isinstance(one, bool) for one in listed):
            raise _Fault(f"{key}.{keyword}", "expected a pattern such as '*bold*', a number, or a list of these")
        choices.append([(keyword, str(one)) for one in listed])
    yield from itertools.product(*choices)


def _place(path: Path, key: str) -> str:
    line = _line(path, key)
    return f"{path}, line {line}" if line else str(path)


def _line(path: Path, key: str) -> int | None:
    """Return the line of a key such as ``series[1].where.Modality`` in a YAML file, or of the nearest key around it."""
    try:
        node = yaml.compose(path.read_text(encoding="utf-8"), yaml.SafeLoader) if path.suffix != ".toml" else None
    except (OSError, ValueError, yaml.YAMLError):
        return None
    line, rest = None, key
    while rest and node is not None:
        line_here, node, rest = _step(node, rest)
        line = line_here or line
    return line


def _step(node: yaml.Node, key: str) -> tuple[int | None, yaml.Node | None, str]:
    """Go one key down: its line, what it holds, and what is left of the key; keys may hold points themselves."""
    if isinstance(node, yaml.SequenceNode) and (match := re.match(r"\[(\d+)\]\.?", key)):
        item = node.value[int(match[1])] if int(match[1]) < len(node.value) else None
        return (item.start_mark.line + 1 if item else None), item, key[match.end() :]
    if isinstance(node, yaml.MappingNode):
        for name, held in node.value:
            if key.startswith(str(name.value)) and key[len(name.value) : len(name.value) + 1] in ("", ".", "["):
                return name.start_mark.line + 1, held, key[len(name.value) :].removeprefix(".")
    return None, None, ""
