"""The feedback table as curves and counts."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from rtbids.run.report.findings import Answer, Value
from rtbids.run.report.measures import Floats


@dataclass(frozen=True)
class Curve:
    """One number of the feedback along the run.

    `given` is what went out by volume (ok and alternate), `ok` the part of it that the experiment answered in time;
    `alternates` and `late` are (volume, value) with NaN for no value.
    """

    name: str
    given: Floats
    ok: Floats
    alternates: tuple[tuple[int, float], ...]
    late: tuple[tuple[int, float], ...]


@dataclass(frozen=True)
class Tally:
    """How many lines there are of each status; `reasons` counts those of the alternates."""

    ok: int
    alternate: int
    late: int
    reasons: Mapping[str, int]

    @property
    def given(self) -> int:
        return self.ok + self.alternate


def tally(answers: Iterable[Answer]) -> Tally:
    answers = list(answers)
    status = Counter(answer.status for answer in answers)
    reasons = Counter(answer.reason or "unknown" for answer in answers if answer.status == "alternate")
    return Tally(status["ok"], status["alternate"], status["late"], dict(reasons.most_common()))


def why(reasons: Mapping[str, int]) -> str:
    """Return ``2 deadline, 1 error``."""
    return ", ".join(f"{count} {reason}" for reason, count in reasons.items())


def curves(answers: Sequence[Answer], length: int) -> list[Curve]:
    """Return one curve for plain numbers and one for each key of an object that holds numbers."""
    keys: dict[str, None] = {}
    for answer in answers:
        if isinstance(answer.value, Mapping):
            keys.update({key: None for key in answer.value if not math.isnan(_part(answer.value, key))})
        elif answer.value is not None:
            keys[""] = None
    return [_curve(key, answers, length) for key in keys]


def _curve(key: str, answers: Sequence[Answer], length: int) -> Curve:
    given, ok = np.full(length, np.nan), np.full(length, np.nan)
    for answer in answers:
        value = _part(answer.value, key)
        if answer.status != "late":
            given[answer.volume] = value
        if answer.status == "ok":
            ok[answer.volume] = value
    points = {
        status: tuple((answer.volume, _part(answer.value, key)) for answer in answers if answer.status == status)
        for status in ("alternate", "late")
    }
    return Curve(key or "feedback", given, ok, points["alternate"], points["late"])


def _part(value: Value, key: str) -> float:
    """Return the number that stands under `key`, or the value itself for the empty key; NaN where it is none."""
    part = value.get(key) if isinstance(value, Mapping) else value if key == "" else None
    if isinstance(part, bool) or not isinstance(part, int | float):
        return math.nan
    return float(part) if abs(part) < 1e300 else math.nan
