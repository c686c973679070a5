"""Work that one worker has taken for itself: images to be de-identified, and deliveries."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from rtbids.errors import RtbidsError
from rtbids.send.database import Row, Transaction
from rtbids.send.destinations import Item
from rtbids.send.settle import at_once
from rtbids.send.states import State

if TYPE_CHECKING:
    from rtbids.send.outbox import Outbox


@dataclass(frozen=True)
class Raw:
    """An image that is to be de-identified."""

    image: int
    batch: int
    path: Path
    size: int
    mtime_ns: int
    spooled: bool
    tries: int
    first: float | None  # POSIX seconds of the first try
    fault: str | None  # why it is known to be unusable
    root: Path  # the batch's folder
    reason: str | None = None  # why it was put off last


@dataclass(frozen=True)
class Waiting:
    """An image that is to go to a destination; of one ``under_way`` it is not known whether it arrived."""

    image: int
    batch: int
    item: Item
    under_way: bool
    tries: int
    first: float | None
    mtime_ns: int | None  # of a raw file that goes out as it is


def owner_of(outbox: Outbox) -> int:
    """Return the number of this process, which must have been entered."""
    if outbox.owner is None:
        raise RtbidsError("the outbox is not being worked on by this process")
    return outbox.owner.number


def rules_of(outbox: Outbox) -> str:
    """Return by which rules this process makes what leaves."""
    return outbox.owner.rules if outbox.owner is not None else ""


def marks(values: Sequence[object]) -> str:
    return "(" + ", ".join("?" * len(values)) + ")"


def claim_images(outbox: Outbox, limit: int) -> list[Raw]:
    """Take the images that wait longest for de-identification, and say that it has begun."""
    owner, now = owner_of(outbox), outbox.clock.now()
    with outbox.database.writing() as transaction:
        found = _to_clean(transaction, State.PROCESSING, now, limit)  # what was begun comes first
        found += _to_clean(transaction, State.NEW, now, limit - len(found))
        if not found:
            return []
        numbers = [row[0] for row in found]
        with at_once(outbox, transaction, {row[1] for row in found}) as settle:
            transaction.count(f"UPDATE image SET owner = ? WHERE id IN {marks(numbers)}", (owner, *numbers))
            settle.move([(row[0], row[1]) for row in found if row[8] == State.NEW], State.NEW, State.PROCESSING)
        batches = sorted({row[1] for row in found})
        places = transaction.rows(f"SELECT id, root, spooled FROM batch WHERE id IN {marks(batches)}", batches)
    roots = {number: (Path(os.fsdecode(root)), bool(spooled)) for number, root, spooled in places}
    return [_raw(row, *roots[row[1]]) for row in found]


def _to_clean(transaction: Transaction, state: State, now: float, limit: int) -> list[Row]:
    return transaction.rows(
        "SELECT id, batch, file, size, mtime_ns, tries, first, fault, state, reason FROM image"
        " WHERE state = ? AND owner IS NULL AND due <= ? AND file IS NOT NULL ORDER BY id LIMIT ?" + transaction.skip,
        (state, now, limit),
    )


def _raw(row: tuple[object, ...], root: Path, spooled: bool) -> Raw:
    image, batch, file, size, mtime_ns, tries, first, fault, _, reason = row
    path = root / os.fsdecode(file)  # type: ignore[arg-type]
    return Raw(image, batch, path, size, mtime_ns, spooled, tries, first, fault, root, reason)  # type: ignore[arg-type]


_ITEM = "i.clean, i.sop_class, i.instance, i.series, i.study, i.patient, i.clean_size, i.sha256, i.name, i.syntax"
_WAITING = (
    f"SELECT d.image, d.batch, d.under_way, d.tries, d.first, i.as_is, i.file, i.mtime_ns, b.root, {_ITEM} FROM delivery d"
    " JOIN image i ON i.id = d.image JOIN batch b ON b.id = d.batch"
)


def claim_deliveries(outbox: Outbox, destination: int, limit: int, whole: bool = False) -> list[Waiting]:
    """Take images that wait for a destination, and write down that they are under way; none where it is not due yet.

    `whole` takes all of one batch, once nothing of it is left to be de-identified.
    """
    owner, now, rules = owner_of(outbox), outbox.clock.now(), rules_of(outbox)
    with outbox.database.writing() as transaction:
        if not transaction.rows("SELECT id FROM destination WHERE id = ? AND due <= ?", (destination, now)):
            return []
        chosen = (
            _whole_batch(transaction, destination, now, rules)
            if whole
            else _longest_waiting(transaction, destination, now, rules, limit)
        )
        if not chosen:
            return []
        found = [_waiting(outbox, row) for row in _with_items(transaction, destination, chosen)]
        transaction.each(
            "UPDATE delivery SET owner = ?, under_way = 1 WHERE image = ? AND destination = ?",
            [(owner, image, destination) for image in chosen],
        )
    return found


def _longest_waiting(transaction: Transaction, destination: int, now: float, rules: str, limit: int) -> list[int]:
    found = transaction.rows(
        "SELECT image FROM delivery WHERE owner IS NULL AND state = 'DONEPROCESSING' AND destination = ? AND due <= ?"
        " AND EXISTS (SELECT 1 FROM image i WHERE i.id = delivery.image AND i.rules = ?)"
        " ORDER BY image LIMIT ?" + transaction.skip,
        (destination, now, rules, limit),
    )
    return [image for [image] in found]


def _whole_batch(transaction: Transaction, destination: int, now: float, rules: str) -> list[int]:
    batches = transaction.rows(
        "SELECT id FROM batch b WHERE state IN ('DONEPROCESSING', 'SENT')"
        " AND EXISTS (SELECT 1 FROM delivery WHERE batch = b.id AND destination = ? AND state = 'DONEPROCESSING' AND due <= ?)"
        " AND NOT EXISTS (SELECT 1 FROM delivery WHERE batch = b.id AND destination = ? AND owner IS NOT NULL)"
        " AND NOT EXISTS (SELECT 1 FROM image WHERE batch = b.id AND state = 'DONEPROCESSING' AND rules <> ?)"
        " ORDER BY id LIMIT 1" + transaction.skip,
        (destination, now, destination, rules),
    )
    if not batches:
        return []
    found = transaction.rows(
        "SELECT image FROM delivery WHERE batch = ? AND destination = ? AND owner IS NULL AND state = 'DONEPROCESSING'"
        " ORDER BY image" + transaction.lock,
        (*batches[0], destination),
    )
    return [image for [image] in found]


def _with_items(transaction: Transaction, destination: int, images: list[int]) -> list[tuple[object, ...]]:
    found: list[tuple[object, ...]] = []
    for start in range(0, len(images), 500):
        some = images[start : start + 500]
        sql = f"{_WAITING} WHERE d.destination = ? AND d.image IN {marks(some)} ORDER BY d.image"
        found += transaction.rows(sql, (destination, *some))
    return found


def _waiting(outbox: Outbox, row: tuple[object, ...]) -> Waiting:
    image, batch, under_way, tries, first, as_is, file, mtime_ns, root, clean, *rest = row
    sop_class, instance, series, study, patient, size, sha256, name, syntax = rest
    path = Path(os.fsdecode(root)) / os.fsdecode(file) if as_is else outbox.folder.root / str(clean)  # type: ignore[arg-type]
    item = Item(path, sop_class, instance, series, study, patient, size, sha256, name, syntax)  # type: ignore[arg-type]
    return Waiting(image, batch, item, bool(under_way), tries, first, mtime_ns if as_is else None)  # type: ignore[arg-type]


def release(outbox: Outbox, images: Sequence[Raw] = (), deliveries: Sequence[Waiting] = (), destination: int = 0) -> None:
    """Give back what was claimed and not done; deliveries that had not begun are not under way any more."""
    owner = owner_of(outbox)
    with outbox.database.writing() as transaction:
        transaction.each("UPDATE image SET owner = NULL WHERE id = ? AND owner = ?", [(raw.image, owner) for raw in images])
        transaction.each(
            "UPDATE delivery SET owner = NULL, under_way = ? WHERE image = ? AND destination = ? AND owner = ?",
            [(int(each.under_way), each.image, destination, owner) for each in deliveries],
        )
