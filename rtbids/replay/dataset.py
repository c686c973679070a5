"""Past runs of a BIDS data set as if they were measured now."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import chain
from pathlib import Path

from rtbids.clock import CLOCK, Clock
from rtbids.convert import bids
from rtbids.replay.pacing import paced
from rtbids.volume import Item
from rtbids.wakeup import Wakeup


def items(
    source: Path,
    filters: Mapping[str, str] | None = None,
    speed: float | None = 1.0,
    clock: Clock = CLOCK,
    stop: Wakeup | None = None,
) -> Iterator[Item]:
    """Give the runs of `source` one after the other, each volume at its time; `speed` 2 is twice as fast, None flat out."""
    runs = bids.runs_of(source, filters)
    return paced(chain.from_iterable(bids.items(run, clock=clock) for run in runs), speed, clock, stop)
