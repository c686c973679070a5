"""How an outbox stands, drawn: as tables for a terminal, as lines for a pipe, as JSON for a program."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from rtbids.cli.held import noted
from rtbids.plural import counted
from rtbids.run.one_line import printable
from rtbids.send import reasons
from rtbids.send.states import State
from rtbids.send.status import BatchStatus, DestinationStatus, Status

if TYPE_CHECKING:
    from rtbids.send.outbox import Outbox

_SHOWN = 5  # reasons on the screen
ABOVE = 16 + _SHOWN  # lines of the screen that are not batches
_STYLES = {State.DONE: "green", State.SENT: "green", State.ERROR: "bold red"}


def as_json(outbox: Outbox, page: int, lines: int) -> dict[str, Any]:
    """Return the status for a program, without identifiers."""
    held = [{"reason": one.reason, "since": one.since} for one in noted(outbox.folder.root)]
    why = [asdict(one) for one in reasons.all_of(outbox)]
    return outbox.status(page - 1, lines).as_json() | {"unfinished": held, "reasons": why}


def status(outbox: Outbox, page: int, lines: int, width: int) -> RenderableType:
    """Return the status as a person at a terminal wants it."""
    found = outbox.status(page - 1, lines)
    parts: list[RenderableType] = [_heading(outbox, found), *_images(found, width), *_reasons(outbox)]
    parts += [Text(f"paused: {why}", style="yellow") for why in found.paused]
    if found.destinations:
        parts += ["", *_destinations(found)]
    if unfinished := list(noted(outbox.folder.root)):
        parts += ["", *(_unfinished(one.label, one.reason, found.now - one.since) for one in unfinished[:10])]
        parts += [f"and {len(unfinished) - 10} more that are not finished"] if len(unfinished) > 10 else []
    if found.page:
        parts += ["", _batches(found, width)]
    if more := _more(found, page, lines):
        parts.append(Text(more, style="dim"))
    return Group(*parts)


def _heading(outbox: Outbox, found: Status) -> Text:
    working = f"{found.working} sender{'s' if found.working > 1 else ''} at work" if found.working else "no sender at work"
    text = Text(no_wrap=True, overflow="ellipsis")
    text.append(working, style="green" if found.working else "yellow")
    text.append(f"   {found.free / 1e9:.0f} GB free   {printable(str(outbox.folder.root))}")
    return text


def _images(found: Status, width: int) -> Iterator[Text]:
    """Yield the states in one row, or where they do not fit in as few as do, about the same number in each."""
    counts = list(found.images.items())
    rows = next(rows for rows in range(1, len(counts) + 1) if rows == len(counts) or _fits(counts, rows, width))
    for number, row in enumerate(_in_rows(counts, rows)):
        text = Text("images" if number == 0 else "      ", no_wrap=True, overflow="ellipsis")
        for state, count in row:
            text.append(f"  {state} ", style="dim")
            text.append(str(count), style=_STYLES.get(state, "bold") if count else "dim")
        yield text
    if found.oldest is not None:
        yield Text(f"the oldest of those under way came {span(found.now - found.oldest)} ago")


def _fits(counts: Sequence[tuple[State, int]], rows: int, width: int) -> bool:
    return all(
        len("images") + sum(len(f"  {state} {count}") for state, count in row) <= width for row in _in_rows(counts, rows)
    )


def _in_rows(counts: Sequence[tuple[State, int]], rows: int) -> Iterator[Sequence[tuple[State, int]]]:
    ends = [len(counts) * row // rows for row in range(rows + 1)]
    return (counts[start:end] for start, end in pairwise(ends))


def _reasons(outbox: Outbox) -> Iterator[Text]:
    """Yield why images are in ERROR or are put off, and how to see which."""
    found = reasons.all_of(outbox)
    for one in found[:_SHOWN]:
        style = _STYLES[State.ERROR] if one.state is State.ERROR else "yellow"
        yield Text(f"{one.state} {one.images}: {printable(one.reason)}", style=style, no_wrap=True, overflow="ellipsis")
    if len(found) > _SHOWN:
        yield Text(f"and for {counted(len(found) - _SHOWN, 'more reason')}", style="dim")
    if any(one.state is State.ERROR for one in found):
        yield Text(f"which images: rtbids send show BATCH --errors{outbox.named}", style="dim")


def _destinations(found: Status) -> Iterator[RenderableType]:
    """Yield a table of the destinations, and beneath it a line for each that gives trouble."""
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim", expand=False)
    table.add_column("destination", overflow="fold")
    for name in ("to send", "sent", "errors"):
        table.add_column(name, justify="right", no_wrap=True)
    for one in found.destinations:
        error = Text(str(one.errors) if one.errors else "", style="bold red")
        table.add_row(Text(printable(one.url)), str(one.waiting), str(one.sent), error)
    yield table
    for one in found.destinations:
        words, style = _standing(one, found.now)
        if words:
            yield Text(f"{printable(one.url)} is {words}", style=style)


def _standing(one: DestinationStatus, now: float) -> tuple[str, str]:
    """Say in words how a destination does."""
    then = f", next try in {span(one.next_try - now)}" if one.next_try is not None and one.next_try > now else ""
    why = f": {printable(one.reason).removeprefix(f'{one.url}: ')}" if one.reason else ""
    if not one.active:
        return "not in use", "dim"
    if one.since is not None:
        return f"down for {span(now - one.since)}{then}{why}", "yellow"
    return (f"up, and does not take some images{then}{why}", "yellow") if one.reason else ("", "")


def _unfinished(label: str, reason: str, seconds: float) -> Text:
    return Text(f"not finished for {span(seconds)}: {printable(label)}: {printable(reason)}", style="yellow")


def _batches(found: Status, width: int) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim", expand=False)
    table.add_column("batch", justify="right")
    table.add_column("came", no_wrap=True)
    table.add_column("state", no_wrap=True)
    table.add_column("images", justify="right")
    table.add_column("errors", justify="right")
    table.add_column("in", justify="right", no_wrap=True)
    table.add_column("folder or series", overflow="ellipsis", no_wrap=True, max_width=max(16, width - 62))
    for one in found.page:
        error = Text(str(one.errors) if one.errors else "", style="bold red")
        state = Text(one.state, style=_STYLES.get(one.state, ""))
        label = Text(printable(one.label or one.reason or ""), style="red" if one.reason else "")
        lasted = span(one.changed - one.added)
        table.add_row(str(one.batch), moment(one.added, found.now), state, str(one.images), error, lasted, label)
    return table


def _more(found: Status, page: int, lines: int) -> str:
    total = sum(found.batches.values())
    first = (page - 1) * lines
    if first + len(found.page) < total:
        return f"batches {first + 1} to {first + len(found.page)} of {total}, newest first; older ones: --page {page + 1}"
    return "" if total else "nothing has been taken in yet"


def plain(outbox: Outbox, page: int, lines: int) -> Iterator[str]:
    """Yield the status in lines of words and tabs; folders have no names there, for the lines may end in a log."""
    found = outbox.status(page - 1, lines)
    yield f"senders\t{found.working}"
    yield from (f"paused\t{why}" for why in found.paused)
    yield from (f"images\t{state}\t{count}" for state, count in found.images.items())
    yield from (f"reason\t{one.state}\t{one.images}\t{one.reason}" for one in reasons.all_of(outbox))
    for one in found.destinations:
        words, _ = _standing(one, found.now)
        yield f"destination\t{one.url}\t{one.waiting} to send\t{one.sent} sent\t{one.errors} in error\t{words or 'up'}"
    yield from (f"unfinished\t{span(found.now - held.since)}\t{held.reason}" for held in noted(outbox.folder.root))
    yield from map(_plain_batch, found.page)


def _plain_batch(one: BatchStatus) -> str:
    words = ["batch", str(one.batch), one.state, f"{one.images} images", f"{one.errors} errors", _utc(one.added)]
    return "\t".join([*words, *([one.reason] if one.reason else [])])


def span(seconds: float) -> str:
    """Return ``12 s``, ``3 min``, ``5 h``, ``2 d``.

    Examples
    --------
    >>> [span(seconds) for seconds in (0.3, 59, 61, 7300, 200000)]
    ['0 s', '59 s', '1 min', '2 h', '2 d']
    """
    for unit, word in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= unit:
            return f"{int(seconds // unit)} {word}"
    return f"{max(0, int(seconds))} s"


def moment(at: float, now: float) -> str:
    """Return the time of day, with the date where it is another day."""
    then, today = time.localtime(at), time.localtime(now)
    return time.strftime("%H:%M:%S" if then[:3] == today[:3] else "%Y-%m-%d", then)


def _utc(at: float) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(at))
