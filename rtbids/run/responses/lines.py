"""Bytes as they come, as lines; and how many of them one sender may send."""

from __future__ import annotations

from collections.abc import Iterator

LONGEST = 4096  # bytes of a line


class Splitter:
    """Make lines of pieces; one that is longer than `most` bytes is None and costs no memory."""

    def __init__(self, most: int = LONGEST) -> None:
        self._most = most
        self._pending = b""
        self._skipping = False

    def feed(self, content: bytes) -> Iterator[bytes | None]:
        """Give the lines that are whole with `content`; empty content is the end of the last line."""
        *whole, self._pending = (self._pending + (content or b"\n")).split(b"\n")
        for line in whole:
            if self._skipping:
                self._skipping = False
            else:
                yield line if len(line) <= self._most else None
        if len(self._pending) > self._most:
            self._pending = b""
            if not self._skipping:
                self._skipping = True
                yield None


class RateLimit:
    """Allow `burst` at once and `rate` a second in the long run."""

    def __init__(self, rate: float, burst: int) -> None:
        self._rate = rate
        self._burst = float(burst)
        self._left = float(burst)
        self._since: float | None = None

    def allows(self, now: float) -> bool:
        """Say whether one more may pass at `now` (seconds), and count it if so."""
        elapsed = 0.0 if self._since is None else max(0.0, now - self._since)
        self._since = now
        self._left = min(self._burst, self._left + elapsed * self._rate)
        if self._left < 1.0:
            return False
        self._left -= 1.0
        return True
