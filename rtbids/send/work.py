"""What the workers of one process share: whether to go on, what holds them up, and what ended them."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from rtbids.send.backoff import delay
from rtbids.send.database import DatabaseLost, NoSpace

if TYPE_CHECKING:
    from rtbids.send.outbox import Outbox

logger = logging.getLogger("rtbids")
SYNCING = 8  # files at once
LOOK = 1.0  # seconds after which work of other processes, and work that is due, is looked for


class Stopping(Exception):
    """The work is over; what was under way stays as it is written down."""


class Work:
    """Shared by the threads of one `run`."""

    def __init__(self, outbox: Outbox) -> None:
        self._outbox = outbox
        self._over = threading.Event()
        self._told = threading.Event()  # something that others should know has changed
        self._paused: dict[str, str] = {}  # who → why
        self._full: dict[str, NoSpace] = {}  # who → what there is no room for
        self._to_close: list[Callable[[], None]] = []
        self._closed = False
        self.failure: BaseException | None = None
        self.syncing = ThreadPoolExecutor(SYNCING, "sync")  # a disk puts many files down at once in the time of one
        self.taken_in = False  # whether the last batch was taken in

    @property
    def over(self) -> bool:
        return self._over.is_set()

    @property
    def paused(self) -> str | None:
        """Why something waits, where it does."""
        return next(iter(list(self._paused.values())), None)

    @property
    def full(self) -> NoSpace | None:
        """What workers wait for room for, where they do."""
        return next(iter(list(self._full.values())), None)

    def end(self) -> None:
        self._over.set()
        self._told.set()
        self._outbox.bell.ring()

    def at_end(self, close: Callable[[], None]) -> None:
        """Have something closed when all workers have ended."""
        self._to_close.append(close)

    def close(self) -> None:
        self._closed = True
        self.syncing.shutdown(wait=False)
        for close in self._to_close:
            close()

    def fail(self, error: BaseException) -> None:
        """End the work because of an error that trying again will not cure; nobody asks who comes late any more."""
        if self._closed:
            return
        self.failure = self.failure or error
        self.end()

    def wait(self, seconds: float) -> bool:
        """Wait; say whether the work is over."""
        return self._over.wait(seconds)

    def wait_for_news(self, seconds: float) -> None:
        """Wait until something starts or stops waiting, or the work is over."""
        self._told.wait(seconds)
        self._told.clear()

    def pause(self, who: str, why: str) -> None:
        if self._paused.get(who) != why:
            if why not in self._paused.values():
                logger.warning("paused: %s", why)
            self._paused[who] = why
            self._told.set()

    def resume(self, who: str) -> None:
        self._full.pop(who, None)
        if (why := self._paused.pop(who, None)) is not None and why not in self._paused.values():
            logger.warning("going on after: %s", why)
            self._told.set()

    def steadily(self, who: str, step: Callable[[], bool], close: Callable[[], None] = lambda: None) -> None:
        """Call `step` until the work is over, again at once where it found something to do, else when the bell rings.

        At the end `close` is called, in the same thread. A full disk and a database that does not answer are waited for; any
        other error ends all work.
        """
        try:
            self._again_and_again(who, step)
        finally:
            close()

    def _again_and_again(self, who: str, step: Callable[[], bool]) -> None:
        failures = 0
        while not self.over:
            heard = self._outbox.bell.heard()
            try:
                busy = step()
                failures = 0
                self.resume(who)
            except (NoSpace, DatabaseLost) as error:
                failures += 1
                if isinstance(error, NoSpace):
                    self._full[who] = error
                self.pause(who, str(error))
                self.wait(min(30.0, delay(failures)))
                continue
            except Stopping:
                return
            except BaseException as error:
                self.fail(error)
                return
            if not busy and not self.over:
                self._outbox.bell.wait(heard, LOOK)
