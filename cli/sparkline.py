"""Numbers as a row of bars, one a number, between limits that are round and so change seldom."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

BARS = "▁▂▃▄▅▆▇█"
NONE = "·"  # a line without a number
GAP = " "  # what never came
_STEPS = (1.0, 2.0, 5.0, 10.0)
_PARTS = 5  # of a scale, at most


@dataclass(frozen=True)
class Scale:
    """From the lowest bar to the highest; what lies beyond is drawn as the lowest or the highest.

    Examples
    --------
    >>> "".join(map(Scale(0, 7).bar, range(9)))
    '▁▂▃▄▅▆▇██'
    """

    low: float
    high: float

    def bar(self, number: float) -> str:
        place = round((number - self.low) / (self.high - self.low) * (len(BARS) - 1))
        return BARS[min(max(place, 0), len(BARS) - 1)]

    def __str__(self) -> str:
        return f"{_short(self.low)} to {_short(self.high)}"


def scale(numbers: Iterable[float | None], within: Sequence[float] = ()) -> Scale | None:
    """Return round limits that hold all numbers, and those of `within` too; None where there is no number.

    Where all are the same, they stand in the middle.

    Examples
    --------
    >>> str(scale([-1.3, None, 3.2])), str(scale([0.03, 0.11], within=(0.0, 0.5))), str(scale([7.0]))
    ('-2 to 4', '0 to 0.5', '2 to 12')
    """
    present = [number for number in (*numbers, *within) if number is not None and math.isfinite(number)]
    if not present:
        return None
    low, high = min(present), max(present)
    if not high - low > 1e-9 * max(abs(low), abs(high)):
        around = abs(low) / 2 or 1.0
        low, high = low - around, high + around
    step = _step(high - low)
    return Scale(math.floor(low / step + 1e-9) * step, math.ceil(high / step - 1e-9) * step)


def letters(names: Iterable[str]) -> dict[str, str]:
    """Return a letter for each name: its first that no name before it in the alphabet has, else a number.

    Examples
    --------
    >>> letters(["rest", "task", "tap", "rest"])
    {'rest': 'r', 'tap': 't', 'task': 'a'}
    """
    found: dict[str, str] = {}
    for name in sorted(set(names)):
        own = [letter for letter in name.lower() if letter.isascii() and letter.isalnum()]
        found[name] = next((each for each in (*own, *"123456789") if each not in found.values()), "+")
    return found


def _step(span: float) -> float:
    """Return the finest of 1, 2, 5, 10, ... that divides a span into a few parts."""
    unit = 10.0 ** math.floor(math.log10(span / _PARTS))
    return next(step * unit for step in _STEPS if span / (step * unit) <= _PARTS + 1e-9)


def _short(number: float) -> str:
    return f"{round(number, 12) + 0.0:.4g}"
