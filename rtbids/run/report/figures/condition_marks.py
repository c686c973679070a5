"""The conditions of a run along its volumes: each has a colour and a pattern of its own."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

from rtbids.bids.events import REST
from rtbids.run.report.figures import legends
from rtbids.run.report.figures.charts import Plot
from rtbids.run.report.findings import Findings

MOST = 8  # conditions that are told apart; more share one grey
_QUIET = {REST, "baseline", "fixation"}


@dataclass(frozen=True)
class Stretch:
    """Events of one condition that follow each other within a volume; in volumes from the beginning."""

    condition: str
    start: float
    stop: float


def styles_of(found: Findings) -> dict[str, str]:
    """Give each condition its marks; rest is a quiet grey."""
    names = list(dict.fromkeys(event.trial_type for event in found.events.rows))
    active = [name for name in names if name.lower() not in _QUIET]
    return {name: f"b{min(active.index(name), MOST) + 1}" if name in active else "b0" for name in names}


def stretches(found: Findings) -> list[Stretch]:
    """Put events together that no axis of volumes tells apart; nothing where it is not known how long a volume takes."""
    tr, joined = found.repetition_time, list[Stretch]()
    if math.isnan(tr) or tr <= 0:
        return []
    for event in found.events.rows:
        new = Stretch(event.trial_type, event.onset / tr, max(event.end, event.onset + 0.3 * tr) / tr)
        before = joined[-1] if joined else new
        if joined and before.condition == new.condition and new.start <= before.stop + 1.0:
            joined[-1] = Stretch(new.condition, before.start, max(before.stop, new.stop))
        else:
            joined.append(new)
    return joined


def blocks(found: Findings, plot: Plot, *, named: bool = True) -> list[str]:
    """Shade the events, each with its name where there is room."""
    styles = styles_of(found)
    return [
        plot.block(one.start, one.stop, styles[one.condition], (one.condition or "event") if named else "")
        for one in stretches(found)
    ]


def samples(found: Findings) -> Iterator[tuple[str, str]]:
    """Yield the entries of a legend."""
    styles = styles_of(found)
    for name, style in styles.items():
        if style != f"b{MOST + 1}":
            yield legends.fill_sample(f"bar {style}"), name or "event"
    if others := [name or "event" for name, style in styles.items() if style == f"b{MOST + 1}"]:
        yield legends.fill_sample(f"bar b{MOST + 1}"), f"others: {', '.join(others)}"
