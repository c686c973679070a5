"""How long a link waits for what, and what the other side may claim."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass

from rtbids.stream import wire
from rtbids.stream.link import probe

FIRST, LONGEST = 0.1, 5.0  # seconds until a connection is dialled again
_CHANCE = random.Random()


def delay(failures: int, chance: random.Random = _CHANCE) -> float:
    """Return seconds until the next try after `failures` in a row: doubled each time, and drawn from its upper half."""
    return min(LONGEST, FIRST * 2.0 ** (min(failures, 30) - 1)) * chance.uniform(0.5, 1.0)


@dataclass(frozen=True)
class Terms:
    """Seconds and bytes. The far side is patient: a connection that the near side gave up is replaced when that dials again."""

    silence: float = 3.0  # after which a connection without a byte is taken for dead
    patience: float = 30.0  # for the answer to the hello: the far side may have to start first
    beat: float = 1.0
    probes: int = probe.BLOCKS  # measurements of the throughput when a connection begins; 0: none, and nothing is compressed
    inbox: int = 64 << 20  # of members that wait for the application; at least one may
    most: int = 1024  # members that wait for the application
    largest: int = wire.LARGEST_MEMBER
    delay: Callable[[int], float] = delay  # by the count of failures in a row


NEAR = Terms()
FAR = Terms(silence=30.0)
