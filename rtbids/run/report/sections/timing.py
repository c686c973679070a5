"""The parts of a report that show when things happened: latency by stage, and the volumes as they came."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from rtbids.plural import counted
from rtbids.run.report.due_times import due_times
from rtbids.run.report.figures import legends, scales
from rtbids.run.report.figures.charts import Plot
from rtbids.run.report.figures.scales import Scale
from rtbids.run.report.findings import Findings
from rtbids.run.report.markup import at, figure, long_time, ranges, seconds, table
from rtbids.run.report.measures import WAITED, Floats, span, stages, summary

_LINE_OF_TEXT = 14  # pixels
_FAR = 3.0  # a column higher than this many times the 95th percentile is cut, or it would flatten the others


def latency(findings: Findings) -> str:
    """Return the section: a stacked column a volume, and a table of the stages."""
    total = span(findings.times, "received", "sent")
    if not np.isfinite(total).any():
        return "<p>No times from receipt to feedback were recorded in this run.</p>"
    spent, limits = stages(findings.times), due_times(findings).distinct
    return _columns(findings, spent, total, limits) + _summaries(spent, total)


def _columns(findings: Findings, spent: dict[str, Floats], total: Floats, limits: Sequence[float]) -> str:
    millis = total * 1000
    plot = Plot(findings.length, Scale(0.0, _ceiling(millis, spent, limits)), height=190)
    beyond = [(v, plot.scale.high) for v, x in enumerate(millis.tolist()) if x > plot.scale.high]
    layers = [
        *_stack(plot, spent),
        *_rules(plot, [limit for limit in limits if limit * 1000 <= plot.scale.high]),
        plot.symbols(beyond, "beyond"),
        plot.symbols(((volume, math.nan) for volume in findings.missing), "missing"),
        plot.hints(_hints(findings, spent, total)),
    ]
    figures = summary(total)
    desc = f"Median {seconds(figures.median)}, 99th percentile {seconds(figures.p99)}, worst {seconds(figures.worst)}."
    title = "Latency from receipt to feedback by volume and stage"
    chart = plot.drawn("latency", title, desc, layers, unit="ms", repetition_time=findings.repetition_time)
    return figure(chart + legends.legend(_legend(findings, spent, beyond)), _caption(limits, plot, figures.worst))


def _rules(plot: Plot, limits: Sequence[float]) -> list[str]:
    """Draw a line for each deadline; names that would lie on each other are put together at the topmost."""
    lines, names = [], []
    for place, limit in enumerate(limits):
        names.append(long_time(limit))
        crowded = place + 1 < len(limits) and plot.y(limit * 1000) - plot.y(limits[place + 1] * 1000) < _LINE_OF_TEXT
        lines.append(plot.rule(limit * 1000, "deadline", "" if crowded else f"deadline {' and '.join(names)}"))
        names = names if crowded else []
    return lines


def _stack(plot: Plot, spent: dict[str, Floats]) -> list[str]:
    low, layers = np.zeros(len(next(iter(spent.values())))), []
    for name, style in zip(spent, _styles(spent), strict=True):
        high = low + np.maximum(np.nan_to_num(spent[name]), 0) * 1000
        layers.append(plot.columns(low, high, style))
        low = high
    return layers


def _styles(spent: dict[str, Floats]) -> list[str]:
    return ["t5" if name == WAITED else f"t{place % 4 + 1}" for place, name in enumerate(spent)]


def _ceiling(millis: Floats, spent: dict[str, Floats], limits: Sequence[float]) -> float:
    """Return the top of the axis: the worst volume unless it is far off, and the deadline where that is near.

    What is far is told by the volumes that were answered: the others only show how long the deadline is.
    """
    answered = millis[np.isnan(spent[WAITED])] if WAITED in spent else millis
    usual = summary(answered if np.isfinite(answered).any() else millis)
    top = min(summary(millis).worst, _FAR * usual.p95) * 1.1
    near = [limit * 1100 for limit in limits if limit * 1000 <= 2 * top]
    return max([top, *near, 1e-3])


def _caption(limits: Sequence[float], plot: Plot, worst: float) -> str:
    above = [limit for limit in limits if limit * 1000 > plot.scale.high]
    words = ["One column a volume, stages from the bottom up."]
    if above:
        share = f", of which the slowest volume used {100 * worst / above[0]:.1f} %" if above[0] > 0 else ""
        words.append(f"The deadline, {' and '.join(map(long_time, above))} after receipt, lies above the chart{share}.")
    return " ".join(words)


def _legend(findings: Findings, spent: dict[str, Floats], beyond: list[tuple[int, float]]) -> list[tuple[str, str]]:
    entries = [(legends.fill_sample(style), name) for name, style in zip(spent, _styles(spent), strict=True)]
    if beyond:
        entries.append((legends.symbol_sample("beyond"), "column cut: higher than the chart"))
    if findings.missing:
        entries.append((legends.symbol_sample("missing"), "missing volume"))
    return entries


def _hints(findings: Findings, spent: dict[str, Floats], total: Floats) -> dict[int, str]:
    texts = {}
    for volume in np.flatnonzero(np.isfinite(total)).tolist():
        parts = [f"{name} {seconds(values[volume])}" for name, values in spent.items() if math.isfinite(values[volume])]
        head = f"{at(volume, findings.repetition_time)} · {seconds(total[volume])}"
        texts[volume] = "\n".join([head, *parts])
    return texts


def _summaries(spent: dict[str, Floats], total: Floats) -> str:
    """Return the table, without the way from the scanner: its clock is set to ours at the first volume, so nobody knows it."""
    rows = [_row(name, values) for name, values in {**spent, "received → sent": total}.items()]
    head = ("stage", "volumes", "median", "95 %", "99 %", "worst")
    return table("Time in each stage: median, 95th and 99th percentile, worst volume", head, rows, total=True)


def _row(name: str, values: Floats) -> tuple[str, ...]:
    figures = summary(values)
    return (name, str(figures.count), *map(seconds, (figures.median, figures.p95, figures.p99, figures.worst)))


def volumes(findings: Findings) -> str:
    """Return the section: what is missing, and how regularly volumes came."""
    return f"<p>{_came(findings)}</p>" + _intervals(findings)


def _came(findings: Findings) -> str:
    if not findings.count and not findings.missing:
        return "No volume was received."
    words = f"{counted(findings.count, 'volume')} received"
    if not findings.missing:
        return f"{words}, none missing."
    return f"{words}, {len(findings.missing)} missing: {ranges(findings.missing)} (counted from 0)."


def _intervals(findings: Findings) -> str:
    """Draw the time from one volume to the next; after a gap there is none."""
    received = findings.times["received"]
    if np.isfinite(received).sum() < 3:
        return ""
    gaps = np.concatenate([[np.nan], np.diff(received)]) * 1000
    tr = findings.repetition_time * 1000
    near = math.isfinite(tr) and summary(gaps).median > tr / 2  # at the scanner's pace, not replayed faster
    plot = Plot(findings.length, scales.scale([*gaps.tolist(), *([tr] if near else [])]), height=110)
    layers = [
        plot.curve(gaps, "thin"),
        plot.rule(tr, "deadline", f"TR {long_time(tr / 1000)}") if near else "",
        plot.symbols(((volume, math.nan) for volume in findings.missing), "missing"),
        plot.hints(_pauses(findings, gaps)),
    ]
    figures = summary(gaps / 1000)
    desc = f"Median {seconds(figures.median)}, longest {seconds(figures.worst)}."
    chart = plot.drawn(
        "arrival", "Time since the volume before", desc, layers, unit="ms", repetition_time=findings.repetition_time
    )
    return figure(chart, f"Time from each volume to the next, as they were received. {desc}")


def _pauses(findings: Findings, gaps: Floats) -> dict[int, str]:
    known = np.flatnonzero(np.isfinite(gaps)).tolist()
    return {v: f"{at(v, findings.repetition_time)}\n{seconds(gaps[v] / 1000)} after the one before" for v in known}
