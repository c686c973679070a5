"""Ctrl-C, SIGTERM and a terminal that closes: once to end in order, twice to end at once."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType

from rtbids.errors import Stopped
from rtbids.wakeup import Wakeup

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_ONE_PRESS = 0.3  # seconds: who forwards a signal (timeout, a supervisor) sends it to us and to our group, and means one
_STOPPING = b"\nstopping in order; once more to stop at once\n"


@contextmanager
def stopping(
    at_once: str | None = None,
    is_shown: Callable[[], bool] = lambda: False,
    has_begun: Callable[[], bool] = lambda: True,
) -> Iterator[Wakeup]:
    """Give a flag that the first signal sets; a second one, or one before the beginning, raises Stopped where the program is.

    When the body has ended in order after a signal, Stopped (exit 128 + signal) is raised. `at_once` is what to tell who did
    not wait; `is_shown` says whether a screen tells of it, `has_begun` whether there is anything that is to end in order. Under
    nohup a terminal that closes ends nothing.
    """
    stop = Wakeup()
    received: list[tuple[int, float]] = []

    def handle(number: int, frame: FrameType | None) -> None:
        now = time.monotonic()
        if received:
            if now - received[0][1] < _ONE_PRESS:
                return
            raise Stopped(number, at_once)
        received.append((number, now))
        stop.set()
        if not has_begun():
            raise Stopped(number)
        with suppress(OSError):  # the terminal may be gone
            if not is_shown():
                os.write(2, _STOPPING)  # not through the console: whoever was interrupted may hold its lock

    with _handled(handle):
        yield stop
    if received:
        raise Stopped(received[0][0])


@contextmanager
def stopping_at_once() -> Iterator[None]:
    """Have the first signal raise Stopped where the program is."""

    def handle(number: int, frame: FrameType | None) -> None:
        raise Stopped(number)

    with _handled(handle):
        yield


@contextmanager
def _handled(handle: Callable[[int, FrameType | None], None]) -> Iterator[None]:
    spared = {signal.SIGHUP} if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN else set()
    before = {number: signal.signal(number, handle) for number in _SIGNALS if number not in spared}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
