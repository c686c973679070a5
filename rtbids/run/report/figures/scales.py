"""The range that an axis shows, its round numbers, and numbers as a report writes them."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True)
class Scale:
    """The range that an axis shows."""

    low: float
    high: float

    def fraction(self, value: float) -> float:
        """Return where `value` lies: 0 at the low end, 1 at the high end."""
        return min(1.0, max(0.0, (value - self.low) / (self.high - self.low)))

    def ticks(self, about: int = 4) -> list[float]:
        return ticks(self.low, self.high, about)


def scale(values: Iterable[float], margin: float = 0.08) -> Scale:
    """Return a range that holds every finite value with some `margin`; 0 to 1 where there is none."""
    finite = [value for value in values if math.isfinite(value)]
    if not finite:
        return Scale(0.0, 1.0)
    low, high = min(finite), max(finite)
    if high - low <= 1e-9 * max(abs(low), abs(high)):
        reach = abs(low) / 2 or 1.0
        return Scale(low - reach, high + reach)
    room = (high - low) * margin
    return Scale(low - room, high + room)


def ticks(low: float, high: float, about: int = 4) -> list[float]:
    """Return round numbers (1, 2 or 5 times a power of ten apart) from `low` to `high`."""
    rough = (high - low) / max(about, 1)
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(m * power for m in (1, 2, 5, 10) if m * power >= rough * 0.7)
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [round(index * step, 12) for index in range(first, last + 1)]


def number(value: float) -> str:
    """Return four significant digits without a superfluous zero, a true minus sign, and ``n/a`` for NaN."""
    if not math.isfinite(value):
        return "n/a"
    return f"{value:.4g}".replace("-", "−")


def clock(seconds: float) -> str:
    """Return minutes and seconds as ``m:ss``."""
    whole = round(seconds)
    return f"{whole // 60}:{whole % 60:02d}"
