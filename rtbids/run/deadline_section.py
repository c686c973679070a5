"""The part of a report that shows what left in time, and what left in place of it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from html import escape

import numpy as np

from rtbids.run.charts import Plot, Scale
from rtbids.run.due_times import asked
from rtbids.run.findings import Findings
from rtbids.run.markup import at, counted, figure, percent, seconds, shortened, table
from rtbids.run.measures import Floats, summary
from rtbids.run.promise import Promise, promise

_ROW = 20  # pixels
_FEW = 80  # marks that are told apart
MEANING = {
    "ok": "the script's answer, in time",
    "deadline": "no answer in time",
    "error": "the script failed",
    "missing": "the volume never came",
    "link": "the connection was down",
    "late": "an answer after its due time: recorded, not shown",
    "predicted": "expected to miss its due time",
    "restart": "the script was started again",
}
_SYMBOLS = {"ok": "ok", "late": "late", "missing": "missing", "predicted": "expected", "restart": "beyond"}


def kept(found: Findings) -> str:
    """Return the section: for each experiment a row of marks an outcome, how many, which, and how late they left."""
    if not found.answers:
        return "<p>No feedback was recorded, so none could be late.</p>"
    parts = [f"<p>{escape(asked(found))}</p>"]
    for place, name in enumerate(found.experiments):
        heading = f"<h3>{escape(name)}</h3>" if len(found.experiments) > 1 else ""
        parts.append(heading + _experiment(found, promise(found.of(name), found.recorded.get(name)), name, f"d{place}"))
    return "".join(parts)


def _experiment(found: Findings, kept: Promise, name: str, key: str) -> str:
    rows = _outcomes(kept)
    return "".join(
        [_raster(found, rows, name, key), _counts(found, kept, rows), _lateness(kept), _foreseen(kept), _restarts(found, kept)]
    )


def _outcomes(kept: Promise) -> dict[str, tuple[int, ...]]:
    """Return the volumes of each outcome that there is, with ``ok`` in any case."""
    rows = {"ok": kept.ok, **kept.alternates, "late": kept.late, "predicted": kept.predicted or ()}
    rows["restart"] = tuple(volume for volume, _ in kept.restarts if volume >= 0)
    return {name: volumes for name, volumes in rows.items() if volumes or name == "ok"}


def _raster(found: Findings, rows: Mapping[str, Sequence[int]], name: str, key: str) -> str:
    plot = Plot(found.length, Scale(0.0, float(len(rows))), height=_ROW * len(rows))
    middle = {name: len(rows) - place - 0.5 for place, name in enumerate(rows)}
    layers = [_marks(plot, volumes, outcome, middle[outcome]) for outcome, volumes in rows.items()]
    layers.append(plot.hints(_hints(found, rows)))
    desc = "; ".join(f"{outcome}: {counted(len(volumes), 'volume')}" for outcome, volumes in rows.items()) + "."
    title = f"Outcome of each volume, {name}"
    names = {middle[outcome]: outcome for outcome in rows}
    return figure(plot.drawn(key, title, desc, layers, names=names, repetition_time=found.repetition_time))


def _marks(plot: Plot, volumes: Sequence[int], outcome: str, middle: float) -> str:
    """Draw a symbol each where there are few, else a bar in the volume's column."""
    if len(volumes) <= _FEW and outcome != "ok":
        return plot.symbols(((volume, middle) for volume in volumes), _SYMBOLS.get(outcome, "alternate"))
    low, high = np.full(plot.count, np.nan), np.full(plot.count, np.nan)
    inside = [volume for volume in volumes if volume < plot.count]
    low[inside], high[inside] = middle - 0.32, middle + 0.32
    return plot.columns(low, high, f"outcome-{outcome if outcome in MEANING else 'error'}")


def _hints(found: Findings, rows: Mapping[str, Sequence[int]]) -> dict[int, str]:
    said: dict[int, list[str]] = {}
    for outcome, volumes in rows.items():
        if outcome != "ok":
            for volume in volumes:
                said.setdefault(volume, [at(volume, found.repetition_time)]).append(MEANING.get(outcome, outcome))
    return {volume: "\n".join(words) for volume, words in said.items()}


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
