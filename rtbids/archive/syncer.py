"""A thread that puts on the disk what was appended, so that a volume never waits for the disk."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable

from rtbids.clock import Clock
from rtbids.errors import cannot_write

_SECONDS = 1.0


class Syncer:
    """Call `sync`, in a thread, at most once a second; what it raises comes back to the next caller of `appended`."""

    def __init__(self, sync: Callable[[], None], where: str, clock: Clock) -> None:
        self._sync = sync
        self._where = where
        self._clock = clock
        self._due = clock.now()
        self._wanted: queue.SimpleQueue[bool] = queue.SimpleQueue()
        self._fault: Exception | None = None
        self._thread = threading.Thread(target=self._run, name="syncer", daemon=True)
        self._thread.start()

    def appended(self) -> None:
        """Say that there is something new; raise CannotWrite where the disk refused what came before."""
        if self._fault is not None:
            fault, self._fault = self._fault, None
            raise cannot_write(self._where, fault) if isinstance(fault, OSError) else fault
        now = self._clock.now()
        if now >= self._due:
            self._due = now + _SECONDS
            self._wanted.put(True)

    def _run(self) -> None:
        while self._wanted.get():
            try:
                self._sync()
            except Exception as error:  # whoever appends next hears of it
                self._fault = error

    def close(self) -> None:
        self._wanted.put(False)
        self._thread.join()
