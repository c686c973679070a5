"""What scripts print, on the machine that they run on: a pipe is their standard error, and it is always read.

No script waits for the link; what is too much for that is left out, and counted.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable

AT_ONCE = 64 << 10  # bytes
RATE = 32 << 10  # bytes a second in the long run: less than a slow line carries beside the volumes
_PIECE = 64 << 10


class Allowance:
    """Let `at_once` bytes pass, and `rate` a second in the long run; after too many none until half of those are back."""

    def __init__(self, at_once: int = AT_ONCE, rate: float = RATE) -> None:
        self._most, self._rate = at_once, rate
        self._left, self._since = float(at_once), 0.0
        self._is_spent = False

    def take(self, count: int, now: float) -> int:
        """Return how many of so many bytes may pass at `now` (seconds)."""
        self._left = min(self._most, self._left + (now - self._since) * self._rate)
        self._since = now
        if self._is_spent and self._left < self._most / 2:
            return 0
        allowed = min(count, int(self._left))
        self._left -= allowed
        self._is_spent = allowed < count
        return allowed


class Output:
    """A pipe; `end` is given to processes as their standard error, `fileno` is waited for."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._ours, self.end = os.pipe()
        os.set_blocking(self._ours, False)
        self._clock = clock
        self._allowance = Allowance()
        self._left_out = 0

    def fileno(self) -> int:
        return self._ours

    def read(self, *, has_room: bool = True) -> bytes:
        """Return what has come and may be sent; nothing where there is no room."""
        try:
            content = os.read(self._ours, _PIECE)
        except BlockingIOError:
            return b""
        allowed = self._allowance.take(len(content), self._clock()) if has_room else 0
        said = self.rest() if allowed else b""
        self._left_out += len(content) - allowed
        return said + content[:allowed]

    def rest(self) -> bytes:
        """Return what is to be said of what was left out since that was said."""
        count, self._left_out = self._left_out, 0
        return left_out(count)

    def close(self) -> None:
        os.close(self._ours)
        os.close(self.end)


def left_out(count: int) -> bytes:
    """Return the line that stands for so many bytes; nothing for none."""
    return f"\n[{count} bytes of what scripts print are left out: too much at a time]\n".encode() if count else b""
