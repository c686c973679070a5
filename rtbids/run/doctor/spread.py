"""How long something took, over and over; and amounts in words."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median


@dataclass(frozen=True)
class Spread:
    """Seconds."""

    median: float
    p99: float
    worst: float
    count: int


def spread(seconds: Sequence[float]) -> Spread:
    """Return the spread of at least one time; the 99th percentile is by the nearest rank, of few times the worst."""
    ordered = sorted(seconds)
    return Spread(median(ordered), ordered[math.ceil(0.99 * len(ordered)) - 1], ordered[-1], len(ordered))


def span(seconds: float) -> str:
    """Return ``0.3 ms``, ``12 ms`` or ``1.2 s``."""
    if seconds < 0.00995:
        return f"{1000 * seconds:.1f} ms"
    return f"{1000 * seconds:.0f} ms" if seconds < 0.9995 else f"{seconds:.1f} s"


def amount(count: float) -> str:
    """Return ``295 kB``, ``1.5 GB``."""
    for unit in ("B", "kB", "MB", "GB"):
        if count < 999.5:
            return f"{count:.3g} {unit}"
        count /= 1000
    return f"{count:.3g} TB"
