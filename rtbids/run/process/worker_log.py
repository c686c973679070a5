"""What is logged in an experiment's process, told to the run: in few words, so that nothing in here floods its loop."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

from rtbids.plural import counted
from rtbids.run.one_line import short
from rtbids.run.process.channel import Channel
from rtbids.run.responses.lines import RateLimit

MOST = 50  # messages at once
RATE = 5.0  # messages a second in the long run


class ToTheRun(logging.Handler):
    """Tells the run; what is too much is counted and not told. Warnings have room of their own."""

    def __init__(self, channel: Channel, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._channel, self._clock = channel, clock
        self._warnings, self._others = RateLimit(RATE, MOST), RateLimit(RATE, MOST)
        self._dropped = 0

    def emit(self, record: logging.LogRecord) -> None:
        limit = self._warnings if record.levelno >= logging.WARNING else self._others
        if not limit.allows(self._clock()):
            self._dropped += 1
            return
        self.settle()
        self._send(record.levelno, record.getMessage())

    def settle(self) -> None:
        """Say how many messages were dropped, where some were."""
        dropped, self._dropped = self._dropped, 0
        if dropped:
            messages = counted(dropped, "message was", "messages were")
            self._send(logging.WARNING, f"{messages} dropped: there were too many at a time")

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
