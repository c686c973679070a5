"""The processor first: what keeps the deadlines needs little of it, and at once.

That is the loop of a run, and what it waits for: the threads that take volumes in and write them. While one of these holds the
interpreter and is not let run, because others want the processor, the loop stands still too (20 to 60 ms were seen).
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

_NICENESS = 10


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
        _back_in_line(*before)


def _back_in_line(policy: int, rank: os.sched_param) -> None:
    for kept in (0, os.SCHED_RESET_ON_FORK):  # a user with an ``rtprio`` limit may not take that flag back
        with suppress(OSError):
            os.sched_setscheduler(0, policy | kept, rank)
            return


def give_way() -> None:
    """Have this thread, and what it starts, run after others, where a thread can have a rank of its own (Linux).

    One that is behind them already stays where it is: only root may bring a thread forward.
    """
    if sys.platform != "linux":
        return
    thread = threading.get_native_id()
    with suppress(OSError):  # what is to be done is done, at whatever rank
        os.setpriority(os.PRIO_PROCESS, thread, max(_NICENESS, os.getpriority(os.PRIO_PROCESS, thread)))
