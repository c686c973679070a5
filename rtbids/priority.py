"""The processor first: what keeps the deadlines needs little of it, and at once.

That is the loop of a run, and what it waits for: the threads that take volumes in and write them. While one of these holds the
interpreter and is not let run, because others want the processor, the loop stands still too (20 to 60 ms were seen).
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def first_in_line(rank: int = 1) -> Iterator[bool]:
    """Have this thread, and none that it starts, run before all that is not real-time; give whether the system lets it.

    Of two such threads the one of higher `rank` has the processor.

    It does for root, in a container with CAP_SYS_NICE, and for users with an ``rtprio`` limit (``/etc/security/limits.conf``).
    """
    if sys.platform != "linux":
        yield False
        return
    before = os.sched_getscheduler(0), os.sched_getparam(0)
    try:
        os.sched_setscheduler(0, os.SCHED_RR | os.SCHED_RESET_ON_FORK, os.sched_param(rank))
    except OSError:
        yield False
        return
    try:
        yield True
    finally:
        os.sched_setscheduler(0, *before)
