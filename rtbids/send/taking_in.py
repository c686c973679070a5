"""The worker that takes in finished batches, as long as there is room."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from rtbids.errors import CannotWrite
from rtbids.send.database import DatabaseLost, NoSpace
from rtbids.send.found import Found
from rtbids.send.settings import Settings
from rtbids.send.work import LOOK, Stopping, Work

if TYPE_CHECKING:
    from rtbids.send.outbox import Outbox


class Intake:
    """Takes one batch after the other from those who watch."""

    def __init__(self, outbox: Outbox, batches: Iterator[Found], settings: Settings, work: Work) -> None:
        self._outbox = outbox
        self._batches = batches
        self._settings = settings
        self._work = work
        self._found: Found | None = None  # in hand: not yet written down

    def step(self) -> bool:
        """Take in one batch; with the last one the worker ends."""
        if self._found is None:
            self._found = self._next()
        if self._found is None:
            self._work.taken_in = True
            self._outbox.bell.ring()
            raise Stopping
        self._wait_for_room()
        self._outbox.add(self._found)
        self._found = None
        return True

    def _next(self) -> Found | None:
        """Return the next batch; an error of who watches ends the work, for whoever has raised one may be over."""
        try:
            return next(self._batches, None)
        except (NoSpace, DatabaseLost) as error:
            self._work.fail(error)
            raise Stopping from None

    def _wait_for_room(self) -> None:
        since = self._outbox.clock.now()
        while self._outbox.folder.free() < self._settings.watermark:
            said = f"less than {self._settings.watermark / 1e9:.1f} GB free for the outbox: no new batch is taken in"
            self._work.pause("watermark", said)
            waited = self._outbox.clock.now() - since
            if self._settings.room is not None and waited >= self._settings.room:
                self._work.fail(CannotWrite(said, "free some space and start again: it goes on where it was"))
            if self._work.wait(LOOK):
                raise Stopping
        self._work.resume("watermark")
