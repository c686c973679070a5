"""Names that were wiped from the database are wiped from its files, soon after their batch is DONE."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from rtbids.errors import CannotWrite
from rtbids.send.database import Transaction

if TYPE_CHECKING:
    from rtbids.send.outbox import Outbox

logger = logging.getLogger("rtbids")
EVERY = 60.0  # seconds between two, for it takes as long as the database is large
_FORGOTTEN = (  # how often something was; no time, for a clock may be set back
    "INSERT INTO meta (name, value) VALUES ('forgotten', '1')"
    " ON CONFLICT (name) DO UPDATE SET value = CAST(CAST(meta.value AS INTEGER) + 1 AS TEXT)"
)
_COUNTS = "SELECT name, value FROM meta WHERE name IN ('forgotten', 'wiped')"
_BUSY = "SELECT 1 FROM image WHERE state IN ('NEW', 'PROCESSING') LIMIT 1"
_DONE = "INSERT INTO meta (name, value) VALUES ('wiped', ?) ON CONFLICT (name) DO UPDATE SET value = excluded.value"


class Wiper:
    """The worker that does so when there is nothing more urgent; what a kill left behind is done at the next start."""

    def __init__(self, outbox: Outbox) -> None:
        self._outbox = outbox
        self._next = 0.0

    def step(self) -> bool:
        """Wipe, where there is something to wipe and the others are idle."""
        if (now := self._outbox.clock.now()) < self._next or self._is_busy():
            return False
        self._next = now + EVERY if wipe(self._outbox) else now
        return False

    def _is_busy(self) -> bool:
        with self._outbox.database.reading() as transaction:
            return bool(transaction.rows(_BUSY))


def to_wipe(transaction: Transaction) -> None:
    """Write down that names were removed from the tables, and are in the files."""
    transaction.count(_FORGOTTEN)


def wipe(outbox: Outbox) -> bool:
    """Wipe what was forgotten since the last time; say whether there was anything."""
    with outbox.database.reading() as transaction:
        counts: dict[str, str] = dict(transaction.rows(_COUNTS))
    last = counts.get("forgotten", "0")
    if last == counts.get("wiped", "0"):
        return False
    try:
        outbox.database.wipe()
    except CannotWrite as error:  # others use it; or there is no room for a copy
        logger.debug("names are not wiped yet: %s", error)
        return True
    with outbox.database.writing() as transaction:
        transaction.count(_DONE, (last,))
    return True
