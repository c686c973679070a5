"""The part of a report that shows what left in time, and what left in place of it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from html import escape

import numpy as np

from rtbids.plural import counted
from rtbids.run.report.curves import tally
from rtbids.run.report.due_times import asked
from rtbids.run.report.figures.outcome_marks import MEANING, outcomes, raster, side_by_side
from rtbids.run.report.findings import Findings
from rtbids.run.report.markup import at, folded, percent, seconds, shortened, table
from rtbids.run.report.measures import Floats, summary
from rtbids.run.report.promise import Promise, promise


def kept(found: Findings) -> str:
    """Return the section: for each experiment a row of marks an outcome, how many, which, and how late they left."""
    if not found.answers:
        return "<p>No feedback was recorded, so none could be late.</p>"
    told = f"<p>{escape(asked(found))}</p>"
    promises = {name: promise(found.of(name), found.recorded.get(name)) for name in found.experiments}
    parts = [_experiment(found, kept, name, f"d{place}") for place, (name, kept) in enumerate(promises.items())]
    if len(parts) == 1:
        return told + parts[0]
    return told + side_by_side(found, promises) + "".join(map(folded, (_short(found, name) for name in promises), parts))


def _short(found: Findings, name: str) -> str:
    counts = tally(found.of(name))
    more = [counted(counts.alternate, "alternate")] * bool(counts.alternate) + [f"{counts.late} late"] * bool(counts.late)
    return ", ".join([f"{name}: {counts.ok} of {counts.given} in time", *more])


def _experiment(found: Findings, kept: Promise, name: str, key: str) -> str:
    rows = outcomes(kept)
    return "".join(
        [raster(found, rows, name, key), _counts(found, kept, rows), _lateness(kept), _foreseen(kept), _restarts(found, kept)]
    )


def _counts(found: Findings, kept: Promise, rows: Mapping[str, Sequence[int]]) -> str:
    given = len(kept.ok) + sum(map(len, kept.alternates.values()))
    if not kept.alternates and not kept.late:
        return ""
    lines = [_count(outcome, volumes, given) for outcome, volumes in rows.items() if outcome not in ("predicted", "restart")]
    return table("What left for the volumes", ("outcome", "volumes", "share", "which"), lines, "which")


def _count(outcome: str, volumes: Sequence[int], given: int) -> tuple[str, ...]:
    name = f"{outcome}: {MEANING[outcome]}" if outcome in MEANING else outcome
    which = "" if outcome == "ok" else shortened(volumes)
    return name, str(len(volumes)), percent(len(volumes), given), which


def _lateness(kept: Promise) -> str:
    rows = []
    for name, found in (
        ("alternates left after they were due", kept.overrun),
        ("late answers came after they were due", kept.late_by),
    ):
        if found:
            rows.append((name, str(len(found)), *_figures(found)))
    head = ("", "volumes", "median", "99 %", "worst", "at volume")
    return (table("How late", head, rows) if rows else "") + _early(kept.early)


def _early(volumes: Sequence[int]) -> str:
    if not volumes:
        return ""
    words = (
        "1 alternate left before it was due" if len(volumes) == 1 else (f"{len(volumes)} alternates left before they were due")
    )
    why = "a later volume was answered first, feedback was paused, or the run ended"
    return f"<p>{escape(f'{words}: {shortened(volumes)}. So it is where {why}.')}</p>"


def _figures(found: Mapping[int, float]) -> tuple[str, ...]:
    values: Floats = np.array(list(found.values()))
    figures = summary(values)
    worst = max(found, key=lambda volume: found[volume])
    return (*map(seconds, (figures.median, figures.p99, figures.worst)), str(worst))


def _foreseen(kept: Promise) -> str:
    if kept.predicted is None or not kept.is_due:
        return ""
    if not kept.predicted and not kept.missed:
        return "<p>No answer was expected to miss its due time, and none did.</p>"
    unforeseen = sorted(set(kept.missed) - set(kept.predicted))
    missed = f"{counted(len(unforeseen), 'miss', 'misses')} came unforeseen"
    if not kept.predicted:
        return f"<p>No answer was expected to miss its due time; {missed}.</p>"
    expected = f"{counted(len(kept.predicted), 'answer')} expected to miss the due time, and {len(kept.came_true)} of them did"
    return f"<p>{escape(f'{expected}; {missed}')}.</p>"


def _restarts(found: Findings, kept: Promise) -> str:
    rows = list(_interruptions(found, kept))
    return table("Restarts of the script", ("newest volume", "why"), rows, "words") if rows else ""


def _interruptions(found: Findings, kept: Promise) -> Iterator[tuple[str, str]]:
    for volume, why in kept.restarts:
        yield at(volume, found.repetition_time) if volume >= 0 else "unknown", why
    if kept.given_up:
        volume, why = kept.given_up
        yield at(volume, found.repetition_time), f"{why}; it was not started again"
    if kept.broken_off:
        yield "the last", kept.broken_off
