"""A baseline that means nothing: said when somebody first asks for it, for most scripts never do."""

from __future__ import annotations

import logging
import math

import numpy as np

from rtbids.bids.events import REST, Events, EventsSoFar

MOST = 100_000  # volumes that are looked at
logger = logging.getLogger("rtbids")


def asked_for(events: Events, condition: str, repetition_time: float) -> None:
    """Warn once a run where the volumes of `condition`, by the events that are known, are all or none.

    Where events are expected nothing is said: they will come.
    """
    if condition in events.asked or (isinstance(events, EventsSoFar) and events.expected):
        return
    events.asked.add(condition)
    if text := _remark(events, condition, repetition_time):
        logger.warning("%s", text)


def _remark(events: Events, condition: str, repetition_time: float) -> str | None:
    is_rest = condition == REST and REST not in events.conditions
    if not events.rows:
        everything = "every volume counts as rest, the baseline: give the events with --events, or events: in the config"
        return f"no event is known, so that {everything}" if is_rest else None
    end = max(event.end for event in events.rows)
    last = end / repetition_time
    count = max(0, min(MOST, math.ceil(last - 1e-6) if is_rest else math.floor(last) + 1))
    starts = np.arange(count) * np.float64(repetition_time)
    if events.covers(condition, starts, repetition_time).any():
        return None
    if not is_rest:
        return f"no volume is {condition!r}, the baseline: its events lie before the run, and there will be no value"
    if not count:
        return f"all events lie before the run, the last ends at {end:g} s: every volume counts as rest, the baseline"
    return f"no volume before volume {count} is rest, the baseline: the last event is over at {end:g} s, no value comes earlier"
