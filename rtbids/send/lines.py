"""The destinations in the database: which are served, and which are down, since when and until when."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING

from rtbids.send.backoff import LONGEST, delay
from rtbids.send.database import JOINING, Transaction
from rtbids.send.destinations import Destination

if TYPE_CHECKING:
    from rtbids.send.outbox import Outbox

logger = logging.getLogger("rtbids")
_INACTIVE = "UPDATE destination SET active = 0"
_DUE = (
    "UPDATE image SET due = ? WHERE state IN ('NEW', 'PROCESSING') AND due > ?",
    "UPDATE delivery SET due = ? WHERE due > ?",
    "UPDATE batch SET tidy_due = ? WHERE state = 'DONE' AND cleaned IS NULL AND tidy_due > ?",
)


def serve(outbox: Outbox, destinations: Sequence[Destination], alone: bool) -> list[int]:
    """Write down that images go to these destinations, and to no others where nobody else is at work; return their numbers.

    Images that are ready and not yet everywhere go to new destinations too.
    """
    with outbox.database.writing() as transaction:
        transaction.rows(JOINING + transaction.lock)  # no image passes on meanwhile that would miss a new destination
        if alone:
            transaction.count(_INACTIVE)
        numbers = [_number(transaction, destination.url) for destination in destinations]
        for number in numbers:
            transaction.count(
                "INSERT INTO delivery (image, destination, batch, state) SELECT id, ?, batch, 'DONEPROCESSING' FROM image"
                " WHERE state = 'DONEPROCESSING' AND same_as IS NULL ON CONFLICT DO NOTHING",
                (number,),
            )
        left = _left(transaction)
    _tell(left, outbox.named)
    return numbers


def serve_alone(outbox: Outbox, numbers: Sequence[int]) -> None:
    """Write down that images go nowhere else: whoever seemed to serve other destinations was gone already."""
    with outbox.database.writing() as transaction:
        transaction.rows(JOINING + transaction.lock)
        transaction.count(_INACTIVE)
        transaction.each("UPDATE destination SET active = 1 WHERE id = ?", [(number,) for number in numbers])
        left = _left(transaction)
    _tell(left, outbox.named)


def _left(transaction: Transaction) -> list[str]:
    rows = transaction.rows(
        "SELECT url FROM destination d WHERE active = 0"
        " AND EXISTS (SELECT 1 FROM delivery WHERE destination = d.id AND state = 'DONEPROCESSING')"
    )
    return [url for [url] in rows]


def _tell(left: Sequence[str], named: str) -> None:
    for url in left:
        said = "images still wait for %s, which is not among the destinations now; to give it up: rtbids send retire %s%s"
        logger.warning(said, url, url, named)


def due_soon(outbox: Outbox) -> None:
    """Let nothing wait for longer than anything is put off: the clock was set back since."""
    now = outbox.clock.now()
    with outbox.database.writing() as transaction:
        for statement in _DUE:
            transaction.count(statement, (now, now + LONGEST))


def _number(transaction: Transaction, url: str) -> int:
    [[number]] = transaction.rows(
        "INSERT INTO destination (url, active, due) VALUES (?, 1, 0)"
        " ON CONFLICT (url) DO UPDATE SET active = 1, due = 0, refused = 0 RETURNING id",
        (url,),
    )
    return int(number)


def down(outbox: Outbox, number: int, url: str, reason: str, for_good: bool, ends: bool = False) -> None:
    """Put off the next try at a destination, unless another connection to it has just done so.

    Where trying again will not help by itself, it is tried rarely: somebody may put it right. That is not promised where the
    work `ends` with its source.
    """
    now = outbox.clock.now()
    where = url.partition(" ")[0]
    reason = reason.removeprefix(where).removeprefix(":").lstrip()  # it is named beside it
    with outbox.database.writing() as transaction:
        [[failures, due]] = transaction.rows(f"SELECT failures, due FROM destination WHERE id = ?{transaction.lock}", (number,))
        if due > now:
            return
        seconds = LONGEST if for_good else delay(failures + 1)
        transaction.count(
            "UPDATE destination SET failures = failures + 1, since = coalesce(since, ?), due = ?, reason = ?, refused = ?"
            " WHERE id = ?",
            (now, now + seconds, reason, int(for_good), number),
        )
    then = "" if for_good and ends else f", next try in {seconds:.0f} s"
    logger.warning("%s: %s; its images wait%s", url, reason, then)


def up(outbox: Outbox, number: int) -> None:
    """A destination has answered."""
    with outbox.database.reading() as transaction:
        if not transaction.rows("SELECT id FROM destination WHERE id = ? AND (failures > 0 OR since IS NOT NULL)", (number,)):
            return
    with outbox.database.writing() as transaction:
        transaction.count(
            "UPDATE destination SET failures = 0, refused = 0, since = NULL, due = 0, reason = NULL WHERE id = ?", (number,)
        )
        [[url]] = transaction.rows("SELECT url FROM destination WHERE id = ?", (number,))
    logger.warning("%s answers again", url)
    outbox.bell.ring()
