"""Pieces of HTML and the way a report writes its numbers."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from html import escape

from rtbids.run.record.provenance import without_folders
from rtbids.run.report.figures.scales import clock, number
from rtbids.run.stretches import stretches


def seconds(value: float) -> str:
    """Return a latency in three digits: ms below one second, s above."""
    if not math.isfinite(value):
        return "n/a"
    if abs(value) >= 0.9995:
        return f"{_three(value)} s"
    return f"{_three(value * 1000)} ms"


def _three(value: float) -> str:
    return f"{value:.2f}" if abs(value) < 9.995 else f"{value:.1f}" if abs(value) < 99.95 else f"{value:.0f}"


def long_time(value: float) -> str:
    """Return a time such as ``5 min 10 s``."""
    if not math.isfinite(value):
        return "n/a"
    if value < 60:
        return f"{number(value)} s"
    return f"{round(value) // 60} min {round(value) % 60} s"


def percent(part: int, whole: int) -> str:
    return f"{100 * part / whole:.1f} %" if whole else "n/a"


def ranges(indices: Iterable[int]) -> str:
    """Return ``3, 7–9`` for 3, 7, 8, 9."""
    return ", ".join(f"{first}" if first == last else f"{first}–{last}" for first, last in stretches(indices))


def shortened(volumes: Iterable[int], most: int = 12) -> str:
    """Return ranges of volumes, and how many more there are where they are many."""
    parts = ranges(volumes).split(", ")
    return ", ".join(parts[:most]) + (f" and {len(parts) - most} more" if len(parts) > most else "")


def at(volume: int, repetition_time: float) -> str:
    """Name a volume and its time in the run."""
    return f"volume {volume}" + (f" · {clock(volume * repetition_time)}" if math.isfinite(repetition_time) else "")


def items(texts: Sequence[str]) -> str:
    return f'<ul class="items">{"".join(f"<li>{escape(without_folders(text))}</li>" for text in texts)}</ul>'


def table(caption: str, head: Sequence[str], rows: Iterable[Sequence[str]], style: str = "", total: bool = False) -> str:
    """Return a table whose first column names the rows; cells are plain text; `total` sets off the last row."""
    lines = [_row(row) for row in rows]
    if total and lines:
        lines[-1] = lines[-1].replace("<tr>", '<tr class="total">', 1)
    top = "".join(f'<th scope="col">{escape(name)}</th>' for name in head)
    return (
        f'<p class="note caption">{escape(caption)}</p>'
        f'<div class="scroll" role="region" tabindex="0" aria-label="{escape(caption)}">'
        f'<table class="{style}" aria-label="{escape(caption)}">'
        f"{f'<thead><tr>{top}</tr></thead>' if head else ''}<tbody>{''.join(lines)}</tbody></table></div>"
    )


def _row(cells: Sequence[str]) -> str:
    first, *rest = cells
    return f'<tr><th scope="row">{escape(first)}</th>{"".join(f"<td>{escape(cell)}</td>" for cell in rest)}</tr>'


def folded(summary: str, content: str) -> str:
    """Return what opens when somebody asks for it."""
    return f"<details><summary>{escape(summary)}</summary>{content}</details>"


def beside(*figures: str) -> str:
    """Put figures side by side where there is room."""
    return f'<div class="small">{"".join(figures)}</div>'


def figure(chart: str, caption: str = "") -> str:
    return f"<figure>{chart}{f'<figcaption>{escape(caption)}</figcaption>' if caption else ''}</figure>"
