"""Why images are in ERROR, or are put off: each reason once, with how many images it is of."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from rtbids.send.states import State

if TYPE_CHECKING:
    from rtbids.send.outbox import Outbox

_ERRORS = "SELECT state, reason, count(*) FROM image WHERE state = 'ERROR' AND dismissed = 0 AND reason IS NOT NULL"
_WAITS = "SELECT state, reason, count(*) FROM image WHERE state = 'PROCESSING' AND reason IS NOT NULL"
_EACH = " GROUP BY state, reason ORDER BY 3 DESC, 2"


@dataclass(frozen=True)
class Reason:
    """Why so many images are in a state; it does not identify."""

    state: State
    reason: str
    images: int


def in_error(outbox: Outbox) -> list[Reason]:
    """Return why images are in ERROR, what most are for first."""
    return _found(outbox, _ERRORS)


def all_of(outbox: Outbox) -> list[Reason]:
    """Return that, and then why images are put off before they are de-identified."""
    return in_error(outbox) + _found(outbox, _WAITS)


def _found(outbox: Outbox, sql: str) -> list[Reason]:
    with outbox.database.reading() as transaction:
        return [Reason(State(state), str(reason), int(images)) for state, reason, images in transaction.rows(sql + _EACH)]
