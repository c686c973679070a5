"""Several experiments on one command line: their names, and what is meant for which."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any

from rtbids.errors import UsageFault
from rtbids.run.recipe import recipe
from rtbids.run.recipe.recipe import Config, Recipe

_NAMED = re.compile(r"(?P<name>[\w-]+)=(?P<rest>.*)", re.DOTALL)
_CONFIG_KEYS = frozenset(each.name for each in fields(Config))


@dataclass(frozen=True)
class Wishes:
    """What the command line says of experiments; each text may begin with the name of the one it is meant for.

    Attributes
    ----------
    assignments
        ``[NAME.]key=value``, by default for the first experiment.
    overrides
        Config key → values with the name of the experiment each is for, None for all.
    """

    assignments: Sequence[str] = ()
    overrides: Mapping[str, Sequence[tuple[str | None, Any]]] = field(default_factory=dict)


def read(experiments: Sequence[str], wishes: Wishes, taken: Sequence[str] = ()) -> list[Recipe]:
    """Find and configure `experiments`; one whose name is taken gets the next of NAME-2, NAME-3, ..."""
    names = distinct([recipe.name_of(experiment) for experiment in experiments], taken)
    own = _assignments(wishes.assignments, names)
    found = []
    for name, experiment in zip(names, experiments, strict=True):
        read_one = recipe.read(experiment, own[name])
        found.append(replace(read_one, name=name, config=replace(read_one.config, **_overrides(name, wishes, names))))
    return found


def distinct(names: Iterable[str], taken: Iterable[str] = ()) -> list[str]:
    """Number the names that come again."""
    found: list[str] = []
    used = set(taken)
    for name in names:
        numbered = (f"{name}-{number}" for number in range(2, 1000))
        found.append(name if name not in used else next(one for one in numbered if one not in used))
        used.add(found[-1])
    return found


def addressed(text: str, names: Sequence[str], option: str) -> tuple[str | None, str]:
    """Split ``NAME=REST``; without a name it is meant for all."""
    match = _NAMED.fullmatch(text)
    if match is None:
        return None, text
    return _known(match["name"], names, option), match["rest"]


def _known(name: str, names: Sequence[str], option: str) -> str:
    if name not in names:
        near = difflib.get_close_matches(name, names, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"there are: {', '.join(names)}"
        raise UsageFault(f"{option} {name}=…: no experiment has this name", f"{hint} (a path with a = in it: ./{name}=…)")
    return name


def _assignments(assignments: Sequence[str], names: Sequence[str]) -> Mapping[str, list[str]]:
    own: dict[str, list[str]] = {name: [] for name in names}
    for assignment in assignments:
        name, dot, rest = assignment.partition("=")[0].partition(".")
        if dot and rest and name in own and name not in _CONFIG_KEYS:
            own[name].append(assignment[len(name) + 1 :])
        else:
            own[names[0]].append(assignment)
    return own


def _overrides(name: str, wishes: Wishes, names: Sequence[str]) -> Mapping[str, Any]:
    found = {}
    for key, values in wishes.overrides.items():
        for meant, value in values:
            if meant is None or _known(meant, names, f"--{key}") == name:
                found[key] = value
    return found
