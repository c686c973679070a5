"""Filters of a `deid` recipe: those that put images on a blacklist by their header become series that are refused."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from pydicom.datadict import tag_for_keyword

Line = tuple[int, str, str]  # number, name of the filter (whitelist, blacklist ...), text

_COORDINATES = ("coordinates", "keepcoordinates", "ctpcoordinates", "ctpkeepcoordinates")
_PLAIN = re.compile(r"[\w .,-]+")


@dataclass
class Label:
    """What became of one LABEL: conditions under which series are refused, or why it has no counterpart."""

    series: list[dict[str, Any]] = field(default_factory=list)
    untranslated: list[Line] = field(default_factory=list)  # number, text, why


class _Unclear(Exception):
    pass


def labels(lines: Sequence[Line]) -> Iterator[Label]:
    """Yield what becomes of each label of the filters."""
    for title, members in _grouped(lines):
        yield _label(title, members)


def _grouped(lines: Sequence[Line]) -> Iterator[tuple[Line, list[Line]]]:
    group: list[Line] = []
    for line in lines:
        starts = line[2].upper().startswith("LABEL")
        if group and (starts or line[1] != group[0][1]):
            yield group[0], group[1:]
            group = []
        group.append(line)
    if group:
        yield group[0], group[1:]


def _label(title: Line, members: Sequence[Line]) -> Label:
    number, kind, text = title
    label = Label()
    coordinates = [
        (at, said, "pixels are not painted over; such images are refused") for at, _, said in members if _paints(said)
    ]
    if coordinates:
        label.untranslated += coordinates
    elif kind.lower() != "blacklist":
        why = f"a {kind or 'filter'} lets images pass; here burned-in text is refused by the header unless --burned-in"
        label.untranslated.append((number, text, why))
    else:
        try:
            alternatives = _alternatives(members)
            label.series = [{"where": where, "do": "refuse"} for where in alternatives]
        except _Unclear as unclear:
            label.untranslated.append((number, text, str(unclear)))
    return label


def _paints(text: str) -> bool:
    return text.lower().startswith(_COORDINATES)


def _alternatives(members: Sequence[Line]) -> list[dict[str, Any]]:
    """Return conditions, one of which must hold: read from left to right, as deid does."""
    alternatives: list[dict[str, Any]] = []
    for _, _, text in members:
        for operator, criterion in _criteria(text):
            keyword, patterns = _condition(criterion)
            if operator == "+" and alternatives:
                if len(alternatives) > 1:
                    raise _Unclear("'or' followed by 'and': write it as series of a recipe of ours")
                if keyword in alternatives[0]:
                    raise _Unclear(f"two conditions on {keyword}")
                alternatives[0][keyword] = patterns
            else:
                alternatives.append({keyword: patterns})
    if not alternatives:
        raise _Unclear("no condition")
    return alternatives


def _criteria(text: str) -> Iterator[tuple[str, str]]:
    """Yield operator and criterion of a line, which may hold several."""
    text = text.split("#", maxsplit=1)[0]
    parts = re.split(r"(\|\||\+)\s*(?=(?:contains|notcontains|equals|notequals|missing|present|empty)\b)", text)
    if parts[0].strip():
        yield "||", parts[0].strip()
    for operator, criterion in zip(parts[1::2], parts[2::2], strict=True):
        yield operator, criterion.strip()


def _condition(criterion: str) -> tuple[str, list[str]]:
    kind, *rest = criterion.split(None, 2)
    if kind.lower() not in ("contains", "equals") or len(rest) < 2:
        raise _Unclear(f"{kind} cannot be said of a series here")
    keyword, values = rest[0], rest[1].strip().split("|")
    if tag_for_keyword(keyword) is None:
        raise _Unclear(f"no element has the keyword {keyword!r}")
    if not all(map(_PLAIN.fullmatch, values)):
        raise _Unclear("a regular expression beyond plain alternatives")
    return keyword, [f"*{value.strip()}*" if kind.lower() == "contains" else value.strip() for value in values]
