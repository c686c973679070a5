"""Ctrl-C and SIGTERM: once to end in order, twice to end at once."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from rtbids.errors import Stopped
from rtbids.pipeline import Wakeup

_STOPPING = b"\nstopping in order; once more to stop at once\n"


@contextmanager
def stopping(at_once: str | None = None) -> Iterator[Wakeup]:
    """Give a flag that the first SIGINT or SIGTERM sets; a second one raises Stopped where the program is.

    When the body has ended in order after a signal, Stopped (exit 130 or 143) is raised. `at_once` is what to tell who did
    not wait.
    """
    stop = Wakeup()
    received: list[int] = []

    def handle(number: int, frame: FrameType | None) -> None:
        received.append(number)
        if len(received) > 1:
            raise Stopped(number, at_once)
        os.write(2, _STOPPING)  # not through the console: whoever was interrupted may hold its lock
        stop.set()

    before = {number: signal.signal(number, handle) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    if received:
        raise Stopped(received[0])
