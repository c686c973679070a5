"""When to dial again."""

from __future__ import annotations

import random

FIRST = 0.1  # seconds
LONGEST = 5.0
_CHANCE = random.Random()


def delay(failures: int, chance: random.Random = _CHANCE) -> float:
    """Return seconds until the next try after `failures` in a row: doubled each time, and drawn from its upper half."""
    return min(LONGEST, FIRST * 2.0 ** (min(failures, 30) - 1)) * chance.uniform(0.5, 1.0)
