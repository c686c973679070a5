"""The times of a stream on this machine's clock, whatever the sender's says.

Between two commands on one machine the sender's times are the truest: they count what a full pipe held up. From another machine
they are on another clock. What tells is the volume that was under way for the shortest time: on one clock that is between
nothing and `ON_ONE_CLOCK`; what goes beyond it is the distance of the clocks, and is taken off.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from dataclasses import replace

from rtbids.clock import Clock
from rtbids.volume import Item, Volume

ON_ONE_CLOCK = (-0.002, 0.1)  # seconds from the sender's ``received`` to ours
SURE = 10  # volumes after which the distance is said: at first they may have waited for the script to be loaded
logger = logging.getLogger("rtbids")


def on_our_clock(items: Iterable[Item], clock: Clock) -> Iterator[Item]:
    """Carry the times of live volumes over to `clock`, where the sender's is another; say so once."""
    least, count = float("inf"), 0
    for item in items:
        if isinstance(item, Volume):
            least = min(least, clock.now() - item.times["received"]) if "received" in item.times else least
            count += 1
            if count == SURE and not _is_one(least):
                logger.warning("the sender's clock is %s this machine's: times are carried over", _distance(least))
            item = _carried(item, least, clock)
        yield item


def _is_one(least: float) -> bool:
    low, high = ON_ONE_CLOCK
    return low <= least <= high


def _carried(volume: Volume, least: float, clock: Clock) -> Volume:
    if "received" not in volume.times:
        return replace(volume, times={**volume.times, "received": clock.now()})
    if _is_one(least):
        return volume
    return replace(volume, times={stage: moment + least for stage, moment in volume.times.items()})


def _distance(least: float) -> str:
    return f"{abs(least):.1f} s {'behind' if least > 0 else 'ahead of'}"
