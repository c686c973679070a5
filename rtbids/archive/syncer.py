"""A thread that puts on the disk what was appended, so that a volume never waits for the disk."""

from __future__ import annotations

import threading
from collections.abc import Callable

from rtbids.clock import Clock
from rtbids.errors import cannot_write

_SECONDS = 1.0


class Syncer:
    """Call `sync`, in a thread, at most once a second, and within a second of whatever was appended last.

    What it raises comes back to the next caller of `appended`.
    """

    def __init__(self, sync: Callable[[], None], where: str, clock: Clock) -> None:
        self._sync = sync
        self._where = where
        self._clock = clock
        self._due = clock.now()
        self._wanted = 0
        self._is_behind = self._is_closed = False  # behind: something was appended that no wanted sync is known to have
        self._changed = threading.Condition()
        self._fault: Exception | None = None
        self._thread = threading.Thread(target=self._run, name="syncer", daemon=True)
        self._thread.start()

    def appended(self) -> None:
        """Say that there is something new; raise CannotWrite where the disk refused what came before."""
        if self._fault is not None:
            fault, self._fault = self._fault, None
            raise cannot_write(self._where, fault) if isinstance(fault, OSError) else fault
        with self._changed:
            self._is_behind = not self._is_due()
            self._wanted += not self._is_behind
            self._changed.notify()

    def _is_due(self) -> bool:
        """Say whether the last time is a second ago; then the next is to be a second from now."""
        now = self._clock.now()
        is_due = now >= self._due
        if is_due:
            self._due = now + _SECONDS
        return is_due

    def _run(self) -> None:
        while self._next():
            try:
                self._sync()
            except Exception as error:  # whoever appends next hears of it
                self._fault = error

    def _next(self) -> bool:
        """Wait until the disk is to be written to; False at the end."""
        with self._changed:
            while not self._wanted:
                if self._is_closed:
                    return False
                if self._is_behind and self._is_due():
                    self._is_behind = False
                    return True
                self._changed.wait(max(0.0, self._due - self._clock.now()) if self._is_behind else None)
            self._wanted -= 1
            return True

    def close(self) -> None:
        with self._changed:
            self._is_closed = True
            self._changed.notify()
        self._thread.join()
