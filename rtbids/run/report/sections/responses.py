"""The part of a report that shows the events: those that were known beforehand, and what was sent during the run."""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape

import numpy as np

from rtbids.bids.events import Event
from rtbids.plural import counted
from rtbids.run.report.figures import legends
from rtbids.run.report.figures.charts import Plot
from rtbids.run.report.figures.condition_marks import MOST, Stretch, samples, stretches, styles_of
from rtbids.run.report.figures.scales import Scale, number
from rtbids.run.report.findings import Findings
from rtbids.run.report.markup import figure, folded, seconds, table
from rtbids.run.responses.responses import Response

_ROW = 20  # pixels
_MOST_ROWS = 8
_MOST_LINES = 500
_SHORT = 15  # characters that fit beside a chart


def events(found: Findings) -> str:
    """Return the section: what happened along the run, and the tables of conditions and of responses."""
    return "".join([_timeline(found), _conditions(found), _responses(found.responses)])


def clock_difference(responses: Sequence[Response]) -> float:
    """Return by how many seconds the senders' clock is ahead of ours, in the median; NaN where none told its time."""
    found = [one.sender_time - one.arrived for one in responses if one.sender_time is not None]
    return float(np.median(found)) if found else math.nan


def _timeline(found: Findings) -> str:
    """Draw a row for each condition and for each kind of response."""
    bars, presses = _bars(found), _rows(found.responses)
    if math.isnan(found.repetition_time) or found.repetition_time <= 0 or not found.length or not (bars or presses):
        return ""
    count = len(bars) + len(presses)
    plot = Plot(found.length, Scale(0.0, float(count)), height=_ROW * max(count, 2))
    layers = [_bar(plot, one, found, count - place - 0.5) for place, row in enumerate(bars.values()) for one in row]
    layers += [_presses(found, plot, row, count - place - 0.5) for place, row in enumerate(presses.values(), len(bars))]
    named = [*bars, *presses]
    names = {count - place - 0.5: name if len(name) <= _SHORT else f"{name[: _SHORT - 1]}…" for place, name in enumerate(named)}
    told = "; ".join(f"{name}: {len(row)}" for name, row in presses.items())
    chart = plot.drawn(
        "events-chart", "Events along the run", f"{told}.", layers, names=names, repetition_time=found.repetition_time
    )
    entries = [*samples(found), *([(legends.symbol_sample("press"), "sent during the run")] if presses else [])]
    return figure(chart + legends.legend(entries))


def _bar(plot: Plot, one: Stretch, found: Findings, middle: float) -> str:
    return plot.bar(one.start, one.stop, styles_of(found)[one.condition], middle)


def _bars(found: Findings) -> dict[str, list[Stretch]]:
    """Group the events into rows: a condition each, and those that share their marks one."""
    styles, rows = styles_of(found), dict[str, list[Stretch]]()
    for one in stretches(found):
        shared = styles[one.condition] == f"b{MOST + 1}"
        rows.setdefault("others" if shared else one.condition or "event", []).append(one)
    return rows


def _rows(responses: Sequence[Response]) -> dict[str, list[Response]]:
    """Group responses by name and value; where there are too many kinds, by name alone."""
    for key in (lambda one: f"{one.name} {one.value}".strip(), lambda one: one.name, lambda one: "responses"):
        groups: dict[str, list[Response]] = {}
        for response in responses:
            groups.setdefault(key(response), []).append(response)
        if len(groups) <= _MOST_ROWS:
            break
    return dict(sorted(groups.items()))


def _presses(found: Findings, plot: Plot, responses: Sequence[Response], middle: float) -> str:
    """Put a symbol at each; a chart counts from the middle of a volume's column."""
    return plot.symbols(((place - 0.5, middle) for place in _places(found, responses)), "press")


def _places(found: Findings, responses: Sequence[Response]) -> list[float]:
    """Return where responses lie in volumes from the beginning: by their arrival among the volumes', whatever their pace was.

    A volume is received when its column ends.
    """
    received = found.times["received"]
    known = np.flatnonzero(np.isfinite(received))
    if known.size < 2:
        return [one.onset / found.repetition_time for one in responses]
    pace = float(np.ptp(received[known])) / int(np.ptp(known)) or found.repetition_time
    first, last = int(known[0]), int(known[-1])
    moments = [received[first] - (first + 1) * pace, *received[known], received[last] + pace]
    places = np.interp([one.arrived for one in responses], moments, [0.0, *(known + 1.0), last + 2.0])
    return [float(place) for place in places]


def _conditions(found: Findings) -> str:
    rows = [_condition(name, [event for event in found.events.rows if event.trial_type == name]) for name in styles_of(found)]
    head = ("event", "times", "first onset", "total duration", "mean duration")
    return table("Events known beforehand", head, rows) if rows else ""


def _condition(name: str, events: Sequence[Event]) -> tuple[str, ...]:
    total = sum(event.duration for event in events)
    onset = min(event.onset for event in events)
    return name or "event", str(len(events)), *(f"{number(value)} s" for value in (onset, total, total / len(events)))


def _responses(responses: Sequence[Response]) -> str:
    if not responses:
        return ""
    rows = [_line(one) for one in responses[:_MOST_LINES]]
    head = ("event", "value", "here", "on the sender's clock", "sender's clock ahead by", "after volume")
    more = f", the first {_MOST_LINES}" if len(responses) > _MOST_LINES else ""
    lines = table(f"Time from the beginning of the first volume{more}", head, rows)
    return f"<p>{escape(_in_words(responses))}</p>" + folded(f"Every response ({len(responses)})", lines)


def _line(one: Response) -> tuple[str, ...]:
    ahead = math.nan if one.sender_time is None else one.sender_time - one.arrived
    return (
        one.name,
        one.value or "n/a",
        f"{one.onset:.3f} s",
        "n/a" if math.isnan(ahead) else f"{one.onset + ahead:.3f} s",
        signed(ahead),
        str(one.after_volume),
    )


def signed(value: float) -> str:
    """Return seconds with their sign, which may be negative."""
    return seconds(value).replace("-", "−")


def _in_words(responses: Sequence[Response]) -> str:
    kinds = ", ".join(f"{name} ({len(found)})" for name, found in _rows(responses).items())
    words = f"{counted(len(responses), 'response')} came in during the run: {kinds}."
    ahead = clock_difference(responses)
    if math.isnan(ahead):
        return f"{words} The senders did not say when on their own clock."
    side = "ahead of" if ahead > 0 else "behind"
    return f"{words} In the median the sender's time was {seconds(abs(ahead))} {side} the arrival here, the way included."
