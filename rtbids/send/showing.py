"""One batch, image by image."""

from __future__ import annotations

import os
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from rtbids.errors import InputMissing
from rtbids.send.database import Transaction
from rtbids.send.states import State
from rtbids.send.status import BatchStatus

if TYPE_CHECKING:
    from rtbids.send.outbox import Outbox


@dataclass(frozen=True)
class DeliveryShown:
    """One image on its way to one destination."""

    url: str
    state: State
    tries: int
    sent: float | None
    next_try: float | None
    reason: str | None


@dataclass(frozen=True)
class TransitionShown:
    """A change of state; ``before`` is None where something was taken in."""

    at: float
    before: State | None
    after: State
    reason: str | None
    url: str | None  # of the destination that it concerns


@dataclass(frozen=True)
class ImageShown:
    """An image. Its raw ``file`` and where it is in ``quarantine`` may identify: they are not in the JSON."""

    image: int
    state: State
    size: int
    clean_size: int | None
    as_is: bool
    original: bool  # whether it goes out under an identifier of before
    instance: str | None  # the new SOP Instance UID
    same_as: int | None
    reason: str | None
    next_try: float | None
    file: str | None
    quarantine: str | None
    deliveries: tuple[DeliveryShown, ...]
    transitions: tuple[TransitionShown, ...]

    def as_json(self) -> dict[str, Any]:
        hidden = {"file", "quarantine"} | ({"instance"} if self.as_is or self.original else set())
        return {key: value for key, value in asdict(self).items() if key not in hidden}


@dataclass(frozen=True)
class Shown:
    """A batch and its images."""

    batch: BatchStatus
    root: str | None
    transitions: tuple[TransitionShown, ...]
    images: tuple[ImageShown, ...]

    def as_json(self) -> dict[str, Any]:
        """Return what the JSON form holds; no identifiers."""
        return self.batch.as_json() | {
            "transitions": [asdict(each) for each in self.transitions],
            "images": [each.as_json() for each in self.images],
        }


def shown(outbox: Outbox, number: int) -> Shown:
    """Return a batch; raise InputMissing where there is none of that number."""
    with outbox.database.reading() as transaction:
        rows = transaction.rows(
            "SELECT id, state, images, errors, added, changed, label, reason, root FROM batch WHERE id = ?", (number,)
        )
        if not rows:
            raise InputMissing(f"no batch {number} in the outbox", f"rtbids send status{outbox.named} lists them")
        transitions = _transitions(transaction, number)
        deliveries = _deliveries(transaction, number)
        images = transaction.rows(
            "SELECT id, state, size, clean_size, as_is, original, instance, same_as, reason, due, file, quarantine FROM image"
            " WHERE batch = ? ORDER BY id",
            (number,),
        )
    *words, root = rows[0]
    batch = BatchStatus(words[0], State(words[1]), *words[2:])
    return Shown(
        batch,
        _text(root),
        tuple(transitions.get(None, ())),
        tuple(_image(row, deliveries.get(row[0], []), transitions.get(row[0], [])) for row in images),
    )


def _image(row: tuple[Any, ...], deliveries: list[DeliveryShown], transitions: list[TransitionShown]) -> ImageShown:
    number, state, size, clean_size, as_is, original, instance, same_as, reason, due, file, quarantine = row
    return ImageShown(
        *(number, State(state), size, clean_size, bool(as_is), bool(original), instance, same_as, reason, due or None),
        *(_text(file), _text(quarantine), tuple(deliveries), tuple(transitions)),
    )


def _text(path: bytes | None) -> str | None:
    return None if path is None else os.fsdecode(path)


def _deliveries(transaction: Transaction, number: int) -> dict[int, list[DeliveryShown]]:
    found: dict[int, list[DeliveryShown]] = {}
    for image, url, state, tries, sent, due, reason in transaction.rows(
        "SELECT d.image, t.url, d.state, d.tries, d.sent, d.due, d.reason FROM delivery d"
        " JOIN destination t ON t.id = d.destination WHERE d.batch = ? ORDER BY d.image, t.id",
        (number,),
    ):
        waits = state == State.DONEPROCESSING and due
        found.setdefault(image, []).append(DeliveryShown(url, State(state), tries, sent, due if waits else None, reason))
    return found


def _transitions(transaction: Transaction, number: int) -> dict[int | None, list[TransitionShown]]:
    found: dict[int | None, list[TransitionShown]] = {}
    for image, at, before, after, reason, url in transaction.rows(
        "SELECT r.image, r.at, r.before, r.after, r.reason, t.url FROM transition r"
        " LEFT JOIN destination t ON t.id = r.destination WHERE r.batch = ? ORDER BY r.id",
        (number,),
    ):
        was = None if before is None else State(before)
        found.setdefault(image, []).append(TransitionShown(at, was, State(after), reason, url))
    return found
