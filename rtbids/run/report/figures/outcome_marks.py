"""The outcome of each volume as a row of marks: one row an outcome, or of several experiments one row each."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

import numpy as np

from rtbids.plural import counted
from rtbids.run.report.figures import legends
from rtbids.run.report.figures.charts import Plot
from rtbids.run.report.figures.scales import Scale
from rtbids.run.report.findings import Findings
from rtbids.run.report.markup import at, figure
from rtbids.run.report.promise import Promise

_ROW = 20  # pixels
_LONG = 21  # letters of a name beside a chart
_FEW = 80  # marks that are told apart
MEANING = {
    "ok": "the script's answer, in time",
    "deadline": "no answer in time",
    "error": "the script failed",
    "missing": "the volume never came",
    "paused": "feedback was paused",
    "link": "the connection was down",
    "late": "an answer after its due time: recorded, not shown",
    "predicted": "expected to miss its due time",
    "restart": "the script was started again",
}
_SYMBOLS = {"ok": "ok", "error": "failed", "late": "late", "missing": "missing", "predicted": "expected", "restart": "beyond"}


def outcomes(kept: Promise) -> dict[str, tuple[int, ...]]:
    """Return the volumes of each outcome that there is, with ``ok`` in any case."""
    rows = {"ok": kept.ok, **kept.alternates, "late": kept.late, "predicted": kept.predicted or ()}
    rows["restart"] = tuple(volume for volume, _ in kept.restarts if volume >= 0)
    return {name: volumes for name, volumes in rows.items() if volumes or name == "ok"}


def raster(found: Findings, rows: Mapping[str, Sequence[int]], name: str, key: str) -> str:
    """Draw a row for each outcome of one experiment."""
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
    if _has_symbols(outcome, len(volumes)):
        return plot.symbols(((volume, middle) for volume in volumes), _SYMBOLS.get(outcome, "alternate"))
    low, high = np.full(plot.count, np.nan), np.full(plot.count, np.nan)
    inside = [volume for volume in volumes if volume < plot.count]
    low[inside], high[inside] = middle - 0.32, middle + 0.32
    return plot.columns(low, high, _column(outcome))


def _hints(found: Findings, rows: Mapping[str, Sequence[int]]) -> dict[int, str]:
    said: dict[int, list[str]] = {}
    for outcome, volumes in rows.items():
        if outcome != "ok":
            for volume in volumes:
                said.setdefault(volume, [at(volume, found.repetition_time)]).append(MEANING.get(outcome, outcome))
    return {volume: "\n".join(words) for volume, words in said.items()}


def side_by_side(found: Findings, promises: Mapping[str, Promise]) -> str:
    """Draw a row for each experiment: what was answered in time, and what happened in place of it."""
    rows = {name: _in_place(kept) for name, kept in promises.items()}
    plot = Plot(found.length, Scale(0.0, float(len(rows))), height=_ROW * len(rows))
    middle = {name: len(rows) - place - 0.5 for place, name in enumerate(rows)}
    layers = [_marks(plot, ones, outcome, middle[name]) for name, row in rows.items() for outcome, ones in row.items()]
    layers.append(plot.hints(_of_all({name: _hints(found, row) for name, row in rows.items()})))
    desc = "; ".join(f"{name}: {len(row['ok'])} in time" for name, row in rows.items()) + "."
    names = {y: name if len(name) <= _LONG else f"{name[: _LONG - 1]}…" for name, y in middle.items()}
    title = "Outcome of each volume, by experiment"
    chart = plot.drawn("d", title, desc, layers, names=names, repetition_time=found.repetition_time)
    return figure(chart + legends.legend(_meanings(rows.values())))


def _in_place(kept: Promise) -> dict[str, tuple[int, ...]]:
    return {outcome: ones for outcome, ones in outcomes(kept).items() if outcome not in ("late", "predicted")}


def _of_all(hints: Mapping[str, Mapping[int, str]]) -> dict[int, str]:
    """Put what is said of a volume together, each under the name of its experiment."""
    together: dict[int, list[str]] = {}
    for name, texts in hints.items():
        for volume, text in texts.items():
            head, _, said = text.partition("\n")
            together.setdefault(volume, [head]).append(f"{name}: {said.replace(chr(10), ', ')}")
    return {volume: "\n".join(lines) for volume, lines in together.items()}


def _meanings(rows: Iterable[Mapping[str, Sequence[int]]]) -> Iterator[tuple[str, str]]:
    most: dict[str, int] = {}
    for row in rows:
        for outcome, volumes in row.items():
            most[outcome] = max(len(volumes), most.get(outcome, 0))
    for outcome, count in most.items():
        sample = legends.symbol_sample(_SYMBOLS.get(outcome, "alternate")) if _has_symbols(outcome, count) else None
        yield sample or legends.fill_sample(_column(outcome)), MEANING.get(outcome, outcome)


def _has_symbols(outcome: str, count: int) -> bool:
    return count <= _FEW and outcome != "ok"


def _column(outcome: str) -> str:
    return f"outcome-{outcome if outcome in MEANING else 'error'}"
