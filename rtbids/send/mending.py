"""What somebody does by hand about images in ERROR: they go back to the state before the failure, or are given up.

Files are moved before the transaction that says so, for that may take long; what others did meanwhile is seen in it.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from rtbids.errors import NothingMatched
from rtbids.send.anew import forget
from rtbids.send.database import Transaction
from rtbids.send.in_error import Failed, failed
from rtbids.send.setting_aside import put_back, reason_of, set_aside
from rtbids.send.settle import Settle, at_once
from rtbids.send.states import State

if TYPE_CHECKING:
    from rtbids.send.outbox import Outbox

logger = logging.getLogger("rtbids")
_TO_ALL = (  # a destination may have come since it failed
    "INSERT INTO delivery (image, destination, batch, state) SELECT ?, d.id, ?, 'DONEPROCESSING' FROM destination d"
    " WHERE d.active = 1 AND EXISTS (SELECT 1 FROM image WHERE id = ? AND state = 'DONEPROCESSING' AND same_as IS NULL)"
    " ON CONFLICT DO NOTHING"
)
RETRIED = "retried by {}"
DISMISSED = "dismissed by {}"


def retry(outbox: Outbox, batch: int | None = None, image: int | None = None, who: str = "hand") -> int:
    """Put images back, and the deliveries that were given up; return how many images.

    Raises
    ------
    NothingMatched
        Nothing there is in ERROR.
    """
    before = _before(outbox, batch, image)
    places = {one.image: _taken_out(outbox, one) for one in before if one.state is State.ERROR}
    batches = {one.batch for one in before}
    with outbox.database.writing() as transaction, at_once(outbox, transaction, batches) as settle:
        found = _still(transaction, batch, image, before)
        for one in found:
            _put_in_order(transaction, settle, one, places.get(one.image, one.file), RETRIED.format(who))
        transaction.count("UPDATE destination SET due = 0")
    return len(found)


def dismiss(outbox: Outbox, batch: int, image: int | None = None, who: str = "hand") -> int:
    """Give up images of a batch that are in ERROR (or one of them), so that the rest can be DONE; return how many.

    Raw files stay where they are, but those that came over the network or in a stream: they go to quarantine, where they
    are, as what is there already, until the batch is purged.

    Raises
    ------
    NothingMatched
        Nothing there is in ERROR.
    """
    before = [one for one in _before(outbox, batch, image) if one.state is State.ERROR]
    said = DISMISSED.format(who)
    aside = {one.image: _aside(outbox, one, said) for one in before}
    with outbox.database.writing() as transaction, at_once(outbox, transaction, {batch}) as settle:
        found = _still(transaction, batch, image, before)
        transaction.each(
            "UPDATE image SET dismissed = 1, file = NULL, quarantine = ? WHERE id = ?",
            [(aside[one.image], one.image) for one in found],
        )
        settle.note([one.pair for one in found], State.ERROR, State.ERROR, said)
    return len(found)


def _before(outbox: Outbox, batch: int | None, image: int | None) -> list[Failed]:
    with outbox.database.reading() as transaction:
        found = failed(transaction, batch, image)
    return found or _nothing(batch, image)


def _still(transaction: Transaction, batch: int | None, image: int | None, before: Sequence[Failed]) -> list[Failed]:
    """Return those that nobody has seen to since."""
    as_before: Mapping[int, Failed] = {one.image: one for one in before}
    found = [one for one in failed(transaction, batch, image, transaction.lock) if one == as_before.get(one.image)]
    return found or _nothing(batch, image)


def _nothing(batch: int | None, image: int | None) -> list[Failed]:
    what = "in that image" if image is not None else f"of batch {batch}" if batch is not None else ""
    raise NothingMatched(" ".join(f"nothing {what} is in ERROR".split()))


def _taken_out(outbox: Outbox, one: Failed) -> bytes:
    """Take a file out of quarantine, to where it was found; return where it is now.

    It stays there, and is read there, where it lay in a folder of ours, which others may have now, and where another file is
    in its place: that one is not this image.
    """
    if one.quarantine is None or one.raw.path == (there := outbox.folder.root / os.fsdecode(one.quarantine)):
        return one.file
    if not one.spooled and put_back(outbox.folder, one.raw.path, one.quarantine):
        return one.file
    if not one.spooled:
        said = "batch %d, image %d: another file is in its place; the one in quarantine is tried again"
        logger.warning(said, one.batch, one.image)
    reason_of(there).unlink(missing_ok=True)
    return os.fsencode(there)


def _aside(outbox: Outbox, one: Failed, said: str) -> bytes | None:
    """Put the file of an image that came over the network or in a stream into quarantine; return where."""
    if one.quarantine is not None or not one.spooled:
        return one.quarantine
    return set_aside(outbox.folder, one.raw, said, move=True)


def _put_in_order(transaction: Transaction, settle: Settle, one: Failed, file: bytes, said: str) -> None:
    after = one.goes_on_in
    if one.state is State.ERROR:
        settle.move([one.pair], State.ERROR, after, said)
    transaction.count(
        "UPDATE image SET fault = NULL, file = ?, quarantine = NULL, tries = 0, first = NULL, due = 0 WHERE id = ?",
        (file, one.image),
    )
    if one.state is State.ERROR and after is State.NEW:
        forget(transaction, [one.image])
        return
    transaction.rows(_TO_ALL, (*one.pair, one.image))
    transaction.count(
        "UPDATE delivery SET state = 'DONEPROCESSING', tries = 0, first = NULL, due = 0, reason = NULL"
        " WHERE image = ? AND state = 'ERROR'",
        (one.image,),
    )
