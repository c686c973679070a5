"""One line on how a stream moves: it changes in a terminal; elsewhere it is said now and then, and at the end."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial

from rich.live import Live
from rich.text import Text

from rtbids.cli import console
from rtbids.plural import counted
from rtbids.stream.branch import Branch

LOOK = 0.5  # seconds
MB = 1e6


@contextmanager
def shown(branches: Sequence[Branch]) -> Iterator[None]:
    """Show how far each destination is until the end of the block, then say it once more."""
    if console.is_quiet():
        yield
        return
    show = _show_live if console.stderr.is_terminal else _show_plain
    with console.beside(partial(show, branches)):
        yield
    for one in branches:
        console.say(line(one, None))


def line(branch: Branch, rate: float | None) -> str:
    """Return ``study: 120 images  1.2 MB/s  3 waiting``; `rate` is in bytes/s, None where nothing moves any more."""
    count = branch.count
    parts = [f"{branch.name}: {counted(count.images, 'image')}"]
    parts += [f"{rate / MB:.1f} MB/s"] if rate is not None else [f"{count.size / MB:.1f} MB"]
    parts += [f"{count.waiting} waiting"] if count.waiting else []
    parts += [f"{count.dropped} dropped"] if count.dropped else []
    parts += branch.says()
    return "  ".join(parts)


class Rates:
    """How fast each destination takes, from one look to the next."""

    def __init__(self, branches: Sequence[Branch]) -> None:
        self._branches = branches
        self._before = {one.name: (time.monotonic(), one.count.size) for one in branches}

    def lines(self) -> Iterator[str]:
        for one in self._branches:
            now, size = time.monotonic(), one.count.size
            then, before = self._before[one.name]
            self._before[one.name] = now, size
            yield line(one, (size - before) / max(now - then, 1e-3))


def _show_live(branches: Sequence[Branch], over: threading.Event) -> None:
    rates = Rates(branches)
    with Live(console=console.stderr, auto_refresh=False, transient=True) as view:
        while not over.wait(LOOK):
            view.update(Text("\n".join(rates.lines())), refresh=True)


def _show_plain(branches: Sequence[Branch], over: threading.Event) -> None:
    rates = Rates(branches)
    while not over.wait(console.STEP):
        for text in rates.lines():
            console.stderr.print(Text(text))
