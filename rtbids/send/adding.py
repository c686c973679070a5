"""Taking in a finished batch, once: a file is known by the HMAC of its path, size and time of change."""

from __future__ import annotations

import hashlib
import hmac
import logging
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from rtbids.send.database import Transaction
from rtbids.send.found import Found
from rtbids.send.states import State

if TYPE_CHECKING:
    from rtbids.send.outbox import Outbox

logger = logging.getLogger("rtbids")
NO_IMAGE = "the folder holds no DICOM image"
_TOGETHER = 500


@dataclass(frozen=True)
class _File:
    file: bytes  # relative to the batch's folder where it lies there
    size: int
    mtime_ns: int
    identity: bytes
    fault: str | None


def add(outbox: Outbox, found: Found) -> int | None:
    """Write a batch and its images into the database in one transaction, those left out that are known."""
    files = _files(outbox.secret, found)
    named = len(found.files) + len(found.broken)
    if len(files) < named:
        logger.warning("%d of %d files of a batch were gone before they could be taken in", named - len(files), named)
    with outbox.database.reading() as transaction:
        if (named and not files) or (files and _all_seen(transaction, files)):
            return None
    with outbox.database.writing() as transaction:
        number = _insert(transaction, outbox.clock.now(), found, files, identity(outbox.secret, found.root, 0, 0))
    if number is not None and not files:
        logger.warning("batch %d: ERROR: %s", number, NO_IMAGE)
    elif number is not None:
        logger.info("batch %d: NEW, %d files", number, len(files))
    return number


def known(outbox: Outbox, found: Found) -> bool:
    """Say whether every file of a batch was taken in before."""
    files = _files(outbox.secret, found)
    with outbox.database.reading() as transaction:
        return bool(files) and _all_seen(transaction, files)


def _files(secret: bytes, found: Found) -> list[_File]:
    """Return the files that are there: one that is gone was renamed, and is found under its new name, or is no more."""
    named: list[tuple[Path, str | None]] = [*((path, None) for path in found.files), *found.broken]
    return [file for path, fault in named if (file := _file(secret, found.root, path, fault)) is not None]


def _file(secret: bytes, root: Path, path: Path, fault: str | None) -> _File | None:
    name = os.fsencode(path.relative_to(root) if path.is_relative_to(root) else path)
    try:
        status = path.stat() if fault is None else path.lstat()  # a link to nothing is one that is there
    except FileNotFoundError:
        return None
    known_by = identity(secret, path, status.st_size, status.st_mtime_ns)
    return _File(name, status.st_size, status.st_mtime_ns, known_by, fault)


def identity(secret: bytes, path: Path, size: int, mtime_ns: int) -> bytes:
    """Return what a file is known by."""
    words = b"\0".join((os.fsencode(path.absolute()), str(size).encode(), str(mtime_ns).encode()))
    return hmac.digest(secret, words, hashlib.sha256)[:16]


def _all_seen(transaction: Transaction, files: list[_File]) -> bool:
    for start in range(0, len(files), _TOGETHER):
        some = {file.identity for file in files[start : start + _TOGETHER]}
        marks = ", ".join("?" * len(some))
        [[seen]] = transaction.rows(f"SELECT count(*) FROM seen WHERE identity IN ({marks})", list(some))
        if seen < len(some):
            return False
    return True


def _insert(transaction: Transaction, now: float, found: Found, files: list[_File], empty: bytes) -> int | None:
    new = [file for file in files if _is_new(transaction, file.identity)]
    if not new and (files or not _is_new(transaction, empty)):
        return None
    state, reason = (State.NEW, None) if new else (State.ERROR, NO_IMAGE)
    label = found.label.encode("utf-8", "backslashreplace").decode()
    [[number]] = transaction.rows(
        "INSERT INTO batch (added, changed, state, images, new, errors, label, root, spooled, reason)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?) RETURNING id",
        (
            now,
            now,
            state,
            len(new),
            len(new),
            int(not new),
            label,
            os.fsencode(found.root.absolute()),
            int(found.spooled),
            reason,
        ),
    )
    transaction.each(
        "INSERT INTO image (batch, identity, state, file, size, mtime_ns, added, changed, fault)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
        ((number, f.identity, State.NEW, f.file, f.size, f.mtime_ns, now, now, f.fault) for f in new),
    )
    transaction.rows(
        "INSERT INTO transition (at, batch, image, after) SELECT added, batch, id, state FROM image WHERE batch = ?", (number,)
    )
    transaction.rows("INSERT INTO transition (at, batch, after, reason) VALUES (?, ?, ?, ?)", (now, number, state, reason))
    return int(number)


def _is_new(transaction: Transaction, identity: bytes) -> bool:
    return transaction.count("INSERT INTO seen (identity) VALUES (?) ON CONFLICT DO NOTHING", (identity,)) == 1
