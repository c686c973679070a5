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
WAITED_FOR = 0.05  # seconds; a volume that came sooner may have waited for us in the pipe, and tells little of clocks
SURE = 3  # volumes that were waited for, after which the distance is said
logger = logging.getLogger("rtbids")


def on_our_clock(items: Iterable[Item], clock: Clock) -> Iterator[Item]:
    """Carry the times of live volumes over to `clock`, where the sender's is another; say so once."""
    least, count, asked = float("inf"), 0, clock.now()
    for item in items:
        now = clock.now()
        if isinstance(item, Volume):
            least = min(least, now - item.times.get("received", now))
            count += now - asked >= WAITED_FOR
            if count == SURE and not _is_one(least):
                logger.warning("the sender's clock is %s this machine's: times are carried over", _distance(least))
                count += 1
            item = _carried(item, least, now)
        yield item
        asked = clock.now()


def _is_one(least: float) -> bool:
    low, high = ON_ONE_CLOCK
    return low <= least <= high


def _carried(volume: Volume, least: float, now: float) -> Volume:
    if "received" not in volume.times:
        return replace(volume, times={**volume.times, "received": now})
    if _is_one(least):
        return volume
    return replace(volume, times={stage: moment + least for stage, moment in volume.times.items()})


def _distance(least: float) -> str:
    return f"{abs(least):.1f} s {'behind' if least > 0 else 'ahead of'}"
