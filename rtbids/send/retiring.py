"""Giving up a destination: whatever waits for it there waits no more. What it has received, and its totals, stay known."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rtbids.errors import InputMissing, UsageFault
from rtbids.send import steps
from rtbids.send.database import Transaction
from rtbids.send.owners import working
from rtbids.send.settle import at_once
from rtbids.send.states import State

if TYPE_CHECKING:
    from rtbids.send.outbox import Outbox

_BATCHES = "SELECT DISTINCT batch FROM delivery WHERE destination = ? AND state <> 'SENT' ORDER BY batch"
_NOT_SENT = "DELETE FROM delivery WHERE destination = ? AND batch = ? AND state <> 'SENT'"
_RECEIVED = (  # in ERROR for the one that is given up, and received by all others
    "SELECT id, batch FROM image i WHERE batch = ? AND state = 'ERROR' AND failed_in = 'DONEPROCESSING' AND dismissed = 0"
    " AND EXISTS (SELECT 1 FROM delivery WHERE image = i.id)"
    " AND NOT EXISTS (SELECT 1 FROM delivery WHERE image = i.id AND state <> 'SENT')"
)
_SETTLED = (
    "SELECT id, batch FROM image i WHERE batch = ? AND state = 'DONEPROCESSING'"
    " AND EXISTS (SELECT 1 FROM delivery WHERE image = i.id)"
    " AND NOT EXISTS (SELECT 1 FROM delivery WHERE image = i.id AND state NOT IN ('SENT', 'ERROR'))"
)
RETIRED = "{} was given up by {}"


def retire(outbox: Outbox, url: str, who: str = "hand") -> int:
    """Give up a destination; return how many images waited for it, or had been refused by it.

    Images that no destination is left for stay ready, for the next that is served.

    Raises
    ------
    InputMissing
        Images never went to such a destination.
    UsageFault
        A sender is at work that sends to it.
    """
    with outbox.database.writing() as transaction:
        number = _number(transaction, url)
        transaction.count("UPDATE destination SET active = 0, since = NULL, reason = NULL WHERE id = ?", (number,))
        batches = [batch for [batch] in transaction.rows(_BATCHES, (number,))]
    return sum(_give_up(outbox, number, batch, RETIRED.format(url, who)) for batch in batches)


def _number(transaction: Transaction, url: str) -> int:
    known = transaction.rows("SELECT id, url, active FROM destination ORDER BY id")
    found = [(number, active) for number, name, active in known if name == url]
    if not found:
        names = ", ".join(name for _, name, _ in known) or "none"
        raise InputMissing(f"{url}: no destination of this outbox has that name", f"these have one: {names}")
    [(number, active)] = found
    if active and working(transaction):
        raise UsageFault(f"a sender is at work that sends to {url}", "stop it, and start it with the others only")
    return int(number)


def _give_up(outbox: Outbox, number: int, batch: int, said: str) -> int:
    with outbox.database.writing() as transaction, at_once(outbox, transaction, {batch}) as settle:
        count = transaction.count(_NOT_SENT, (number, batch))
        received = [(int(image), int(of)) for image, of in transaction.rows(_RECEIVED, (batch,))]
        settle.move(received, State.ERROR, State.DONEPROCESSING, said)
        steps.pass_on(transaction, settle, [(int(image), int(of)) for image, of in transaction.rows(_SETTLED, (batch,))])
    return count
