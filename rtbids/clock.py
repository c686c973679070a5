"""Time as the loop sees it: POSIX seconds that never step, and a clock for tests that stands still."""

from __future__ import annotations

import time
from typing import Protocol


class Clock(Protocol):
    def now(self) -> float:
        """POSIX seconds."""
        ...

    def wait_until(self, moment: float) -> None:
        """Return at `moment` (POSIX seconds), or at once where it is past."""
        ...


class SystemClock:
    """The machine's clock as it was when the process began, carried on by the monotonic one.

    A step of the wall clock in the middle of a run (NTP, summer time, an operator) therefore neither moves a
    deadline nor makes a latency negative. Processes of one run share `offset` (seconds) and with it one clock.
    """

    def __init__(self, offset: float | None = None) -> None:
        self.offset = time.time() - time.monotonic() if offset is None else offset

    def now(self) -> float:
        return time.monotonic() + self.offset

    def wait_until(self, moment: float) -> None:
        remaining = moment - self.now()
        if remaining > 0:
            time.sleep(remaining)


class ManualClock:
    """A clock that moves only when it is told to; waiting moves it."""

    def __init__(self, now: float = 0.0) -> None:
        self._now = now

    def now(self) -> float:
        return self._now

    def advance(self, seconds: float) -> float:
        self._now += seconds
        return self._now

    def wait_until(self, moment: float) -> None:
        self._now = max(self._now, moment)


CLOCK = SystemClock()
