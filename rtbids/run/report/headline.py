"""The top of a report: what to look at, how the run went in plain words, and its key figures."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from html import escape

import numpy as np

from rtbids.plural import counted
from rtbids.run.report.concerns import concerns, farthest
from rtbids.run.report.curves import tally, why
from rtbids.run.report.due_times import due_times
from rtbids.run.report.figures.scales import number
from rtbids.run.report.findings import Findings
from rtbids.run.report.markup import long_time, percent, ranges, seconds
from rtbids.run.report.measures import Summary, span, summary


def heading(found: Findings) -> str:
    """Return the top of the page."""
    facts = "".join(
        f"<div><dt>{escape(label)}</dt><dd>{escape(figure)}{f'<small>{escape(note)}</small>' if note else ''}</dd></div>"
        for label, figure, note in _facts(found)
    )
    lead = f"Real-time fMRI run · {', '.join(found.experiments) or 'no experiment answered'}"
    return (
        f'<header><h1>{escape(found.name)}</h1><p class="lead">{escape(lead)}</p>{_to_look_at(found)}'
        f'<p class="verdict">{escape(" ".join(sentences(found)))}</p><dl class="facts">{facts}</dl></header>'
    )


def _to_look_at(found: Findings) -> str:
    """List what is wrong, each with a way to where it is shown."""
    listed = concerns(found)
    if not listed:
        return '<p class="well"><strong>Nothing to look at:</strong> no fault, no warning, nothing missing or late.</p>'
    entries = "".join(f'<li><a href="#{concern.section}">{escape(concern.text)}</a></li>' for concern in listed)
    words = counted(len(listed), "thing")
    return f'<section class="look" aria-labelledby="look"><h2 id="look">{words} to look at</h2><ul>{entries}</ul></section>'


def sentences(found: Findings) -> Iterator[str]:
    """Say how the run went, as one would to a colleague."""
    yield _came(found)
    if found.experiments:
        yield _in_time(found)
    moved = farthest(found)
    if math.isfinite(moved):
        yield f"From one volume to the next the head moved {moved:.1f} mm at most."
    if quality := found.derived.get("quality"):
        known = quality.floats("tsnr", quality.length)
        known = known[np.isfinite(known)]
        if known.size:
            yield f"The temporal signal-to-noise ratio was {known[-1]:.0f} at the end."
    if found.responses:
        yield f"{counted(len(found.responses), 'response')} came in."


def _came(found: Findings) -> str:
    total = found.count + len(found.missing)
    if not total:
        return "Nothing was received." if found.answers else "Nothing was received and no feedback was given."
    came = (
        f"{found.count} of {total} volumes came"
        if found.missing
        else f"All {total} volumes came"
        if total > 1
        else "The one volume came"
    )
    return f"{came}." if found.answers else f"{came}; no feedback was given."


def _in_time(found: Findings) -> str:
    when = "feedback in time" if due_times(found).limits else "feedback"
    tallies = {name: tally(found.of(name)) for name in found.experiments}
    counts = [f"{counts.ok} of {counts.given}" for counts in tallies.values()]
    if len(tallies) == 1:
        return f"{counts[0]} {'volume' if found.length == 1 else 'volumes'} had {when}."
    each = ", ".join(f"{name} {count}" for name, count in zip(tallies, counts, strict=True))
    return f"Volumes with {when}: {each}."


def _facts(found: Findings) -> Iterator[tuple[str, str, str]]:
    counts, figures = tally(found.answers), _latency(found)
    yield "Volumes received", str(found.count), ""
    yield "Missing volumes", str(len(found.missing)), _which(found.missing)
    yield "Repetition time (TR)", f"{number(found.repetition_time)} s" if math.isfinite(found.repetition_time) else "n/a", ""
    yield "Duration", long_time(found.length * found.repetition_time), _pace(found)
    yield "Feedback ok", percent(counts.ok, counts.given), f"{counts.ok} of {counts.given}"
    yield (
        "Alternates",
        percent(counts.alternate, counts.given),
        f"{counts.alternate} of {counts.given}{_because(counts.reasons)}",
    )
    yield "Late answers", str(counts.late), "recorded, not shown" if counts.late else ""
    yield "Median latency", seconds(figures.median), "received → sent"
    yield "99th percentile", seconds(figures.p99), "received → sent"
    yield "Worst latency", seconds(figures.worst), _slowest(found)


def _which(missing: Sequence[int]) -> str:
    return ranges(missing) if len(missing) <= 6 else f"first {missing[0]}, last {missing[-1]}"


def _because(reasons: Mapping[str, int]) -> str:
    return f": {why(reasons)}" if reasons else ""


def _latency(found: Findings) -> Summary:
    return summary(span(found.times, "received", "sent"))


def _slowest(found: Findings) -> str:
    total = span(found.times, "received", "sent")
    return f"volume {int(np.nanargmax(total))}" if np.isfinite(total).any() else ""


def _pace(found: Findings) -> str:
    """Say within what time the volumes came: a replay may be faster than the scanner."""
    received = found.times["received"][np.isfinite(found.times["received"])]
    if received.size < 2:
        return ""
    took = float(np.ptp(received))
    return f"received within {seconds(took) if took < 60 else long_time(took)}"
