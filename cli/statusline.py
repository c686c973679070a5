"""One line on how an outbox stands while it is worked on: it changes in a terminal; elsewhere it is said now and then."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

from rich.live import Live
from rich.text import Text

from rtbids.cli import console
from rtbids.errors import RtbidsError
from rtbids.send.outbox import Outbox
from rtbids.send.states import State
from rtbids.send.status import Status

LOOK = 0.5  # seconds
_WORDS = {
    State.NEW: "new",
    State.PROCESSING: "being de-identified",
    State.DONEPROCESSING: "to send",
    State.SENT: "sent",
    State.DONE: "done",
    State.SKIPPED: "left out",
    State.ERROR: "in error",
}


@contextmanager
def shown(outbox: Outbox) -> Iterator[None]:
    """Show how the outbox stands until the end of the block."""
    if console.is_quiet():
        yield
        return
    with console.beside(partial(_show_live if console.stderr.is_terminal else _show_plain, outbox)):
        yield


def line(status: Status) -> str:
    """Return ``12 batches: 3 to send  200 done  1 in error  dicom://… does not answer``."""
    batches = sum(status.batches.values())
    if not batches:
        return "no batch yet"
    parts = [f"{batches} batch{'es' if batches > 1 else ''}, images:"]
    parts += [f"{count} {_WORDS[state]}" for state, count in status.images.items() if count]
    parts += [f"{one.url} does not answer" for one in status.destinations if one.active and one.since is not None]
    return "  ".join(parts + list(status.paused))


def _show_live(outbox: Outbox, over: threading.Event) -> None:
    with Live(console=console.stderr, auto_refresh=False, transient=True) as view:
        while not over.wait(LOOK):
            if (text := _line(outbox)) is not None:
                view.update(Text(text, no_wrap=True, overflow="ellipsis"), refresh=True)


def _show_plain(outbox: Outbox, over: threading.Event) -> None:
    said, last = "no batch yet", time.monotonic()
    while not over.wait(LOOK):
        if time.monotonic() - last >= console.STEP and (text := _line(outbox)) not in (None, said):
            said, last = str(text), time.monotonic()
            console.stderr.print(Text(said))


def _line(outbox: Outbox) -> str | None:
    try:
        return line(outbox.status(per_page=1))
    except RtbidsError:  # a database that does not answer is said by those who work on it
        return None
