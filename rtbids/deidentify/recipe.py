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

from pydicom.datadict import tag_for_keyword

from rtbids import config
from rtbids.deidentify.profile import Change, Options
from rtbids.deidentify.recipe_lines import place
from rtbids.deidentify.recipe_rules import Condition, Fault, of_element, of_private, of_representation
from rtbids.errors import UsageFault


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
        raise UsageFault(f"{place(path, key[1] if key else '')}: {message}", fault.hint) from None
    except Fault as fault:
        raise UsageFault(f"{place(path, fault.key)}: {fault.key}: {fault}") from None


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
            raise Fault(key, "expected where:, such as {SeriesDescription: '*localizer*'}")
        if series.do is None and not (series.elements or series.vr or series.private):
            raise Fault(key, "expected do: skip, do: refuse, or rules under elements:, vr: or private:")
        for condition in _conditions(series.where, f"{key}.where"):
            yield from _changes(series, f"{key}.", condition)


def _turned(file: _File) -> Iterator[Turned]:
    for number, series in enumerate(file.series):
        if series.do is not None:
            for condition in _conditions(series.where, f"series[{number}].where"):
                yield Turned(series.do, condition)


def _changes(rules: _Rules, prefix: str, series: Condition) -> Iterator[Change]:
    yield from (of_representation(text, rule, f"{prefix}vr.{text}", series) for text, rule in rules.vr.items())
    found = [of_element(text, rule, f"{prefix}elements.{text}", series) for text, rule in rules.elements.items()]
    yield from sorted(found, key=lambda change: isinstance(change.tags[0], int))  # a pattern first: what is later wins
    for creator, elements in rules.private.items():
        for text, rule in elements.items():
            yield of_private(creator, text, rule, f"{prefix}private.{creator}.{text}", series)


def _conditions(where: Mapping[str, Any], key: str) -> Iterator[Condition]:
    """Yield the conditions that `where` means: one for each way to choose from its lists."""
    choices: list[list[tuple[str, str]]] = []
    for keyword, patterns in where.items():
        if tag_for_keyword(keyword) is None:
            raise Fault(f"{key}.{keyword}", "expected the keyword of an element, such as SeriesDescription")
        listed: Sequence[Any] = patterns if isinstance(patterns, list) else [patterns]
        if not listed or not all(isinstance(one, str | int) and not isinstance(one, bool) for one in listed):
            raise Fault(f"{key}.{keyword}", "expected a pattern such as '*bold*', a number, or a list of these")
        choices.append([(keyword, str(one)) for one in listed])
    yield from itertools.product(*choices)
