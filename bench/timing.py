"""What a call takes, again and again: seconds of the wall clock, or of the processor."""

from __future__ import annotations

import time
from collections.abc import Callable


def wall(call: Callable[[], object], times: int) -> list[float]:
    return _spent(call, times, time.perf_counter)


def cpu(call: Callable[[], object], times: int) -> list[float]:
    """Return user and system time, of all threads."""
    return _spent(call, times, time.process_time)


def _spent(call: Callable[[], object], times: int, now: Callable[[], float]) -> list[float]:
    spent = []
    for _ in range(times):
        begin = now()
        call()
        spent.append(now() - begin)
    return spent
