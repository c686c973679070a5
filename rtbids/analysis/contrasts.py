"""Contrasts by the names of conditions: ``faces - scenes``, ``regulate > rest``, or weights."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence

from rtbids.analysis.design import nearest
from rtbids.bids.events import REST
from rtbids.errors import BadData, UsageFault

ALL = "all"
_NUMBER = re.compile(r"(\d+(?:\.\d+)?)\s*\*?")
_WORD = re.compile(r"[^\s+*>-]+")
_APART = re.compile(r"\s+|>>+")  # what no name of a single word holds


def weights(contrast: str | Mapping[str, float], columns: Sequence[str], conditions: Sequence[str]) -> dict[str, float]:
    """Return the weight of each column in a contrast; columns of weight 0 are left out.

    Parameters
    ----------
    contrast
        Names and weights, or text. In text, names are joined by ``+`` and ``-``, each with a number before it where wanted
        (``2 face - house``, ``0.5*face``). With ``>``, both sides are means: ``face > scene + house`` is face against the mean
        of the two. ``rest``, where no column has that name, is what every condition is measured against: 0. ``all`` is the
        mean of the conditions.
    columns
        Those of the design; names may hold spaces and signs.
    conditions
        Those among them that ``all`` means.

    Raises
    ------
    BadData
        Naming what is no condition and the nearest name, or where nothing is left to compare.
    UsageFault
        Where the text is none.

    Examples
    --------
    >>> weights("face > scene + house", ["face", "scene", "house"], ["face", "scene", "house"])
    {'face': 1.0, 'scene': -0.5, 'house': -0.5}
    """
    terms = _parsed(contrast, columns) if isinstance(contrast, str) else [(name, float(w)) for name, w in contrast.items()]
    total: dict[str, float] = {}
    for name, weight in terms:
        meant = _columns(name, columns, conditions)
        for column in meant:
            total[column] = total.get(column, 0.0) + weight / len(meant)
    kept = {column: weight for column, weight in total.items() if weight}
    if not kept:
        raise BadData(f"the contrast {contrast!r} compares nothing: every weight is 0")
    return kept


def check(text: str, names: Sequence[str] = ()) -> None:
    """Raise UsageFault where `text` is no contrast, whatever the conditions are called; `names` are some that are known.

    A name may hold signs, as in ``CS+ > CS-``: each word may be one.
    """
    words = [word for word in _APART.split(text) if word and not _NUMBER.fullmatch(word)]
    try:
        _parsed(text, names)
    except UsageFault as fault:
        try:
            _parsed(text, [*names, *words])
        except UsageFault:
            raise fault from None


def _columns(name: str, columns: Sequence[str], conditions: Sequence[str]) -> Sequence[str]:
    if name in columns:
        return (name,)
    if name == ALL and conditions:
        return conditions
    if name == REST:
        return ()
    near, there = nearest(name, columns), ", ".join(conditions) or "none"
    raise BadData(f"a contrast names {name!r}, which is no condition; {near}there are: {there}")


def _parsed(text: str, columns: Sequence[str]) -> list[tuple[str, float]]:
    sides: list[list[tuple[str, float]]] = [[]]
    for name, weight in _terms(text, columns):
        if name == ">":
            sides.append([])
        else:
            sides[-1].append((name, weight))
    if len(sides) > 2 or not all(sides):
        raise UsageFault(f"a contrast is like 'face > house' or 'face - house', found {text!r}")
    if len(sides) == 1:
        return sides[0]
    return [*_mean(sides[0], 1.0, text), *_mean(sides[1], -1.0, text)]


def _mean(side: list[tuple[str, float]], sign: float, text: str) -> list[tuple[str, float]]:
    total = sum(weight for _, weight in side)
    if total <= 0:
        raise UsageFault(f"a side of '>' is a mean of conditions, found {text!r}")
    return [(name, sign * weight / total) for name, weight in side]


def _terms(text: str, columns: Sequence[str]) -> Iterator[tuple[str, float]]:
    """Yield names with their weights, and ``>``."""
    names = sorted([*columns, ALL, REST], key=len, reverse=True)  # "left-hand" before "left"
    place, weight, signed = 0, 1.0, True  # a name needs a sign before it, but for the first of a side
    while place < len(text):
        rest = text[place:]
        if rest[0].isspace():
            place += 1
        elif rest[0] in "+->":
            if signed and text[:place].rstrip().endswith(("+", "-")):
                raise UsageFault(f"expected a name before {rest[0]!r} in the contrast {text!r}")
            if rest[0] == ">":
                yield ">", 0.0
            weight, signed, place = (-1.0 if rest[0] == "-" else 1.0), True, place + 1
        elif name := next((name for name in names if _begins(rest, name)), None):
            if not signed:
                raise UsageFault(f"expected + or - or > before {name!r} in the contrast {text!r}")
            yield name, weight
            signed, place = False, place + len(name)
        elif signed and (number := _NUMBER.match(rest)):
            weight, place = weight * float(number[1]), place + number.end()
        else:
            word = _WORD.match(rest)
            yield word[0] if word else rest, weight
            signed, place = False, place + len(word[0] if word else rest)
    if signed:
        raise UsageFault(f"the contrast {text!r} ends before a name")


def _begins(text: str, name: str) -> bool:
    """Whether `text` begins with `name` as a word of its own."""
    return bool(name) and text.startswith(name) and not re.match(r"\w", text[len(name) :])
