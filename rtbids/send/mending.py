"""Trying again by hand: images in ERROR go back to the state before the failure."""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rtbids.errors import NothingMatched
from rtbids.send.anew import LOST, forget
from rtbids.send.database import Row
from rtbids.send.setting_aside import put_back
from rtbids.send.settle import at_once
from rtbids.send.states import State, retried

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
    found = _failed(outbox, batch, image)
    if not found:
        what = "image" if image is not None else "batch" if batch is not None else "outbox"
        raise NothingMatched(f"nothing in that {what} is in ERROR" if what != "outbox" else "nothing is in ERROR")
    for number, of, state, _, file, quarantine, root, *_ in found:
        if state != State.ERROR or quarantine is None:
            continue
        if not put_back(outbox.folder, Path(os.fsdecode(root)) / os.fsdecode(file), quarantine):
            logger.warning("batch %d, image %d: another file is in its place; the old one stays in quarantine", of, number)
    _put_in_order(outbox, found, RETRIED.format(who))
    return len(found)


def dismiss(outbox: Outbox, batch: int, image: int | None = None, who: str = "hand") -> int:
    """Give up images of a batch that are in ERROR (or one of them), so that the rest can be DONE; return how many.

    Their raw files stay where they are, and what is in quarantine until the batch is purged.

    Raises
    ------
    NothingMatched
        Nothing there is in ERROR.
    """
    found = [row for row in _failed(outbox, batch, image) if row[2] == State.ERROR]
    if not found:
        raise NothingMatched(f"nothing of batch {batch} is in ERROR")
    with outbox.database.writing() as transaction, at_once(transaction, {batch}, outbox.clock.now()) as settle:
        for number, *_ in found:
            transaction.count("UPDATE image SET dismissed = 1, file = NULL WHERE id = ? AND state = 'ERROR'", (number,))
        settle.note([(row[0], batch) for row in found], State.ERROR, State.ERROR, DISMISSED.format(who))
    return len(found)


def _failed(outbox: Outbox, batch: int | None, image: int | None) -> Sequence[Row]:
    where, values = "", []
    for column, value in (("i.batch", batch), ("i.id", image)):
        if value is not None:
            where += f" AND {column} = ?"
            values.append(value)
    with outbox.database.reading() as transaction:
        return transaction.rows(
            "SELECT i.id, i.batch, i.state, i.failed_in, i.file, i.quarantine, b.root, i.size, i.mtime_ns, i.same_as,"
            " i.reason, (SELECT image FROM instance WHERE instance_key = i.instance_key) FROM image i"
            " JOIN batch b ON b.id = i.batch"
            " WHERE i.dismissed = 0"
            " AND (i.state = 'ERROR' OR EXISTS (SELECT 1 FROM delivery d WHERE d.image = i.id AND d.state = 'ERROR'))"
            f"{where} ORDER BY i.id",
            values,
        )


def _put_in_order(outbox: Outbox, found: Sequence[Row], said: str) -> None:
    now = outbox.clock.now()
    with outbox.database.writing() as transaction, at_once(transaction, {row[1] for row in found}, now) as settle:
        for image, batch, state, failed_in, *rest in found:
            after = State.NEW if _is_made_anew(image, *rest) else retried(State(failed_in or state))
            if state == State.ERROR:
                settle.move([(image, batch)], State.ERROR, after, said)
            transaction.count(
                "UPDATE image SET fault = NULL, quarantine = NULL, tries = 0, first = NULL, due = 0 WHERE id = ?", (image,)
            )
            if state == State.ERROR and after is State.NEW:
                forget(transaction, [image])
                continue
            transaction.rows(_TO_ALL, (image, batch, image))
            transaction.count(
                "UPDATE delivery SET state = 'DONEPROCESSING', tries = 0, first = NULL, due = 0, reason = NULL"
                " WHERE image = ? AND state = 'ERROR'",
                (image,),
            )
        transaction.count("UPDATE destination SET due = 0")


def _is_made_anew(image: int, *row: Any) -> bool:
    """Whether what was made of an image is gone, or would not be made so again."""
    file, _, root, size, mtime_ns, same_as, reason, holder = row
    if reason == LOST or same_as is not None or holder != image:
        return True
    try:
        status = (Path(os.fsdecode(root)) / os.fsdecode(file)).stat()
    except OSError:
        return False  # what was made of it is there
    return (status.st_size, status.st_mtime_ns) != (size, mtime_ns)
