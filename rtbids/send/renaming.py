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
from rtbids.send.found import Found
from rtbids.send.in_error import failed
from rtbids.send.reach import GONE

if TYPE_CHECKING:
    from rtbids.send.outbox import Outbox

logger = logging.getLogger("rtbids")
_BATCHES = "SELECT id FROM batch WHERE root = ? AND spooled = 0 AND cleaned IS NULL"
_LOST = "SELECT id FROM image WHERE batch = ? AND state = 'ERROR' AND reason = ? AND dismissed = 0"
_UNFINISHED = (
    "SELECT id, root FROM batch WHERE spooled = 0 AND cleaned IS NULL AND root IS NOT NULL"
    " AND (new > 0 OR processing > 0 OR errors > 0) ORDER BY id"
)
_FILES = "SELECT file, size, mtime_ns FROM image WHERE batch = ? AND file IS NOT NULL"
_SECOND = 10**9  # ns
_SEEN = "INSERT INTO seen (identity) VALUES (?) ON CONFLICT DO NOTHING"


def former(outbox: Outbox, found: Found) -> Path | None:
    """Return the folder that a batch was taken in from under another name, which nobody saw change: that one is gone.

    All that was taken in there is here, of the same name, size and time of change. Where such times are of whole seconds they
    say too little, as of files that were unpacked.
    """
    if found.spooled:
        return None
    with outbox.database.reading() as transaction:
        gone = [(int(number), root) for number, root in transaction.rows(_UNFINISHED) if _is_gone(root, found.root)]
        here = _looks(found) if gone else set()
        for number, root in gone:
            files = {(os.fsdecode(file), size, mtime_ns) for file, size, mtime_ns in transaction.rows(_FILES, (number,))}
            if files and files <= here and any(mtime_ns % _SECOND for *_, mtime_ns in files):
                return Path(os.fsdecode(root))
    return None


def _is_gone(root: bytes, here: Path) -> bool:
    """Whether a folder is not there any more, while the one that it was in is."""
    folder = Path(os.fsdecode(root))
    return folder != here and folder.parent.is_dir() and not os.path.lexists(folder)


def _looks(found: Found) -> set[tuple[str, int, int]]:
    looks = set()
    for path in (*found.files, *(path for path, _ in found.broken)):
        with suppress(OSError):
            status = path.lstat() if path.is_symlink() and not path.exists() else path.stat()
            looks.add((path.relative_to(found.root).as_posix(), status.st_size, status.st_mtime_ns))
    return looks


def follow(outbox: Outbox, old: Path, new: Path) -> None:
    """Look for the raw files of batches that were taken in from `old` in `new`, and know them there.

    Those that were given up because nobody knew where they are go on.
    """
    with outbox.database.writing() as transaction:
        numbers = [int(number) for (number,) in transaction.rows(_BATCHES, (os.fsencode(old),))]
        for number in numbers:
            transaction.count("UPDATE batch SET root = ?, label = ? WHERE id = ?", (os.fsencode(new), _text(new), number))
            files = transaction.rows(_FILES, (number,))
            transaction.each(_SEEN, [(identity(outbox.secret, new / os.fsdecode(name), *rest),) for name, *rest in files])
    for number in numbers:
        logger.info("batch %d: its folder has another name now", number)
        _go_on(outbox, number)


def _go_on(outbox: Outbox, number: int) -> None:
    """Let those images of a batch go on whose files were gone, all at once where these are all that are in ERROR."""
    with outbox.database.reading() as transaction:
        lost = [int(image) for (image,) in transaction.rows(_LOST, (number, GONE))]
        is_all = len(lost) == len(failed(transaction, number, None))
    for image in [None] if is_all and lost else lost:
        with suppress(NothingMatched):  # somebody has just done so by hand
            mending.retry(outbox, number, image, who="who watches: it has another name")


def _text(folder: Path) -> str:
    return folder.name.encode("utf-8", "backslashreplace").decode()
