"""The part of a report that shows what the participant was given."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from html import escape

import numpy as np

from rtbids.plural import counted
from rtbids.run.report.curves import Curve, curves, tally
from rtbids.run.report.feedback_words import in_words, told
from rtbids.run.report.figures.feedback_charts import Drawing, charts, truth_of
from rtbids.run.report.figures.scales import number
from rtbids.run.report.findings import Answer, Findings
from rtbids.run.report.markup import folded, seconds, table
from rtbids.run.report.measures import Floats, by_condition, correlation, summary
from rtbids.run.report.promise import promise

_RULE = (
    "a volume belongs to each condition of which an event overlaps its TR, and to rest where none does (no allowance for the "
    "haemodynamic delay)"
)


def feedback(findings: Findings) -> str:
    """Return the section: for each experiment its counts, curves, conditions and lines."""
    if not findings.answers:
        return "<p>No feedback was recorded in this run.</p>"
    several = len(findings.experiments) > 1
    parts = [_side_by_side(findings)] if several else []
    for place, name in enumerate(findings.experiments):
        heading = f"<h3>{escape(name)}</h3>" if several else ""
        parts.append(heading + _experiment(findings, name, f"f{place}", fold=several))
    return "".join([*parts, '<p class="note hover">Point at a chart for the values of a volume.</p>'])


def _side_by_side(findings: Findings) -> str:
    """Compare the experiments on the run."""
    head = ("experiment", "in time", "alternates", "late", "median latency", "99 %", "restarts")
    return table("The experiments side by side", head, [_compared(findings, name) for name in findings.experiments])


def _compared(findings: Findings, name: str) -> tuple[str, ...]:
    answers = findings.of(name)
    counts, kept = tally(answers), promise(answers, findings.recorded.get(name))
    figures = summary(np.array([answer.sent - answer.received for answer in answers if answer.status != "late"]))
    restarts = "n/a" if kept.predicted is None else str(len(kept.restarts))
    latency = (seconds(figures.median), seconds(figures.p99))
    return name, f"{counts.ok} of {counts.given}", str(counts.alternate), str(counts.late), *latency, restarts


def _experiment(findings: Findings, name: str, key: str, *, fold: bool) -> str:
    answers = findings.of(name)
    drawn = curves(answers, findings.length)
    conditions = _conditions(findings, drawn)
    return "".join(
        [
            f"<p>{escape(in_words(tally(answers)))}</p>",
            charts(Drawing(findings, name, answers, key), drawn),
            _truth(findings, drawn),
            folded("Values by condition", conditions) if fold and conditions else conditions,
            _lines(answers),
        ]
    )


def _truth(findings: Findings, drawn: Sequence[Curve]) -> str:
    if not findings.truth:
        return ""
    truth = truth_of(findings)
    told = "; ".join(_follows(truth, curve) for curve in drawn) or "there is no value to compare"
    words = f"Correlation with what was put in, over the volumes answered in time: {told}."
    return f"<p><strong>Known truth.</strong> {escape(words)}</p>"


def _follows(truth: Floats, curve: Curve) -> str:
    r, count = correlation(truth, curve.ok)
    shown = "n/a" if math.isnan(r) else f"{r:.3f}".replace("-", "−")
    return f"{curve.name}: r = {shown} over {counted(count, 'volume')}"


def _conditions(findings: Findings, drawn: Sequence[Curve]) -> str:
    """Return the table of conditions: a row each, and of several curves a column each."""
    if not findings.events.rows or math.isnan(findings.repetition_time) or findings.repetition_time <= 0:
        return ""
    split = [by_condition(curve.ok, findings.events, findings.repetition_time) for curve in drawn]
    names = list(dict.fromkeys(name for parts in split for name in parts))
    if not names:
        return ""
    if len(drawn) == 1:
        rows = [(name or "event", *_figures(split[0][name])) for name in names]
        return table(f"Values answered in time: {_RULE}", ("condition", "volumes", "mean", "standard deviation"), rows)
    wide = [(name or "event", *_in_columns([parts.get(name, np.empty(0)) for parts in split])) for name in names]
    caption = f"Values answered in time, mean ± standard deviation: {_RULE}"
    return table(caption, ("condition", "volumes", *(curve.name for curve in drawn)), wide)


def _figures(values: Floats) -> tuple[str, str, str]:
    """Return count, mean and standard deviation."""
    deviation = float(values.std(ddof=1)) if values.size > 1 else math.nan
    return str(values.size), number(float(values.mean())) if values.size else "n/a", number(deviation)


def _in_columns(parts: Sequence[Floats]) -> Iterator[str]:
    """Yield how many volumes there are, and each curve's mean and deviation; fewer of one curve are told in its cell."""
    most = max(part.size for part in parts)
    yield str(most)
    for part in parts:
        count, mean, deviation = _figures(part)
        fewer = f" (of {count})" if 0 < part.size < most else ""
        yield mean if part.size < 2 else f"{mean} ± {deviation}{fewer}"


def _lines(answers: Sequence[Answer]) -> str:
    rows = (
        (str(answer.volume), told(answer.value), answer.status, answer.reason, seconds(answer.sent - answer.received))
        for answer in answers
    )
    head = ("volume", "value", "status", "reason", "received → sent")
    return folded("Every line of feedback", table(f"{counted(len(answers), 'line')} of the feedback table", head, rows))
