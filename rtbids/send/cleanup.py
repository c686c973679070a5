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

from rtbids.send.folder import full
from rtbids.send.setting_aside import carry
from rtbids.send.settings import Settings

if TYPE_CHECKING:
    from rtbids.send.outbox import Outbox

logger = logging.getLogger("rtbids")


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
            raise full(self._settings.archive or batch.root, error) from error
        _forget(self._outbox, batch.number, kept=raw == "keep")
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


def _next(outbox: Outbox) -> _Received | None:
    with outbox.database.reading() as transaction:
        found = transaction.rows(
            "SELECT id, label, root, spooled FROM batch"
            " WHERE state = 'DONE' AND errors = 0 AND cleaned IS NULL ORDER BY id LIMIT 1"
        )
        if not found:
            return None
        number, label, root, spooled = found[0]
        rows = transaction.rows("SELECT file, size, mtime_ns FROM image WHERE batch = ? AND file IS NOT NULL", (number,))
    files = tuple((Path(os.fsdecode(file)), size, mtime_ns) for file, size, mtime_ns in rows)
    return _Received(number, label or "", Path(os.fsdecode(root)), bool(spooled), files)


def _remove_raw(batch: _Received, archive: Path | None) -> None:
    for relative in _as_taken(batch):
        source = batch.root / relative
        if archive is not None:
            name = relative.name if relative.is_absolute() else relative
            target = _free(archive / batch.root.name / name, source, batch.number)
            target.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            carry(source, target, move=True)
        else:
            source.unlink(missing_ok=True)
    if batch.spooled or batch.label == batch.root.name:  # the folder is the batch's own
        _prune(batch.root)


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


def _free(target: Path, source: Path, number: int) -> Path:
    """Return a name in the archive that is not of another file; one that was being moved there is moved again."""
    if not target.exists() or _look(target) == _look(source):
        return target
    return target.with_name(f"{target.stem}.{number}{target.suffix}")


def _look(path: Path) -> tuple[int, int]:
    status = path.stat()
    return status.st_size, status.st_mtime_ns


def _prune(root: Path) -> None:
    """Remove a folder of which only folders are left."""
    for folder, _, _ in os.walk(root, topdown=False):
        with suppress(OSError):
            Path(folder).rmdir()


def _forget(outbox: Outbox, number: int, kept: bool) -> None:
    """Wipe what may identify: where the files came from, what they were called, and identifiers of what went out as it was."""
    with outbox.database.writing() as transaction:
        transaction.count(
            "UPDATE batch SET cleaned = ?, kept = ?, label = NULL, root = NULL WHERE id = ?",
            (outbox.clock.now(), int(kept), number),
        )
        transaction.count("UPDATE image SET file = NULL, clean = NULL WHERE batch = ?", (number,))
        transaction.count(
            "UPDATE image SET instance = NULL, series = NULL, study = NULL, patient = NULL, name = NULL"
            " WHERE batch = ? AND as_is = 1",
            (number,),
        )
