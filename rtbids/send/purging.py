"""Rows of batches that were received long ago, and what remains of them, are removed."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rtbids.send.outbox import Outbox

_OLD = "SELECT id, kept FROM batch WHERE state = 'DONE' AND errors = 0 AND cleaned IS NOT NULL AND changed <= ? ORDER BY id"

_GONE = (  # what was dismissed, or left out in a folder that is not ours, is still there
    "SELECT i.identity FROM image i JOIN batch b ON b.id = i.batch WHERE i.batch = ? AND i.dismissed = 0"
    " AND (i.state = 'DONE' OR b.spooled = 1)"
)


def purge(outbox: Outbox, older_than: float) -> int:
    """Remove DONE batches that have not changed for `older_than` seconds, one in a transaction; return how many.

    Where raw files were left in place it stays known that they were taken in, or they would be sent anew.
    """
    with outbox.database.reading() as transaction:
        old = transaction.rows(_OLD, (outbox.clock.now() - older_than,))
    for number, kept in old:
        for folder in (outbox.folder.clean, outbox.folder.quarantine):
            shutil.rmtree(folder / str(number), ignore_errors=True)
        _remove(outbox, number, bool(kept))
    return len(old)


def _remove(outbox: Outbox, number: int, kept: bool) -> None:
    of_batch = "(SELECT id FROM image WHERE batch = ?)"
    with outbox.database.writing() as transaction:
        if not kept:
            transaction.count(f"DELETE FROM seen WHERE identity IN ({_GONE})", (number,))
        transaction.count(f"DELETE FROM instance WHERE image IN {of_batch}", (number,))
        for table in ("transition", "delivery", "image"):
            transaction.count(f"DELETE FROM {table} WHERE batch = ?", (number,))
        transaction.count("DELETE FROM batch WHERE id = ?", (number,))
