"""The curves of feedback along a run: in one chart where they have a scale in common, else small ones side by side."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from html import escape

import numpy as np

from rtbids.plural import counted
from rtbids.run.report.curves import Curve
from rtbids.run.report.feedback_words import status, told
from rtbids.run.report.figures import legends, scales
from rtbids.run.report.figures.charts import Plot
from rtbids.run.report.figures.condition_marks import blocks, samples
from rtbids.run.report.figures.scales import number
from rtbids.run.report.findings import Answer, Findings, Value
from rtbids.run.report.markup import at, beside, figure
from rtbids.run.report.measures import Floats, fitted

_MOST_PANELS = 12
_TOGETHER = 6  # curves that one chart can hold
_TALL, _LOW, _SMALL = 220, 130, 80  # pixels


@dataclass(frozen=True)
class Drawing:
    """What the charts of one experiment are drawn from; `key` is unique in the page."""

    found: Findings
    name: str
    answers: Sequence[Answer]
    key: str

    @property
    def height(self) -> int:
        return _LOW if len(self.found.experiments) > 1 else _TALL


def charts(drawing: Drawing, curves: Sequence[Curve]) -> str:
    """Return the charts of one experiment's curves."""
    groups = _panels(curves)
    if len(groups) == 1:
        return figure(_chart(drawing, groups[0], 0, drawing.height) + legends.legend(_legend(drawing, groups[0])))
    shown = "".join(_small(drawing, group, place) for place, group in enumerate(groups[:_MOST_PANELS]))
    out = beside(shown) + legends.legend(_legend(drawing, ()))
    if len(groups) > _MOST_PANELS:
        left_out = ", ".join(curve.name for group in groups[_MOST_PANELS:] for curve in group)
        out += f'<p class="note">Not drawn, but in the table: {escape(left_out)}.</p>'
    return out


def truth_of(found: Findings) -> Floats:
    """Return what the feedback should have been (length,), NaN where that is not known."""
    truth = np.full(found.length, np.nan)
    part = found.truth[: found.length]
    truth[: len(part)] = part
    return truth


def _panels(curves: Sequence[Curve]) -> list[list[Curve]]:
    """Put curves of like range into one chart; where one would flatten the other, each has its own."""
    if not curves:
        return [[]]
    spans = [np.ptp(finite) for curve in curves if (finite := curve.given[np.isfinite(curve.given)]).size]
    values = np.concatenate([curve.given for curve in curves])
    finite = values[np.isfinite(values)]
    alike = not finite.size or not spans or min(spans) >= np.ptp(finite) / 8
    return [list(curves)] if alike and len(curves) <= _TOGETHER else [[curve] for curve in curves]


def _small(drawing: Drawing, group: Sequence[Curve], place: int) -> str:
    return f"<figure><h4>{escape(group[0].name)}</h4>{_chart(drawing, group, place, _SMALL)}</figure>"


def _chart(drawing: Drawing, group: Sequence[Curve], place: int, height: int) -> str:
    found = drawing.found
    truth = _shown_truth(found, group)
    late = [value for curve in group for _, value in curve.late]
    scale = scales.scale([*np.concatenate([*(curve.given for curve in group), truth]).tolist(), *late])
    plot = Plot(found.length, scale, height=height if group else 40)
    layers = [
        *blocks(found, plot, named=height != _SMALL),
        plot.rule(0.0, "zero") if scale.low < 0 < scale.high else "",
        plot.curve(truth, "truth"),
        *_series(plot, group, dotted=height != _SMALL),
        plot.symbols(((v, x) for curve in group for v, x in curve.late if not math.isnan(x)), "late"),
        plot.symbols(_alternates(drawing, group), "alternate"),
        plot.symbols(((volume, math.nan) for volume in found.missing), "missing"),
        plot.hints(_hints(drawing, [curve.name for curve in group])),
    ]
    return plot.drawn(
        f"{drawing.key}-{place}",
        f"Feedback of {drawing.name} by volume: {', '.join(curve.name for curve in group) or 'no value'}",
        _desc(found, group),
        layers,
        unit="" if height == _SMALL else "value",
        repetition_time=found.repetition_time,
        names=None if group else {0.5: "no value"},
    )


def _series(plot: Plot, group: Sequence[Curve], *, dotted: bool) -> list[str]:
    styles = [f"s{place % 6 + 1}" for place in range(len(group))]
    lines = [plot.curve(curve.given, style) for curve, style in zip(group, styles, strict=True)]
    return lines + [plot.dots(curve.ok, style) for curve, style in zip(group, styles, strict=True) if dotted]


def _alternates(drawing: Drawing, group: Sequence[Curve]) -> list[tuple[int, float]]:
    """Return where alternates are marked; one without a value stands on the rail, unless the volume is marked missing there."""
    points = [(v, x) for curve in group for v, x in curve.alternates if not math.isnan(x)]
    valued = {volume for volume, _ in points} | set(drawing.found.missing)
    return points + [(a.volume, math.nan) for a in drawing.answers if a.status == "alternate" and a.volume not in valued]


def _shown_truth(found: Findings, group: Sequence[Curve]) -> Floats:
    truth = truth_of(found)
    on_scale = fitted(truth, group[0].ok) if group else None
    return truth if on_scale is None else on_scale


def _legend(drawing: Drawing, group: Sequence[Curve]) -> Iterator[tuple[str, str]]:
    found = drawing.found
    for place, curve in enumerate(group):
        yield legends.line_sample(f"s{place % 6 + 1}"), curve.name
    if np.isfinite(truth_of(found)).any():
        fit = bool(group) and fitted(truth_of(found), group[0].ok) is not None
        yield legends.line_sample("truth"), "known truth, fitted to the feedback's scale" if fit else "known truth"
    seen = {answer.status for answer in drawing.answers}
    if "alternate" in seen:
        yield legends.symbol_sample("alternate"), "alternate"
    if "late" in seen:
        yield legends.symbol_sample("late"), "late, not shown"
    if found.missing:
        yield legends.symbol_sample("missing"), "missing volume"
    yield from samples(found)


def _desc(found: Findings, group: Sequence[Curve]) -> str:
    words = []
    for curve in group:
        finite = curve.given[np.isfinite(curve.given)]
        if finite.size:
            words.append(
                f"{curve.name} runs from {number(float(finite.min()))} to {number(float(finite.max()))}, "
                f"mean {number(float(finite.mean()))}"
            )
    return "; ".join(words) or f"No value in {counted(found.length, 'volume')}."


def _hints(drawing: Drawing, names: Sequence[str]) -> dict[int, str]:
    tr = drawing.found.repetition_time
    texts = {volume: f"{at(volume, tr)}\nmissing" for volume in drawing.found.missing}
    for answer in drawing.answers:
        line = f"{told(_part(answer.value, names))} · {status(answer)}"
        texts[answer.volume] = f"{texts.get(answer.volume, at(answer.volume, tr))}\n{line}"
    return texts


def _part(value: Value, names: Sequence[str]) -> Value:
    """Return of an object what a chart draws."""
    return {name: value.get(name) for name in names} if isinstance(value, Mapping) and names else value
