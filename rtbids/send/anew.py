"""Images that are made anew from the raw file: what was made by rules that hold no more never leaves."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING

from rtbids.send.claims import marks, owner_of, rules_of
from rtbids.send.database import Transaction
from rtbids.send.settle import at_once
from rtbids.send.states import State

if TYPE_CHECKING:
    from rtbids.send.outbox import Outbox

logger = logging.getLogger("rtbids")
LOST = "the de-identified file is gone or was changed: a retry makes it anew"
OTHER_RULES = "made anew, for other rules hold now"
_TOGETHER = 500
_OLD = (  # less and greater, for by "other than" no index is used
    "SELECT id, batch FROM image WHERE state = 'DONEPROCESSING' AND rules {} ? LIMIT ?"
)
_FREE = " AND NOT EXISTS (SELECT 1 FROM delivery WHERE image = i.id AND owner IS NOT NULL)"


def renew(outbox: Outbox) -> int:
    """Put back to NEW what waits and was made by other rules than those of now; return how many images."""
    count = 0
    while found := _some(outbox):
        moved = _put_back(outbox, found)
        count += moved
        if moved < len(found):  # others still hold some of them
            break
    if count:
        logger.warning("%d images that had not left were made by other rules: they are made anew", count)
        outbox.bell.ring()
    return count


def _some(outbox: Outbox) -> list[tuple[int, int]]:
    rules = rules_of(outbox)
    with outbox.database.reading() as transaction:
        found = [row for sign in "<>" for row in transaction.rows(_OLD.format(sign), (rules, _TOGETHER))]
    return [(int(image), int(batch)) for image, batch in found[:_TOGETHER]]


def _put_back(outbox: Outbox, found: Sequence[tuple[int, int]]) -> int:
    images = [image for image, _ in found]
    batches = {batch for _, batch in found}
    with outbox.database.writing() as transaction, at_once(outbox, transaction, batches) as settle:
        owner_of(outbox)
        rows = transaction.rows(
            f"SELECT id, batch FROM image i WHERE state = 'DONEPROCESSING' AND rules <> ? AND id IN {marks(images)}{_FREE}"
            + transaction.lock,
            (rules_of(outbox), *images),
        )
        settle.move([(image, batch) for image, batch in rows], State.DONEPROCESSING, State.NEW, OTHER_RULES)
        forget(transaction, [image for image, _ in rows])
    return len(rows)


def forget(transaction: Transaction, images: Sequence[int]) -> None:
    """Forget what was made of images; whoever was to get them, and has not, waits until they are made anew."""
    each = [(image,) for image in images]
    transaction.each(
        "UPDATE delivery SET state = 'NEW', under_way = 0, tries = 0, first = NULL, due = 0, reason = NULL"
        " WHERE image = ? AND state <> 'SENT'",
        each,
    )
    transaction.each("DELETE FROM instance WHERE image = ?", each)
    transaction.each("UPDATE image SET same_as = NULL, rules = NULL, tries = 0, first = NULL, due = 0 WHERE id = ?", each)
