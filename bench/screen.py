"""What the screen of a run costs: how late alternates leave with it and without, and the time of a picture."""

from __future__ import annotations

import json
import os
import pty
import tempfile
import termios
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

import deadlines
import numpy as np
from rich.console import Console

from rtbids import private
from rtbids.cli import console, live, screen
from rtbids.priority import first_in_line
from rtbids.run.control.control import Control
from rtbids.run.control.lookout import Lookout
from rtbids.run.control.status import described
from rtbids.run.process.launcher import Launcher
from rtbids.run.session import Session

NAMES = ("hanging", "steady")
ABOUT = {"process": 1, "version": "0", "began": 0.0, "source": "here", "data_set": None}
CLIENTS = 4


def measure() -> Iterator[str]:
    """Measure without anything beside, then with the screen, the look at the machine, and clients that ask every second."""
    costs: list[str] = []

    @contextmanager
    def shown(session: Session) -> Iterator[None]:
        with _terminal() as terminal, Lookout(session, Path("/")):
            before, console.stderr = console.stderr, terminal
            try:
                drawn = live.live(session.progress, lambda: described(session, ABOUT), threading.Event(), has_stdout=False)
                with drawn, _asked(session):
                    yield
                costs.extend(_costs(session))
            finally:
                console.stderr = before

    for title, beside in (("without", None), ("with the screen", shown), ("without", None), ("with the screen", shown)):
        with tempfile.TemporaryDirectory() as folder, closing(Launcher()) as launcher:
            yield title
            yield from deadlines.run(Path(folder), NAMES, launcher, *([beside] if beside else []))
    yield from costs[: len(costs) // 2]


@contextmanager
def _terminal() -> Iterator[Console]:
    ours, theirs = pty.openpty()
    termios.tcsetwinsize(theirs, (40, 120))
    reader = threading.Thread(target=_drain, args=(ours,), daemon=True)
    reader.start()
    with os.fdopen(theirs, "w") as file:
        yield Console(file=file, force_terminal=True)
    reader.join(2)


def _drain(end: int) -> None:
    with suppress(OSError), first_in_line():  # the other end is closed; a terminal is another process, and holds up nothing
        while os.read(end, 1 << 16):
            pass
    os.close(end)


@contextmanager
def _asked(session: Session) -> Iterator[None]:
    """Have the loop make a reply for each of some clients every second, as their requests do."""
    over = threading.Event()
    control = session.control = Control(*private.listening(), lambda request, reply: None)

    def ask() -> None:
        with first_in_line():
            while not over.wait(1.0):
                for _ in range(CLIENTS):
                    control.later(lambda: json.dumps(described(session, ABOUT)) and None)

    threading.Thread(target=ask, daemon=True).start()
    try:
        yield
    finally:
        over.set()


def _costs(session: Session) -> Iterator[str]:
    fields = described(session, ABOUT)
    for name, action in (
        ("the status", lambda: described(session, ABOUT)),
        (f"its JSON, {len(json.dumps(fields)) / 1000:.1f} kB", lambda: json.dumps(fields)),
        ("the screen, 120 by 40", lambda: screen.draw(fields, 120, 40, 0.0)),
    ):
        p50, p99 = np.percentile(_times(action), [50, 99])
        yield f"  {name}: median {p50:.3f} ms  p99 {p99:.3f} ms"


def _times(action: Callable[[], object]) -> list[float]:
    taken = []
    for _ in range(500):
        begin = time.perf_counter()
        action()
        taken.append(1000 * (time.perf_counter() - begin))
    return taken
