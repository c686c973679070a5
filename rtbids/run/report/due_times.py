"""When feedback was due: the deadline of each experiment, and the volumes whose time was another."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from rtbids.plural import counted
from rtbids.run.report.findings import Findings
from rtbids.run.report.markup import long_time, seconds, shortened

_ALIKE = 0.002  # seconds; times in the tables are exact to the microsecond


@dataclass(frozen=True)
class DueTimes:
    """Seconds from a volume's last byte to the due time of its feedback.

    Attributes
    ----------
    limits
        The deadline of each experiment that had one.
    later, earlier
        The volumes that were due after or before their experiment's deadline, each with the farthest off.
    """

    limits: Mapping[str, float] = field(default_factory=dict)
    later: Mapping[int, float] = field(default_factory=dict)
    earlier: Mapping[int, float] = field(default_factory=dict)

    @property
    def distinct(self) -> list[float]:
        return sorted(set(self.limits.values()))


def due_times(found: Findings) -> DueTimes:
    """Read them from the lines of feedback, and each deadline from what the run recorded of itself where it did."""
    limits: dict[str, float] = {}
    later: dict[int, float] = {}
    earlier: dict[int, float] = {}
    for name in found.experiments:
        spans = _spans(found, name)
        if not spans:
            continue
        limits[name] = limit = _declared(found, name) or _usual(list(spans.values()))
        for volume, span in spans.items():
            if span > limit + _ALIKE:
                later[volume] = max(span, later.get(volume, span))
            elif span < limit - _ALIKE:
                earlier[volume] = min(span, earlier.get(volume, span))
    return DueTimes(limits, later, earlier)


def _spans(found: Findings, name: str) -> dict[int, float]:
    spans = {answer.volume: answer.due - answer.received for answer in found.of(name)}
    return {volume: span for volume, span in spans.items() if math.isfinite(span)}


def _declared(found: Findings, name: str) -> float | None:
    about = found.recorded.get(name)
    limit = about.get("Deadline") if about else None
    return float(limit) if isinstance(limit, int | float) and not isinstance(limit, bool) else None


def _usual(spans: list[float]) -> float:
    """Return what most volumes had; where each had its own, the shortest: the clock then ran from when they were taken up."""
    common, count = Counter(round(span, 3) for span in spans).most_common(1)[0]
    return common if 2 * count >= len(spans) else round(min(spans), 3)


def asked(found: Findings) -> str:
    """Say when feedback was due."""
    due = due_times(found)
    if not due.limits:
        return "There was no deadline: the source waited for each answer."
    when = f"Feedback was due {_limits(due)} after the last byte of a volume."
    return " ".join([when, "What was not there then was replaced by an alternate.", *_aside(due)])


def _limits(due: DueTimes) -> str:
    if len(due.distinct) == 1:
        return long_time(due.distinct[0])
    each = [(limit, [name for name, own in due.limits.items() if own == limit]) for limit in due.distinct]
    return ", ".join(f"{long_time(limit)} ({', '.join(names)})" for limit, names in each)


def _aside(due: DueTimes) -> Iterator[str]:
    if due.later:
        yield (
            f"{counted(len(due.later), 'volume')} had longer, up to {seconds(max(due.later.values()))} "
            f"({shortened(due.later)}): as long as a source does not keep the scanner's pace, the time counts from when a "
            "volume is taken up."
        )
    if due.earlier:
        yield (
            f"{counted(len(due.earlier), 'volume')} had less, {seconds(min(due.earlier.values()))} at the least "
            f"({shortened(due.earlier)}): a later one was there before them."
        )
