"""The numbers of a report: latencies by stage, how values differ between conditions, how they follow a known truth."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from rtbids.analysis import signals
from rtbids.bids.events import REST, Events
from rtbids.run.record.record import STAGES

WAITED = "no answer: waited for the deadline"
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Summary:
    """Of `count` finite numbers: median, 95th and 99th percentile (linear interpolation) and the largest."""

    count: int
    median: float
    p95: float
    p99: float
    worst: float


def summary(values: Floats) -> Summary:
    """Summarise what is finite; without any, every figure is NaN."""
    finite = values[np.isfinite(values)]
    if not finite.size:
        return Summary(0, np.nan, np.nan, np.nan, np.nan)
    median, p95, p99 = np.percentile(finite, [50, 95, 99])
    return Summary(finite.size, float(median), float(p95), float(p99), float(finite.max()))


def span(times: Mapping[str, Floats], start: str, stop: str) -> Floats:
    """Return the seconds from one stage to another, NaN where either is unknown."""
    return times[stop] - times[start]


def stages(times: Mapping[str, Floats]) -> dict[str, Floats]:
    """Return the seconds that each volume spent in each stage between ``received`` and ``sent``, in order.

    A stage that no volume has a time of is left out, so that its neighbours meet. Where one volume lacks the time of a
    stage that others have, or its answer came after its alternate had left, what no stage accounts for is `WAITED`.
    """
    sent = times["sent"]
    in_time = {name: np.where(times[name] > sent, np.nan, times[name]) for name in STAGES[1:]}
    known = [name for name in STAGES[1:] if np.isfinite(times[name]).any()]
    spent = {f"{start} → {stop}": span(in_time, start, stop) for start, stop in pairwise(known)}
    if not spent:
        return {}
    waited = span(times, "received", "sent") - np.nansum(list(spent.values()), axis=0)
    if (waited > 1e-6).any():
        spent[WAITED] = np.where(waited > 1e-6, waited, np.nan)
    return spent


def correlation(one: Floats, other: Floats) -> tuple[float, int]:
    """Return Pearson's r over the places where both are finite, and their number; NaN where r is not defined."""
    r = signals.correlation(one, other)
    return float("nan") if r is None else r, int(np.count_nonzero(np.isfinite(one) & np.isfinite(other)))


def fitted(truth: Floats, values: Floats) -> Floats | None:
    """Return `truth` on the scale of `values` by least squares, or None where the two share a scale already.

    They share one where each range is at most five times the other and the two overlap.
    """
    both = np.isfinite(truth) & np.isfinite(values)
    x, y = truth[both], values[both]
    if len(x) < 3 or np.ptp(x) == 0 or np.ptp(y) == 0:
        return None
    if 0.2 <= np.ptp(x) / np.ptp(y) <= 5 and x.min() <= y.max() and y.min() <= x.max():
        return None
    slope, start = np.polyfit(x, y, 1)
    return np.asarray(start + slope * truth)


def by_condition(values: Floats, events: Events, repetition_time: float) -> dict[str, Floats]:
    """Return the finite values of each condition: of the volumes during whose TR there was an event of it, be it in part.

    ``rest``, where no event has that name, is every volume during which there was none.
    """
    found: dict[str, list[float]] = {name: [] for name in (*events.conditions, REST)}
    otherwise = () if REST in events.conditions else (REST,)
    for volume in np.flatnonzero(np.isfinite(values)).tolist():
        during = events.during(volume * repetition_time, (volume + 1) * repetition_time)
        for name in {event.trial_type for event in during} if during else otherwise:
            found.setdefault(name, []).append(values[volume])
    return {name: np.array(part) for name, part in found.items() if part}
