"""A run shown while it goes on: a calm screen in a terminal, now and then a plain line elsewhere.

A thread of its own draws it. While it holds the interpreter it goes before others, as the threads do that the loop waits for;
and the loop waits for no terminal.
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import Any

from rich.live import Live
from rich.text import Text

from rtbids.cli import console, screen
from rtbids.priority import first_in_line
from rtbids.run.progress import Progress

LOOK = 0.5  # seconds between two pictures


@contextmanager
def live(
    progress: Progress, describe: Callable[[], Mapping[str, Any]], on_screen: threading.Event, *, has_stdout: bool
) -> Iterator[None]:
    """Show a run until the end of the block; no screen where its feedback has the same terminal (`has_stdout`).

    `on_screen` is set while there is a screen: it says what a first Ctrl-C does.
    """
    if console.is_quiet():
        yield
        return
    is_shared = has_stdout and sys.stdout.isatty()
    if console.stderr.is_terminal and not is_shared:
        show = partial(_draw, describe, on_screen)
    else:
        show = partial(_say, progress)
    with console.beside(show):
        yield


def _draw(describe: Callable[[], Mapping[str, Any]], on_screen: threading.Event, over: threading.Event) -> None:
    try:
        with first_in_line(), Live(console=console.stderr, auto_refresh=False, transient=True, redirect_stdout=False) as view:
            on_screen.set()
            while not over.wait(LOOK):
                width, height = console.stderr.size
                # Warnings scroll by above; the last row is left free, for else a terminal scrolls by one each time.
                view.update(screen.draw(describe(), width, height - 1, time.time(), warnings=0), refresh=True)
    except Exception:  # the terminal may be gone: the run goes on
        console.logger.debug("the screen has ended", exc_info=True)
    finally:
        on_screen.clear()


def _say(progress: Progress, over: threading.Event) -> None:
    shown = 0
    last = time.monotonic()
    while not over.wait(0.5):
        if progress.volumes > shown and time.monotonic() - last >= console.STEP:
            shown, last = progress.volumes, time.monotonic()
            console.stderr.print(Text(console.line(progress)))
