"""A folder that got another name while its images were on their way: its batch is the same, in another place."""

from __future__ import annotations

import logging
import os
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from rtbids.errors import NothingMatched
from rtbids.send import mending
from rtbids.send.adding import identity
from rtbids.send.reach import GONE

if TYPE_CHECKING:
    from rtbids.send.outbox import Outbox

logger = logging.getLogger("rtbids")
_BATCHES = "SELECT id FROM batch WHERE root = ? AND spooled = 0 AND cleaned IS NULL"
_LOST = "SELECT id FROM image WHERE batch = ? AND state = 'ERROR' AND reason = ? AND dismissed = 0"
_SEEN = "INSERT INTO seen (identity) VALUES (?) ON CONFLICT DO NOTHING"


def follow(outbox: Outbox, old: Path, new: Path) -> None:
    """Look for the raw files of batches that were taken in from `old` in `new`, and know them there.

    Those that were given up because nobody knew where they are go on.
    """
    with outbox.database.writing() as transaction:
        numbers = [int(number) for (number,) in transaction.rows(_BATCHES, (os.fsencode(old),))]
        for number in numbers:
            transaction.count("UPDATE batch SET root = ?, label = ? WHERE id = ?", (os.fsencode(new), _text(new), number))
            files = transaction.rows("SELECT file, size, mtime_ns FROM image WHERE batch = ? AND file IS NOT NULL", (number,))
            transaction.each(_SEEN, [(identity(outbox.secret, new / os.fsdecode(name), *rest),) for name, *rest in files])
        lost = [image for number in numbers for [image] in transaction.rows(_LOST, (number, GONE))]
    for image in lost:
        with suppress(NothingMatched):  # somebody has just done so by hand
            mending.retry(outbox, image=image, who="who watches: it has another name")
    for number in numbers:
        logger.info("batch %d: its folder has another name now", number)


def _text(folder: Path) -> str:
    return folder.name.encode("utf-8", "backslashreplace").decode()
