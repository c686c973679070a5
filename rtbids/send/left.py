"""What is left to be done once the last batch was taken in, and whether it is worth waiting for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from rtbids.send.claims import marks
from rtbids.send.database import Row
from rtbids.send.reach import GONE

if TYPE_CHECKING:
    from rtbids.send.outbox import Outbox

_TO_CLEAN = "SELECT 1 FROM image WHERE state IN ('NEW', 'PROCESSING') LIMIT 1"
_TO_TIDY = "SELECT 1 FROM batch WHERE state = 'DONE' AND errors = 0 AND cleaned IS NULL AND tidy_due <= ? LIMIT 1"
_TO_SEND = (
    "SELECT 1 FROM delivery d JOIN destination t ON t.id = d.destination"
    " WHERE t.id IN {} AND t.refused = 0 AND d.state = 'DONEPROCESSING' LIMIT 1"
)
_LOOKS = "SELECT 'looks', coalesce(sum(tries), 0) FROM image WHERE state = 'PROCESSING' AND reason = ?"  # they end soon


def can_go_on(outbox: Outbox, destinations: Sequence[int]) -> bool:
    """Say whether anything can go on; what waits for a destination that will not have us cannot."""
    with outbox.database.reading() as transaction:
        if transaction.rows(_TO_CLEAN) or transaction.rows(_TO_TIDY, (outbox.clock.now(),)):
            return True
        return bool(destinations) and bool(transaction.rows(_TO_SEND.format(marks(destinations)), destinations))


class Stillness:
    """How long nothing has changed."""

    def __init__(self) -> None:
        self._counts: list[Row] = []
        self._since = 0.0
        self._looked = 0.0

    def lasts(self, outbox: Outbox, patience: float | None) -> bool:
        """Say whether no image has come further for `patience` seconds; None is without end."""
        now = outbox.clock.now()
        if patience is None or now - self._looked < min(1.0, patience / 4):
            return False
        self._looked = now
        with outbox.database.reading() as transaction:
            counts = transaction.rows("SELECT state, count(*) FROM image GROUP BY state ORDER BY state")
            counts += transaction.rows("SELECT state, count(*) FROM delivery GROUP BY state ORDER BY state")
            counts += transaction.rows(_LOOKS, (GONE,))
        if counts != self._counts:
            self._counts, self._since = counts, now
        return now - self._since >= patience
