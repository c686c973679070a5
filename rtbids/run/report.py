"""The report of one run: a page that stands alone, for the person who ran it and for a colleague elsewhere.

It is written from files of the study only, and holds no names beyond BIDS labels and no dates. It needs no network and no
script; its own content security policy says so.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from html import escape
from importlib import resources
from pathlib import Path

import numpy as np

from rtbids.errors import cannot_write
from rtbids.run import analysis_sections, charts, findings
from rtbids.run.charts import number
from rtbids.run.curves import tally, why
from rtbids.run.feedback_section import feedback
from rtbids.run.findings import Findings
from rtbids.run.markup import counted, items, long_time, percent, ranges, seconds, table, without_folders
from rtbids.run.measures import Summary, span, summary
from rtbids.run.pictures import Slice, data_uri
from rtbids.run.timing_sections import latency, volumes

_POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"


def write(
    study: Path,
    entities: Mapping[str, str],
    destination: Path,
    *,
    warnings: Sequence[str] = (),
    faults: Sequence[str] = (),
    experiment: Mapping[str, object] | None = None,
    truth: Sequence[float] | None = None,
) -> None:
    """Write the report of a run, replacing an earlier one only when the new one is whole.

    Parameters
    ----------
    study
        The BIDS data set; tables are read from its ``derivatives/rtbids``. What is not there is left out of the report.
    entities
        The run, by long names and labels as written.
    destination
        The HTML file; its folder is made.
    warnings, faults
        Lines to list beside what the report itself finds amiss.
    experiment
        How the feedback was made: ``file`` (experiment.py; only its name is shown), ``sha256`` of it (read from the file
        where it is not given), ``settings`` (name → value), ``rois`` (name → mask, whose outlines are drawn); other entries
        are shown as they are. For several experiments, name → such a mapping.
    truth
        What the feedback should have been, by volume index, where it is known (a simulation).

    Raises
    ------
    CannotWrite
        Where `destination` cannot be written.
    """
    found = findings.read(study, entities, warnings=warnings, faults=faults, experiment=experiment, truth=truth)
    page = render(found)
    whole = destination.with_name(f".{os.getpid()}.{destination.name}")
    try:
        destination.parent.mkdir(parents=True, exist_ok=True)
        whole.write_text(page, encoding="utf-8")
        os.replace(whole, destination)
    except OSError as error:
        with suppress(OSError):
            whole.unlink()
        raise cannot_write(destination, error) from None


def render(found: Findings) -> str:
    """Return the page."""
    sections = (
        ("Feedback", feedback(found)),
        ("Latency by stage", latency(found)),
        ("Volumes", volumes(found)),
        *analysis_sections.sections(found),
        ("Brain", _brain(found)),
        ("Warnings and faults", _troubles(found)),
        ("How it was made", _made(found)),
    )
    style = resources.files("rtbids.run").joinpath("page.css").read_text(encoding="utf-8")
    body = "".join(f'<section id="{_id(title)}"><h2>{title}</h2>{content}</section>' for title, content in sections)
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1"><meta name="color-scheme" content="light dark">'
        f"<title>{escape(found.name)} · rtbids</title><style>{style}</style></head><body>{charts.SYMBOLS}<main>"
        f"{_heading(found)}{body}"
        "<footer>Volumes are counted from 0. Times are given from the start of the run.</footer></main></body></html>\n"
    )


def _id(title: str) -> str:
    return title.lower().replace(" ", "-")


def _heading(found: Findings) -> str:
    facts = "".join(
        f"<div><dt>{escape(label)}</dt><dd>{escape(figure)}{f'<small>{escape(note)}</small>' if note else ''}</dd></div>"
        for label, figure, note in _facts(found)
    )
    lead = f"Real-time fMRI run · {', '.join(found.experiments) or 'no experiment answered'}"
    return (
        f'<header><h1>{escape(found.name)}</h1><p class="lead">{escape(lead)}</p>'
        f'<p class="verdict">{escape(_verdict(found))}</p><dl class="facts">{facts}</dl></header>'
    )


def _verdict(found: Findings) -> str:
    """Say in one sentence or two whether the run went well."""
    counts = tally(found.answers)
    if not found.count and not counts.given:
        return "Nothing was received and no feedback was given."
    came = "Every volume came" if not found.missing else f"{counted(len(found.missing), 'volume')} never came"
    if not counts.given:
        return f"{came}; no feedback was given."
    if counts.ok == counts.given:
        return f"{came}, and every volume was answered in time."
    return f"{came}; {percent(counts.ok, counts.given)} of feedback was answered in time, the rest were alternates."


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
    return f"received within {long_time(took)}"


def _brain(found: Findings) -> str:
    if not found.brain:
        return "<p>No picture: the run's volumes could not be read, or there are none.</p>"
    names = list(dict.fromkeys(name for piece in found.brain for name in piece.outlines))
    entries = [(_outline_sample(place), name) for place, name in enumerate(names)]
    pictures = "".join(_picture(piece, names) for piece in found.brain)
    return (
        f"<p>Mean of {counted(found.averaged, 'volume')}, axial slices from inferior to superior (z in mm, scanner space). "
        "The left of a picture is the subject's left, the top is anterior.</p>"
        f'<figure><div class="slices">{pictures}</div>{charts.legend(entries)}</figure>'
    )


def _picture(piece: Slice, names: Sequence[str]) -> str:
    """Draw one slice in voxels, stretched to millimetres."""
    rows, columns = piece.grey.shape
    width, height = piece.millimetres
    outlines = "".join(
        f'<path class="outline o{names.index(name) % 6 + 1}" d="{path}"/>' for name, path in piece.outlines.items()
    )
    held = f", with {', '.join(piece.outlines)}" if piece.outlines else ""
    label = f"axial slice at z = {piece.z:.0f} mm{held}"
    return (
        f'<div><svg viewBox="0 0 {columns} {rows}" preserveAspectRatio="none" style="aspect-ratio:{width:.1f}/{height:.1f}" '
        f'role="img" aria-label="{escape(label)}"><image width="{columns}" height="{rows}" preserveAspectRatio="none" '
        f'href="{data_uri(piece.grey)}"/>{outlines}</svg>{f"{piece.z:.0f}".replace("-", "−")}</div>'
    )


def _outline_sample(place: int) -> str:
    return (
        '<svg class="sample on-black" width="26" height="14" aria-hidden="true">'
        f'<path class="outline o{place % 6 + 1}" d="M3 7H23"/></svg>'
    )


def _troubles(found: Findings) -> str:
    parts = []
    for title, texts in (("Faults", found.faults), ("Warnings", found.warnings)):
        parts.append(f"<h3>{title}</h3>" + (items(texts) if texts else "<p>None.</p>"))
    return "".join(parts)


def _made(found: Findings) -> str:
    rows = [*found.made_with.items(), *_described(found.experiment)]
    out = table("Software, machine and experiment", (), rows, "words")
    if found.sources:
        out += "<h3>Read from</h3><p>These files of the study are the record; this page is drawn from them.</p>" + items(
            found.sources
        )
    return out


def _described(entries: Mapping[str, object], above: str = "") -> Iterator[tuple[str, str]]:
    """Yield label and text of every entry, those of a mapping under its name; of a path only the last part."""
    for name, value in entries.items():
        label = f"{above}{name}"
        if isinstance(value, Mapping):
            yield from _described({str(key): part for key, part in value.items()}, f"{label} · ")
        else:
            yield _TITLES.get(label, label), _told(name, value)


def _told(name: str, value: object) -> str:
    if value is None:
        return "default"
    text = str(value)
    if isinstance(value, Path) or name in {"file", "script"} or text.startswith("/"):
        return Path(text).name
    return without_folders(text)


_TITLES = {"file": "Experiment file", "script": "Experiment file", "sha256": "Its SHA-256", "name": "Experiment"}
