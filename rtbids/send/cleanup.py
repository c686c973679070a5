"""What is left of a batch that has been received goes: raw files by policy, de-identified ones always; never with an error."""

from __future__ import annotations

import logging
import os
import shutil
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from rtbids.send.backoff import LONGEST
from rtbids.send.claims import owner_of
from rtbids.send.database import NoSpace
from rtbids.send.folder import full
from rtbids.send.setting_aside import carry, unused
from rtbids.send.settings import Settings
from rtbids.send.wiping import to_wipe

if TYPE_CHECKING:
    from rtbids.send.outbox import Outbox

logger = logging.getLogger("rtbids")


_TO_TIDY = (
    "SELECT id, label, root, spooled FROM batch"
    " WHERE state = 'DONE' AND errors = 0 AND cleaned IS NULL AND tidy_due <= ? ORDER BY id LIMIT 1"
)
_OTHERS = "SELECT 1 FROM batch WHERE tidying IS NOT NULL AND tidying <> ? AND tidying IN (SELECT id FROM owner) LIMIT 1"
_FILES = (  # what was left out has arrived nowhere: it stays, where it is not in our own folder
    "SELECT file, size, mtime_ns FROM image WHERE batch = ? AND file IS NOT NULL AND (state <> 'SKIPPED' OR ? = 1)"
)


@dataclass(frozen=True)
class _Received:
    number: int
    label: str
    root: Path
    spooled: bool
    files: tuple[tuple[Path, int, int], ...]  # relative name, size, time of change


class Cleanup:
    """The worker that tidies up."""

    def __init__(self, outbox: Outbox, settings: Settings) -> None:
        self._outbox = outbox
        self._settings = settings

    def mark_failed(self) -> None:
        """Rename folders of which no image could be used, where that is wanted: nobody will take them for finished again."""
        if not self._settings.mark_failed:
            return
        with self._outbox.database.reading() as transaction:
            rows = transaction.rows("SELECT id, label, root FROM batch WHERE state = 'ERROR' AND spooled = 0 AND marked = 0")
        for number, label, root in rows:
            place = Path(os.fsdecode(root))
            if label == place.name:  # else it is not the batch's own
                _mark(self._outbox, number, place)

    def step(self) -> bool:
        """Tidy up after the batch that has been DONE longest; say whether there was one."""
        batch = _next(self._outbox)
        if batch is None:
            return False
        raw = "delete" if batch.spooled and self._settings.raw == "keep" else self._settings.raw
        try:
            if raw != "keep":
                _remove_raw(batch, self._settings.archive if raw == "move" else None)
            shutil.rmtree(self._outbox.folder.clean / str(batch.number), ignore_errors=True)
        except OSError as error:
            why = full(self._settings.archive or batch.root, error)
            if isinstance(why, NoSpace):
                raise why from error
            _put_off(self._outbox, batch.number, error)
            return True
        _wipe(self._outbox, batch.number, kept=raw == "keep")
        self._outbox.bell.ring()
        return True


def _mark(outbox: Outbox, number: int, root: Path) -> None:
    marked = root.with_name(f"{root.name}.err")
    if root.exists() and not marked.exists():
        try:
            root.rename(marked)
        except OSError as error:
            logger.warning("batch %d: its folder cannot be renamed (%s)", number, error.strerror)
            marked = root
    with outbox.database.writing() as transaction:
        transaction.count("UPDATE batch SET marked = 1, root = ? WHERE id = ?", (os.fsencode(marked), number))


def _put_off(outbox: Outbox, number: int, error: OSError) -> None:
    """Leave a batch for later whose files may not be removed, or moved: others go on."""
    said = error.strerror or type(error).__name__
    logger.warning("batch %d: its raw files cannot be cleaned up (%s); next try in %.0f s", number, said, LONGEST)
    with outbox.database.writing() as transaction:
        due = outbox.clock.now() + LONGEST
        transaction.count("UPDATE batch SET tidy_due = ?, tidying = NULL WHERE id = ?", (due, number))


def _next(outbox: Outbox) -> _Received | None:
    """Return the batch that has been DONE longest, for this process alone: two would give files the same place."""
    now, owner = outbox.clock.now(), owner_of(outbox)
    with outbox.database.reading() as transaction:
        if not transaction.rows(_TO_TIDY, (now,)):
            return None
    with outbox.database.writing() as transaction:
        transaction.rows("SELECT id FROM finished WHERE id = 1" + transaction.lock)
        found = [] if transaction.rows(_OTHERS, (owner,)) else transaction.rows(_TO_TIDY, (now,))
        if not found:
            return None
        number, label, root, spooled = found[0]
        transaction.count("UPDATE batch SET tidying = ? WHERE id = ?", (owner, number))
        rows = transaction.rows(_FILES, (number, spooled))
    files = tuple((Path(os.fsdecode(file)), size, mtime_ns) for file, size, mtime_ns in rows)
    return _Received(number, label or "", Path(os.fsdecode(root)), bool(spooled), files)


def _remove_raw(batch: _Received, archive: Path | None) -> None:
    for relative in _as_taken(batch):
        source = batch.root / relative
        if archive is not None:
            name = relative.name if relative.is_absolute() else relative
            target = unused(archive / batch.root.name / name, source)
            target.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            carry(source, target, move=True)
        else:
            source.unlink(missing_ok=True)
    if batch.spooled or batch.label == batch.root.name:  # the folder is the batch's own
        _prune(batch)


def _as_taken(batch: _Received) -> Iterator[Path]:
    """Yield the files that are still what was sent: one that was written anew since is not ours to remove."""
    for relative, size, mtime_ns in batch.files:
        try:
            look = _look(batch.root / relative)
        except OSError:
            continue
        if look == (size, mtime_ns):
            yield relative
        else:
            logger.warning("batch %d: a file was changed after it had been taken in; it is left where it is", batch.number)


def _look(path: Path) -> tuple[int, int]:
    status = path.stat()
    return status.st_size, status.st_mtime_ns


def _prune(batch: _Received) -> None:
    """Remove the folders that its files were in, where nothing is left in them; not those that somebody has just made."""
    held = {parent for relative, *_ in batch.files for parent in relative.parents if not relative.is_absolute()}
    for folder in sorted(held | {Path()}, key=lambda folder: len(folder.parts), reverse=True):
        with suppress(OSError):
            (batch.root / folder).rmdir()


def _wipe(outbox: Outbox, number: int, kept: bool) -> None:
    """Wipe what may identify: where the files came from, what they were called, and identifiers of what went out as it was."""
    with outbox.database.writing() as transaction:
        transaction.count(
            "UPDATE batch SET cleaned = ?, kept = ?, label = NULL, root = NULL, tidying = NULL WHERE id = ?",
            (outbox.clock.now(), int(kept), number),
        )
        transaction.count("UPDATE image SET file = NULL, clean = NULL WHERE batch = ?", (number,))
        transaction.count(
            "UPDATE image SET instance = NULL, series = NULL, study = NULL, patient = NULL, name = NULL"
            " WHERE batch = ? AND (as_is = 1 OR original = 1)",
            (number,),
        )
        to_wipe(transaction)
