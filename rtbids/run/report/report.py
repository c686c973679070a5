"""The report of one run: a page that stands alone, for the person who ran it and for a colleague elsewhere.

It is written from files of the study only, and holds no names beyond BIDS labels and no dates. It needs no network and no
script; its own content security policy says so.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from html import escape
from importlib import resources
from pathlib import Path

from rtbids.errors import cannot_write
from rtbids.run.report import gather
from rtbids.run.report.figures import legends
from rtbids.run.report.findings import Findings
from rtbids.run.report.headline import heading
from rtbids.run.report.markup import items
from rtbids.run.report.sections import analysis
from rtbids.run.report.sections.brain import brain
from rtbids.run.report.sections.deadlines import kept
from rtbids.run.report.sections.feedback import feedback
from rtbids.run.report.sections.made import made
from rtbids.run.report.sections.responses import events
from rtbids.run.report.sections.timing import latency, volumes

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
    found = gather.read(study, entities, warnings=warnings, faults=faults, experiment=experiment, truth=truth)
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
    parts = _sections(found)
    style = resources.files("rtbids.run.report").joinpath("page.css").read_text(encoding="utf-8")
    body = "".join(f'<section id="{_id(title)}"><h2>{title}</h2>{content}</section>' for title, content in parts)
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1"><meta name="color-scheme" content="light dark">'
        f"<title>{escape(found.name)} · rtbids</title><style>{style}</style></head><body>{legends.SYMBOLS}<main>"
        f"{heading(found)}{_contents(title for title, _ in parts)}{body}"
        "<footer>Volumes are counted from 0. Times are given from the start of the run.</footer></main></body></html>\n"
    )


def _sections(found: Findings) -> list[tuple[str, str]]:
    """Return title and content of each section, without those that there is nothing to say in."""
    happened = events(found)
    return [
        ("Feedback", feedback(found)),
        ("Deadlines and alternates", kept(found)),
        *([("Events and responses", happened)] if happened else []),
        ("Latency by stage", latency(found)),
        ("Volumes", volumes(found)),
        *analysis.sections(found),
        ("Brain", brain(found)),
        ("Warnings and faults", _troubles(found)),
        ("How it was made", made(found)),
    ]


def _contents(titles: Iterable[str]) -> str:
    links = "".join(f'<li><a href="#{_id(title)}">{title}</a></li>' for title in titles)
    return f'<nav aria-label="Sections"><ul>{links}</ul></nav>'


def _id(title: str) -> str:
    return title.lower().replace(" ", "-")


def _troubles(found: Findings) -> str:
    parts = []
    for title, texts in (("Faults", found.faults), ("Warnings", found.warnings)):
        parts.append(f"<h3>{title}</h3>" + (items(texts) if texts else "<p>None.</p>"))
    return "".join(parts)
