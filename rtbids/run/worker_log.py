"""What is logged in an experiment's process, told to the run: in few words, so that nothing in here floods its loop."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

from rtbids.run.channel import Channel
from rtbids.run.one_line import short

MOST = 50  # messages at once
RATE = 5.0  # messages a second in the long run


class Allowance:
    """How much may be said: `MOST` at once, and `RATE` a second once that is used up."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._left, self._since = float(MOST), clock()

    def take(self) -> bool:
        """Say whether there is room for one more message, and take it."""
        now = self._clock()
        self._left, self._since = min(MOST, self._left + RATE * (now - self._since)), now
        if self._left < 1:
            return False
        self._left -= 1
        return True


class ToTheRun(logging.Handler):
    """Tells the run; what is too much is counted and not told. Warnings have room of their own."""

    def __init__(self, channel: Channel, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._channel = channel
        self._warnings, self._others = Allowance(clock), Allowance(clock)
        self._dropped = 0

    def emit(self, record: logging.LogRecord) -> None:
        allowance = self._warnings if record.levelno >= logging.WARNING else self._others
        if not allowance.take():
            self._dropped += 1
            return
        self.settle()
        self._send(record.levelno, record.getMessage())

    def settle(self) -> None:
        """Say how many messages were dropped, where some were."""
        dropped, self._dropped = self._dropped, 0
        if dropped:
            self._send(logging.WARNING, f"{dropped} messages were dropped: there were too many at a time")

    def _send(self, level: int, text: str) -> None:
        try:
            self._channel.send({"say": "log", "level": level, "text": short(text)})
        except OSError:  # the run has ended, and nobody is told
            self._dropped = 0


def tell(channel: Channel, level: int) -> ToTheRun:
    """Have what rtbids logs in this process told to the run; what a script logs with its own loggers is its own affair."""
    logger, handler = logging.getLogger("rtbids"), ToTheRun(channel)
    logger.handlers[:] = [handler]
    logger.setLevel(level)
    logger.propagate = False
    return handler
