"""When to try again."""

from __future__ import annotations

import random

FIRST = 1.0  # seconds
LONGEST = 300.0
_CHANCE = random.Random()


def delay(failures: int, chance: random.Random = _CHANCE) -> float:
    """Return seconds until the next try after `failures` in a row: doubled each time, and drawn from its upper half.

    The draw keeps many workers, or many sites, from coming back at the same moment.
    """
    longest = min(LONGEST, FIRST * 2.0 ** (min(failures, 30) - 1))
    return max(FIRST, longest * chance.uniform(0.5, 1.0))


def exhausted(failures: int, first: float, now: float, attempts: int, age: float) -> bool:
    """Say whether to give up: enough tries, over a time that is long enough."""
    return failures >= attempts and now - first >= age
