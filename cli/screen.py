"""The status of a run as a screen: drawn alike by the run itself and by who asks it from another terminal.

What changes is at the same place each time, the newest bar is at the right end, and what has no room is left out whole: the
least important rows first.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from rich.text import Text

from rtbids.cli import sparkline
from rtbids.cli.screen_words import alternates, clock, link, link_place, machine, quality, short, size, span
from rtbids.cli.sparkline import Scale
from rtbids.plural import counted
from rtbids.run.one_line import printable

LABEL = 10  # columns
RIGHT = 24  # columns beside the bars: the latest number, and the scale
NARROW = 60  # columns; less, and the scale has a row of its own
STILL = 0.5  # mm: a head that moves less shows low bars
_STATES = {"running": "green", "loading": "yellow", "failed": "red", "stopping": "yellow"}
Fields: TypeAlias = Mapping[str, Any]


@dataclass(frozen=True)
class Row:
    """A row; where there is no room those of the highest `rank` go first, of all experiments alike."""

    rank: int
    text: Text


def draw(fields: Fields, width: int, height: int, now: float, *, warnings: int = 3) -> Text:
    """Return the screen of one run: `height` rows at most of `width` columns, with so many of the latest warnings."""
    rows = [Row(0, Text(f"process {fields['process']}: {fields['error']}"))] if "error" in fields else []
    rows = rows or [*_head(fields, width, now), *_experiments(fields, width), *_foot(fields, width, warnings)]
    while len(rows) > height and (least := max(row.rank for row in rows)):
        rows = [row for row in rows if row.rank < least]
    return Text("\n", no_wrap=True).join([_fitting(row.text, width) for row in rows[: max(1, height)]])


def _fitting(text: Text, width: int) -> Text:
    """Return a row that fits and does nothing to a terminal but show: what a script sends may hold anything."""
    shown = text if text.plain.isprintable() else Text(printable(text.plain).replace("\n", " "))
    shown.truncate(max(1, width), overflow="ellipsis")
    return shown


def _head(fields: Fields, width: int, now: float) -> Iterator[Row]:
    run = fields["run"] or ("between runs" if fields["runs"] else "waiting for the first volume")
    state = "ending" if fields["ending"] else "paused" if fields["paused"] else ""
    right = f"{state}  {span(now - fields['began'])}"
    gap = max(2, width - len(run) - len(right))
    yield Row(0, Text.assemble((run, "bold"), " " * gap, (right, "yellow" if state else "dim")))
    words = [f"{fields['volumes']}"]
    words += [f"TR {fields['repetition_time']:g} s"] if fields["repetition_time"] is not None else []
    words += [f"{fields['missing']} missing", f"{fields['unwritten']} to be written"]
    yield _words(1, "volumes", "   ".join(words))
    if fields["ending"]:
        yield Row(0, Text("stopping in order; Ctrl-C once more to stop at once", "yellow"))


def _experiments(fields: Fields, width: int) -> Iterator[Row]:
    for each in fields["experiments"]:
        yield Row(6, Text("─" * width, "dim"))
        title = Text.assemble((each["experiment"], "bold"), "  ", (each["state"], _STATES.get(each["state"], "")))
        if each["restarts"]:
            title.append(f"  {counted(each['restarts'], 'restart')}", "yellow")
        if each["expects_miss"]:
            title.append("  next expected late", "yellow")
        yield Row(2, title)
        yield from _feedback(each, width)
        if (design := fields["design"]) is not None:
            yield from _design(design, each["recent"]["volume"], width)
        yield from _motion(each, width)
        yield from _latency(each, width)
        yield _words(3, "answers", alternates(each), "yellow" if each["reasons"].get("deadline") else "")
        if words := quality(each):
            yield _words(5, "quality", words)
        if each["advice"]:
            yield from _wrapped(1, "too slow", each["advice"], width)


def _feedback(each: Fields, width: int) -> Iterator[Row]:
    recent = each["recent"]
    count = _bars(width)
    values, reasons = recent["value"][-count:], recent["reason"][-count:]
    limits = sparkline.scale(values)
    bars = Text()
    for value, reason in zip(values, reasons, strict=True):
        bars.append(*_bar(value, reason, limits))
    value = each["value"]
    if isinstance(value, Mapping):
        yield _words(1, "feedback", "   ".join(f"{name} {short(part)}" for name, part in value.items()))
        return
    latest = "" if value is None else f"{value:.4g}"
    yield from _spark(1, "feedback", bars, latest, "" if limits is None else str(limits), width)


def _bar(value: float | None, reason: str | None, limits: Scale | None) -> tuple[str, str]:
    """Return one cell and its style: an alternate is dim, a volume that never came a gap."""
    if reason == "missing":
        return sparkline.GAP, ""
    mark = sparkline.NONE if value is None or limits is None else limits.bar(value)
    return mark, "cyan" if reason is None else "dim"


def _design(design: Fields, volumes: Sequence[int], width: int) -> Iterator[Row]:
    """Yield a row with a letter for each volume that is in a condition, below the bar of its feedback."""
    conditions = dict(zip(design["volume"], design["condition"], strict=True))
    there = [conditions.get(volume) for volume in volumes[-_bars(width) :]]
    letters = sparkline.letters(name for name in design["condition"] if name is not None)
    latest = there[-1] if there else None
    bars = Text("".join(sparkline.GAP if name is None else letters[name] for name in there), "magenta")
    yield _beside(5, "task", bars, f"{latest or '-':>9}", width)


def _motion(each: Fields, width: int) -> Iterator[Row]:
    moved = each["displacements"][-_bars(width) :]
    if (limits := sparkline.scale(moved, within=(0.0, STILL))) is None or all(one is None for one in moved):
        return
    bars = Text("".join(sparkline.NONE if one is None else limits.bar(one) for one in moved), "blue")
    latest = "" if each["displacement"] is None else f"{each['displacement']:.2f} mm"
    yield from _spark(4, "motion", bars, latest, str(limits), width)


def _latency(each: Fields, width: int) -> Iterator[Row]:
    latencies, deadline = each["recent"]["latency"][-_bars(width) :], each["deadline"]
    if deadline is None or each["latency"] is None:  # volumes come before their turn: most of it is waiting
        return
    limits = Scale(0.0, deadline)
    bars = Text()
    for one in latencies:
        bars.append(sparkline.GAP if one is None else limits.bar(one), "yellow" if one and one >= deadline else "blue")
    yield from _spark(5, "latency", bars, _ms(each["latency"]), f"0 to {_ms(deadline)}", width)
    yield _words(4, "", "   ".join(f"{name} {_ms(seconds):>8}" for name, seconds in each["latencies"].items()))


def _foot(fields: Fields, width: int, warnings: int) -> Iterator[Row]:
    yield Row(6, Text("─" * width, "dim"))
    if (there := fields["resources"]) is not None:
        yield _words(4, "machine", machine(there))
        disk = "" if there["disk_free"] is None else f"   disk {size(there['disk_free'])} free"
        if there["memory"] and there["memory_free"] is not None:
            yield _words(5, "", f"memory {size(there['memory_free'])} of {size(there['memory'])} free{disk}")
    if fields["link"] is not None:
        yield _words(2, "link", link(fields["link"]), "" if fields["link"]["is_up"] else "red")
        yield _words(4, "", link_place(fields["link"]))
        if (far := fields["link"]["resources"]) is not None:
            yield _words(5, "", f"there: {machine(far)}")
    yield from _warnings(fields, warnings)


def _warnings(fields: Fields, most: int) -> Iterator[Row]:
    latest = fields["warnings"]
    last = f", the latest at {clock(latest[-1]['time'])}" if latest else ""
    yield _words(4, "warnings", f"{fields['warned']}{last}", "yellow" if latest else "")
    for each in latest[len(latest) - most :] if 0 < most < len(latest) else latest if most else ():
        yield Row(5, Text(f"{clock(each['time']):<{LABEL}}{each['message']}".replace("\n", " "), "yellow"))


def _spark(rank: int, label: str, bars: Text, latest: str, limits: str, width: int) -> Iterator[Row]:
    """Yield a row of bars with the latest number and the scale beside it, or below it where it is narrow."""
    row = _beside(rank, label, bars, f"{latest:>9}", width)
    if width >= NARROW:
        row.text.append(f"  {limits}", "dim")
    yield row
    if width < NARROW and limits:
        yield _words(rank + 4, "", limits, "dim")


def _beside(rank: int, label: str, bars: Text, words: str, width: int) -> Row:
    return Row(rank, Text.assemble((f"{label:<{LABEL}}", "dim"), " " * (_bars(width) - len(bars)), bars, f"  {words}"))


def _bars(width: int) -> int:
    """Return how many bars there is room for."""
    return max(1, width - LABEL - (RIGHT if width >= NARROW else 11) - 2)


def _words(rank: int, label: str, words: str, style: str = "") -> Row:
    return Row(rank, Text.assemble((f"{label:<{LABEL}}", "dim"), (words, style)))


def _wrapped(rank: int, label: str, words: str, width: int) -> Iterator[Row]:
    lines: Sequence[str] = textwrap.wrap(words, max(10, width - LABEL))
    for place, line in enumerate(lines):
        yield _words(rank if place == 0 else rank + 1, "" if place else label, line, "bold yellow")


def _ms(seconds: float | None) -> str:
    if seconds is None:
        return "n/a"
    return f"{1000 * seconds:.0f} ms" if seconds < 9.9995 else f"{seconds:.3g} s"
