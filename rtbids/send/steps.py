"""The steps of the work as transitions in the database, many images at a time."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rtbids.send.backoff import delay, exhausted
from rtbids.send.claims import Raw, Waiting, marks, owner_of, rules_of
from rtbids.send.database import Transaction
from rtbids.send.destinations import Failure
from rtbids.send.settings import Settings
from rtbids.send.settle import Settle, at_once
from rtbids.send.states import State

if TYPE_CHECKING:
    from rtbids.send.outbox import Outbox

AS_IS = "not de-identified: it goes out as it is, by setting"
DAY = 86400  # seconds; days are those of UTC
OTHER_CONTENT = "another image of this SOP Instance UID, with other content, was taken in before"


@dataclass(frozen=True)
class Cleaned:
    """What is to leave, and what it is called. All identifiers are the new ones unless it goes out ``as_is``."""

    sop_class: str
    instance: str
    series: str
    study: str
    patient: str
    syntax: str
    size: int
    sha256: str
    raw: tuple[int, int]  # size and time of change of the file that was read
    clean: str | None  # file, relative to the outbox; None for the raw one
    original: bool = False  # whether one of the identifiers is of before

    @property
    def as_is(self) -> bool:
        return self.clean is None

    @property
    def name(self) -> str:
        return "/".join(part or "unknown" for part in (self.patient, self.study, self.series)) + f"/{self.instance}.dcm"


def cleaned(outbox: Outbox, results: Sequence[tuple[Raw, Cleaned]]) -> list[Raw]:
    """Let images pass to DONEPROCESSING; those are returned, and not moved, whose UID another image has with other content."""
    clashes = []
    with outbox.database.writing() as transaction, at_once(outbox, transaction, {raw.batch for raw, _ in results}) as settle:
        mine = _mine(outbox, transaction, [raw.image for raw, _ in results])
        active = [number for [number] in transaction.rows("SELECT id FROM destination WHERE active = 1 ORDER BY id")]
        for raw, result in results:
            if raw.image not in mine:
                continue
            same_as, clash = _same(outbox.secret, transaction, raw, result)
            if clash:
                clashes.append(raw)
            else:
                _write(outbox, transaction, settle, raw, result, same_as)
                _deliver(transaction, settle, raw, active, same_as)
    outbox.tally.add(settle.moved)
    outbox.bell.ring()
    return clashes


def _mine(outbox: Outbox, transaction: Transaction, images: Sequence[int]) -> set[int]:
    """Return the images that this process still holds: one that was taken for gone has lost them."""
    if not images:
        return set()
    sql = f"SELECT id FROM image WHERE owner = ? AND state = 'PROCESSING' AND id IN {marks(images)}{transaction.lock}"
    return {image for [image] in transaction.rows(sql, (owner_of(outbox), *images))}


def _key(secret: bytes, instance: str) -> bytes:
    return hmac.digest(secret, instance.encode(), hashlib.sha256)[:16]


def _same(secret: bytes, transaction: Transaction, raw: Raw, result: Cleaned) -> tuple[int | None, bool]:
    """Return the image taken in before that is the same as this one, and whether there is one of its UID that is not.

    One that could not go on, and arrived nowhere, gives way.
    """
    key = _key(secret, result.instance)
    transaction.count(
        "INSERT INTO instance (instance_key, image, sha256) VALUES (?, ?, ?) ON CONFLICT DO NOTHING",
        (key, raw.image, result.sha256),
    )
    [[image, sha256]] = transaction.rows("SELECT image, sha256 FROM instance WHERE instance_key = ?", (key,))
    if image == raw.image or _arrives_nowhere(transaction, image):
        mine = (raw.image, result.sha256, key)
        transaction.count("UPDATE instance SET image = ?, sha256 = ? WHERE instance_key = ?", mine)
        return None, False
    return (image, False) if sha256 == result.sha256 else (None, True)


def _arrives_nowhere(transaction: Transaction, image: int) -> bool:
    arrived = "EXISTS (SELECT 1 FROM delivery WHERE image = i.id AND (state = 'SENT' OR under_way = 1))"
    return bool(transaction.rows(f"SELECT 1 FROM image i WHERE id = ? AND state = 'ERROR' AND NOT {arrived}", (image,)))


def _write(outbox: Outbox, transaction: Transaction, settle: Settle, raw: Raw, result: Cleaned, same_as: int | None) -> None:
    said = f"the same as image {same_as}, which is sent once" if same_as else AS_IS if result.as_is else None
    settle.move([(raw.image, raw.batch)], State.PROCESSING, State.DONEPROCESSING, said)
    transaction.count(
        "UPDATE image SET owner = NULL, tries = 0, first = NULL, due = 0, as_is = ?, same_as = ?, size = ?, mtime_ns = ?,"
        " clean = ?, clean_size = ?, sha256 = ?, instance_key = ?, sop_class = ?, instance = ?, series = ?, study = ?,"
        " patient = ?, name = ?, syntax = ?, original = ?, rules = ? WHERE id = ?",
        (
            *(int(result.as_is), same_as, *result.raw, result.clean, result.size, result.sha256),
            _key(outbox.secret, result.instance),
            *(result.sop_class, result.instance, result.series, result.study, result.patient, result.name, result.syntax),
            *(int(result.original), rules_of(outbox), raw.image),
        ),
    )


def _deliver(transaction: Transaction, settle: Settle, raw: Raw, active: Sequence[int], same_as: int | None) -> None:
    if same_as is None:
        transaction.count("UPDATE delivery SET state = 'DONEPROCESSING' WHERE image = ? AND state = 'NEW'", (raw.image,))
        transaction.each(
            "INSERT INTO delivery (image, destination, batch, state) VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING",
            [(raw.image, destination, raw.batch, State.DONEPROCESSING) for destination in active],
        )
        return
    # As it stays until the end: whoever moves that image meanwhile would not see this one yet, and nobody would move it.
    [[state]] = transaction.rows(f"SELECT state FROM image WHERE id = ?{transaction.lock}", (same_as,))
    if state in (State.SENT, State.DONE):
        settle.move([(raw.image, raw.batch)], State.DONEPROCESSING, State.SENT, f"the same as image {same_as}, which was sent")
    elif state == State.ERROR:
        settle.move([(raw.image, raw.batch)], State.DONEPROCESSING, State.ERROR, f"the same as image {same_as}: see there")


def skipped(outbox: Outbox, raw: Raw, reason: str) -> None:
    """Let an image pass to SKIPPED: the recipe leaves it out."""
    with outbox.database.writing() as transaction, at_once(outbox, transaction, {raw.batch}) as settle:
        if _mine(outbox, transaction, [raw.image]):
            settle.move([(raw.image, raw.batch)], State.PROCESSING, State.SKIPPED, reason)
            transaction.count("UPDATE image SET owner = NULL WHERE id = ?", (raw.image,))
    outbox.bell.ring()


def failed(outbox: Outbox, raw: Raw, reason: str, quarantine: bytes | None) -> None:
    """Let an image pass to ERROR; `quarantine` is where it lies now, relative to the outbox."""
    with outbox.database.writing() as transaction, at_once(outbox, transaction, {raw.batch}) as settle:
        if _mine(outbox, transaction, [raw.image]):
            settle.move([(raw.image, raw.batch)], State.PROCESSING, State.ERROR, reason)
            transaction.count("UPDATE image SET owner = NULL, quarantine = ? WHERE id = ?", (quarantine, raw.image))
    outbox.tally.add(settle.moved)
    outbox.bell.ring()


def postponed(outbox: Outbox, raws: Sequence[Raw], reason: str, seconds: float) -> None:
    """Leave images in PROCESSING, to be tried again after `seconds`; since when counts anew with another reason."""
    now = outbox.clock.now()
    with outbox.database.writing() as transaction:
        mine = _mine(outbox, transaction, [raw.image for raw in raws])
        transaction.each(
            "UPDATE image SET owner = NULL, tries = tries + 1, due = ?, reason = ?,"
            " first = CASE WHEN reason = ? THEN coalesce(first, ?) ELSE ? END WHERE id = ?",
            [(now + seconds, reason, reason, now, now, raw.image) for raw in raws if raw.image in mine],
        )


Answer = tuple[Waiting, Failure | None]


def answered(outbox: Outbox, destination: int, answers: Sequence[Answer], settings: Settings) -> None:
    """Write down what a destination made of images, and let those pass on that no destination waits for any more."""
    if not answers:
        return
    now = outbox.clock.now()
    with outbox.database.writing() as transaction, at_once(outbox, transaction, {each.batch for each, _ in answers}) as settle:
        mine = _delivering(outbox, transaction, destination, [each.image for each, _ in answers])
        for each, failure in answers:
            if each.image not in mine:
                continue
            if failure is None:
                _arrived(transaction, settle, destination, each, now)
            elif failure.permanent or exhausted(each.tries + 1, each.first or now, now, settings.attempts, settings.age):
                _refused(transaction, settle, destination, each, failure.reason)
            else:
                _again(transaction, settle, destination, each, failure.reason, now)
        _count(transaction, destination, [answer for answer in answers if answer[0].image in mine], now)
        pass_on(transaction, settle, [(each.image, each.batch) for each, _ in answers if each.image in mine])
    outbox.tally.add(settle.moved)
    outbox.bell.ring()


def _count(transaction: Transaction, destination: int, answers: Sequence[Answer], now: float) -> None:
    """Keep the totals of a destination, and of each day, which outlast a purge."""
    arrived = [each.item.size for each, failure in answers if failure is None]
    transaction.count(
        "UPDATE destination SET sent = sent + ?, bytes = bytes + ?, retries = retries + ? WHERE id = ?",
        (len(arrived), sum(arrived), len(answers) - len(arrived), destination),
    )
    if arrived:
        transaction.count(
            "INSERT INTO day (day, destination, images, bytes) VALUES (?, ?, ?, ?) ON CONFLICT (day, destination)"
            " DO UPDATE SET images = day.images + excluded.images, bytes = day.bytes + excluded.bytes",
            (int(now // DAY), destination, len(arrived), sum(arrived)),
        )


def _delivering(outbox: Outbox, transaction: Transaction, destination: int, images: Sequence[int]) -> set[int]:
    owner = owner_of(outbox)
    rows = transaction.rows(
        f"SELECT image FROM delivery WHERE destination = ? AND owner = ? AND image IN {marks(images)}{transaction.lock}",
        (destination, owner, *images),
    )
    return {image for [image] in rows}


def _arrived(transaction: Transaction, settle: Settle, destination: int, each: Waiting, now: float) -> None:
    _update(
        transaction,
        destination,
        each,
        "state = 'SENT', under_way = 0, due = 0, sent = ?, tries = tries + 1, reason = NULL",
        now,
    )
    settle.note([(each.image, each.batch)], State.DONEPROCESSING, State.SENT, None, destination)


def _refused(transaction: Transaction, settle: Settle, destination: int, each: Waiting, reason: str) -> None:
    _update(transaction, destination, each, "state = 'ERROR', under_way = 0, due = 0, tries = tries + 1, reason = ?", reason)
    settle.note([(each.image, each.batch)], State.DONEPROCESSING, State.ERROR, reason, destination)


def _again(transaction: Transaction, settle: Settle, destination: int, each: Waiting, reason: str, now: float) -> None:
    due = now + delay(each.tries + 1)
    changes = "tries = tries + 1, first = coalesce(first, ?), due = ?, reason = ?"
    _update(transaction, destination, each, changes, now, due, reason)
    settle.note([(each.image, each.batch)], State.DONEPROCESSING, State.DONEPROCESSING, reason, destination)


def _update(transaction: Transaction, destination: int, each: Waiting, changes: str, *values: object) -> None:
    sql = f"UPDATE delivery SET owner = NULL, {changes} WHERE image = ? AND destination = ?"
    transaction.count(sql, (*values, each.image, destination))


_TALLY = (
    "SELECT count(*), sum(CASE WHEN state = 'SENT' THEN 1 ELSE 0 END), sum(CASE WHEN state = 'ERROR' THEN 1 ELSE 0 END),"
    " max(CASE WHEN state = 'ERROR' THEN reason ELSE NULL END) FROM delivery WHERE image = ?"
)


def pass_on(transaction: Transaction, settle: Settle, images: Sequence[tuple[int, int]]) -> None:
    """Let those images pass on that are ready, and that no destination waits for any more."""
    for image, batch in images:
        [[total, sent, errors, reason]] = transaction.rows(_TALLY, (image,))
        if sent == total:
            settle.move([(image, batch)], State.DONEPROCESSING, State.SENT)
            _twins(transaction, settle, image, State.SENT, f"the same as image {image}, which was sent")
        elif sent + errors == total:
            settle.move([(image, batch)], State.DONEPROCESSING, State.ERROR, reason)
            _twins(transaction, settle, image, State.ERROR, f"the same as image {image}: see there")


def _twins(transaction: Transaction, settle: Settle, image: int, after: State, said: str) -> None:
    """Images that are the same as one that was sent count as sent with it, and fail with it."""
    twins = transaction.rows("SELECT id, batch FROM image WHERE same_as = ? AND state = 'DONEPROCESSING'", (image,))
    settle.move([(twin, batch) for twin, batch in twins], State.DONEPROCESSING, after, said)
    for batch in {batch for _, batch in twins}:
        settle.also(batch)
