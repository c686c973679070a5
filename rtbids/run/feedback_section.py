"""The part of a report that shows what the participant was given."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from html import escape

import numpy as np

from rtbids.bids.events import REST
from rtbids.run import charts
from rtbids.run.charts import Plot, number
from rtbids.run.curves import Curve, Tally, curves, tally, why
from rtbids.run.findings import Answer, Findings, Value
from rtbids.run.markup import at, counted, figure, percent, seconds, table
from rtbids.run.measures import Floats, by_condition, correlation, fitted, summary
from rtbids.run.promise import promise

_MOST_PANELS = 12
_TOGETHER = 6  # curves that one chart can hold
_QUIET = {REST, "baseline", "fixation"}


def feedback(findings: Findings) -> str:
    """Return the section: for each experiment its counts, curves, conditions and lines."""
    if not findings.answers:
        return "<p>No feedback was recorded in this run.</p>"
    several = len(findings.experiments) > 1
    parts = [_side_by_side(findings)] if several else []
    for place, name in enumerate(findings.experiments):
        heading = f"<h3>{escape(name)}</h3>" if several else ""
        parts.append(heading + _experiment(findings, name, f"f{place}"))
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


def _experiment(findings: Findings, name: str, key: str) -> str:
    answers = findings.of(name)
    drawn = curves(answers, findings.length)
    return "".join(
        [
            f"<p>{escape(_in_words(tally(answers)))}</p>",
            _charts(findings, name, answers, drawn, key),
            _truth(findings, drawn),
            _conditions(findings, drawn),
            _lines(findings, answers),
        ]
    )


def _in_words(counts: Tally) -> str:
    words = [f"{counts.ok} of {counts.given} volumes ({percent(counts.ok, counts.given)}) answered in time"]
    if counts.alternate:
        words.append(f"{counted(counts.alternate, 'alternate')} went out instead ({why(counts.reasons)})")
    if counts.late:
        words.append(f"{counted(counts.late, 'late answer')} recorded, not shown to the participant")
    return "; ".join(words) + "."


def _charts(findings: Findings, name: str, answers: Sequence[Answer], drawn: Sequence[Curve], key: str) -> str:
    groups = _panels(drawn)
    out = [_chart(findings, name, answers, group, f"{key}-{i}") for i, group in enumerate(groups[:_MOST_PANELS])]
    if len(groups) > _MOST_PANELS:
        left_out = ", ".join(curve.name for group in groups[_MOST_PANELS:] for curve in group)
        out.append(f'<p class="note">Not drawn, but in the table: {escape(left_out)}.</p>')
    return "".join(out)


def _panels(drawn: Sequence[Curve]) -> list[list[Curve]]:
    """Put curves of like range into one chart; where one would flatten the other, each has its own."""
    if not drawn:
        return [[]]
    spans = [np.ptp(finite) for curve in drawn if (finite := curve.given[np.isfinite(curve.given)]).size]
    values = np.concatenate([curve.given for curve in drawn])
    finite = values[np.isfinite(values)]
    alike = not finite.size or not spans or min(spans) >= np.ptp(finite) / 8
    return [list(drawn)] if alike and len(drawn) <= _TOGETHER else [[curve] for curve in drawn]


def _chart(findings: Findings, name: str, answers: Sequence[Answer], group: Sequence[Curve], key: str) -> str:
    truth = _shown_truth(findings, group)
    shown = [curve.given for curve in group] + [truth]
    late = [value for curve in group for _, value in curve.late]
    scale = charts.scale([*np.concatenate(shown).tolist(), *late])
    plot = Plot(findings.length, scale, height=220 if group else 40)
    layers = [
        *blocks(findings, plot),
        plot.rule(0.0, "zero") if scale.low < 0 < scale.high else "",
        plot.curve(truth, "truth"),
        *_series(plot, group),
        plot.symbols(((v, x) for curve in group for v, x in curve.late if not math.isnan(x)), "late"),
        plot.symbols(_alternates(findings, answers, group), "alternate"),
        plot.symbols(((volume, math.nan) for volume in findings.missing), "missing"),
        plot.hints(_hints(findings, answers, [curve.name for curve in group])),
    ]
    title = f"Feedback of {name} by volume: {', '.join(curve.name for curve in group) or 'no value'}"
    chart = plot.drawn(
        key,
        title,
        _desc(findings, group),
        layers,
        unit="value",
        repetition_time=findings.repetition_time,
        names=None if group else {0.5: "no value"},
    )
    return figure(chart + charts.legend(_legend(findings, answers, group, truth)))


def _series(plot: Plot, group: Sequence[Curve]) -> list[str]:
    styles = [f"s{place % 6 + 1}" for place in range(len(group))]
    lines = [plot.curve(curve.given, style) for curve, style in zip(group, styles, strict=True)]
    return lines + [plot.dots(curve.ok, style) for curve, style in zip(group, styles, strict=True)]


def _alternates(findings: Findings, answers: Sequence[Answer], group: Sequence[Curve]) -> list[tuple[int, float]]:
    """Return where alternates are marked; one without a value stands on the rail, unless the volume is marked missing there."""
    points = [(v, x) for curve in group for v, x in curve.alternates if not math.isnan(x)]
    valued = {volume for volume, _ in points} | set(findings.missing)
    return points + [(a.volume, math.nan) for a in answers if a.status == "alternate" and a.volume not in valued]


def styles_of(findings: Findings) -> dict[str, str]:
    """Give each condition its shade; rest is a quiet grey."""
    names = list(dict.fromkeys(event.trial_type for event in findings.events.rows))
    active = [name for name in names if name.lower() not in _QUIET]
    return {name: f"b{active.index(name) % 4 + 1}" if name in active else "b0" for name in names}


def blocks(findings: Findings, plot: Plot) -> list[str]:
    """Shade the events, each with its name where there is room."""
    if math.isnan(findings.repetition_time) or findings.repetition_time <= 0:
        return []
    styles, tr = styles_of(findings), findings.repetition_time
    return [
        plot.block(
            event.onset / tr, max(event.onset + event.duration, event.onset + 0.3 * tr) / tr, styles[kind], kind or "event"
        )
        for event in findings.events.rows
        for kind in [event.trial_type]
    ]


def _shown_truth(findings: Findings, group: Sequence[Curve]) -> Floats:
    truth = _truth_of(findings)
    on_scale = fitted(truth, group[0].ok) if group else None
    return truth if on_scale is None else on_scale


def _truth_of(findings: Findings) -> Floats:
    truth = np.full(findings.length, np.nan)
    part = findings.truth[: findings.length]
    truth[: len(part)] = part
    return truth


def _truth(findings: Findings, drawn: Sequence[Curve]) -> str:
    if not findings.truth:
        return ""
    truth = _truth_of(findings)
    told = "; ".join(_follows(truth, curve) for curve in drawn) or "there is no value to compare"
    words = f"Correlation with what was put in, over the volumes answered in time: {told}."
    return f"<p><strong>Known truth.</strong> {escape(words)}</p>"


def _follows(truth: Floats, curve: Curve) -> str:
    r, count = correlation(truth, curve.ok)
    shown = "n/a" if math.isnan(r) else f"{r:.3f}".replace("-", "−")
    return f"{curve.name}: r = {shown} over {counted(count, 'volume')}"


def _conditions(findings: Findings, drawn: Sequence[Curve]) -> str:
    if not findings.events.rows or math.isnan(findings.repetition_time):
        return ""
    rows = []
    for curve in drawn:
        for condition, values in by_condition(curve.ok, findings.events, findings.repetition_time).items():
            name = condition if len(drawn) == 1 else f"{curve.name}, {condition}"
            deviation = float(values.std(ddof=1)) if values.size > 1 else math.nan
            rows.append((name, str(values.size), number(float(values.mean())), number(deviation)))
    caption = (
        "Values answered in time, by condition: a volume counts for each that an event overlaps its TR of, and for rest where "
        "none does (no allowance for the haemodynamic delay)"
    )
    return table(caption, ("condition", "volumes", "mean", "standard deviation"), rows) if rows else ""


def _legend(findings: Findings, answers: Sequence[Answer], group: Sequence[Curve], truth: Floats) -> Iterable[tuple[str, str]]:
    for place, curve in enumerate(group):
        yield charts.line_sample(f"s{place % 6 + 1}"), curve.name
    if np.isfinite(truth).any():
        fit = bool(group) and fitted(_truth_of(findings), group[0].ok) is not None
        yield charts.line_sample("truth"), "known truth, fitted to the feedback's scale" if fit else "known truth"
    seen = {answer.status for answer in answers}
    if "alternate" in seen:
        yield charts.symbol_sample("alternate"), "alternate"
    if "late" in seen:
        yield charts.symbol_sample("late"), "late, not shown"
    if findings.missing:
        yield charts.symbol_sample("missing"), "missing volume"
    for name, style in styles_of(findings).items():
        yield charts.fill_sample(f"bar {style}"), name or "event"


def _desc(findings: Findings, group: Sequence[Curve]) -> str:
    words = []
    for curve in group:
        finite = curve.given[np.isfinite(curve.given)]
        if finite.size:
            words.append(
                f"{curve.name} runs from {number(float(finite.min()))} to {number(float(finite.max()))}, "
                f"mean {number(float(finite.mean()))}"
            )
    return "; ".join(words) or f"No value in {counted(findings.length, 'volume')}."


def _hints(findings: Findings, answers: Sequence[Answer], names: Sequence[str]) -> dict[int, str]:
    texts = {volume: f"{at(volume, findings.repetition_time)}\nmissing" for volume in findings.missing}
    for answer in answers:
        line = f"{_told(_part(answer.value, names))} · {_status(answer)}"
        texts[answer.volume] = f"{texts.get(answer.volume, at(answer.volume, findings.repetition_time))}\n{line}"
    return texts


def _part(value: Value, names: Sequence[str]) -> Value:
    """Return of an object what a chart draws."""
    return {name: value.get(name) for name in names} if isinstance(value, Mapping) and names else value


def _told(value: Value) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {_told_part(part)}" for key, part in value.items())
    return "no value" if value is None else number(value)


def _told_part(part: object) -> str:
    return number(part) if isinstance(part, int | float) else "n/a" if part is None else str(part)


def _status(answer: Answer) -> str:
    return f"{answer.status} ({answer.reason})" if answer.reason else answer.status


def _lines(findings: Findings, answers: Sequence[Answer]) -> str:
    rows = (
        (str(answer.volume), _told(answer.value), answer.status, answer.reason, seconds(answer.sent - answer.received))
        for answer in answers
    )
    head = ("volume", "value", "status", "reason", "received → sent")
    lines = table(f"{counted(len(answers), 'line')} of the feedback table", head, rows)
    return f"<details><summary>Every line of feedback</summary>{lines}</details>"
