"""How an outbox stands: counts by state, the destinations, what waits longest, and the batches, a page at a time."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from rtbids.send.database import Transaction
from rtbids.send.owners import working
from rtbids.send.states import State

if TYPE_CHECKING:
    from rtbids.send.outbox import Outbox


@dataclass(frozen=True)
class DestinationStatus:
    """A destination. It is down ``since`` (POSIX seconds) where that is not None, for ``reason``, until ``next_try``.

    ``sent``, ``bytes`` and ``retries`` count since the outbox was made, whatever was purged; the others are as of now.
    """

    url: str
    active: bool
    waiting: int
    sent: int
    errors: int
    bytes: int
    retries: int
    since: float | None
    next_try: float | None
    reason: str | None


@dataclass(frozen=True)
class BatchStatus:
    """A batch. Its ``label`` may identify and is not kept when it is DONE: it is not in the JSON."""

    batch: int
    state: State
    images: int
    errors: int
    added: float
    changed: float
    label: str | None
    reason: str | None

    @property
    def has_error(self) -> bool:
        return self.errors > 0

    def as_json(self) -> dict[str, Any]:
        return {key: value for key, value in asdict(self).items() if key != "label"} | {"has_error": self.has_error}


@dataclass(frozen=True)
class Status:
    """The whole; ``oldest`` is since when the image that waits longest has been here, ``paused`` why workers wait."""

    now: float
    images: Mapping[State, int]
    batches: Mapping[State, int]
    with_errors: int
    destinations: tuple[DestinationStatus, ...]
    oldest: float | None
    working: int  # processes
    paused: tuple[str, ...]
    free: int  # bytes on the outbox's disk
    page: tuple[BatchStatus, ...]

    def as_json(self) -> dict[str, Any]:
        """Return what the JSON form holds; no identifiers."""
        found = asdict(self)
        found["images"], found["batches"] = dict(self.images), dict(self.batches)
        found["page"] = [batch.as_json() for batch in self.page]
        return found


def status(outbox: Outbox, page: int = 0, per_page: int = 50) -> Status:
    """Return how an outbox stands at one moment."""
    with outbox.database.reading() as transaction:
        paused = working(transaction)
        [[with_errors]] = transaction.rows("SELECT count(*) FROM batch WHERE errors > 0")
        return Status(
            now=outbox.clock.now(),
            images=_images(transaction),
            batches=_batch_counts(transaction),
            with_errors=int(with_errors),
            destinations=tuple(_destinations(transaction)),
            oldest=_oldest(transaction),
            working=len(paused),
            paused=tuple(why for why in paused if why),
            free=outbox.folder.free(),
            page=tuple(_batches(transaction, page, per_page)),
        )


def _images(transaction: Transaction) -> dict[State, int]:
    [counts] = transaction.rows(f"SELECT {', '.join(f'coalesce(sum({state.lower()}), 0)' for state in State)} FROM batch")
    return {state: int(count) for state, count in zip(State, counts, strict=True)}


def _batch_counts(transaction: Transaction) -> dict[State, int]:
    found = {State(state): int(count) for state, count in transaction.rows("SELECT state, count(*) FROM batch GROUP BY state")}
    return {state: found.get(state, 0) for state in State}


def _oldest(transaction: Transaction) -> float | None:
    first = "SELECT added FROM image WHERE state = ? ORDER BY id LIMIT 1"
    rows = [transaction.rows(first, (state,)) for state in State if not state.ends]
    return min((float(added) for found in rows for [added] in found), default=None)


def _destinations(transaction: Transaction) -> list[DestinationStatus]:
    count = "(SELECT count(*) FROM delivery WHERE destination = d.id AND state = '{}')"
    rows = transaction.rows(
        f"SELECT id, url, active, {count.format('DONEPROCESSING')}, sent, {count.format('ERROR')}, bytes, retries,"
        " since, due, reason FROM destination d ORDER BY id"
    )
    found = []
    for number, url, active, waiting, sent, errors, size, retries, since, due, reason in rows:
        next_try, why = (due, reason) if since is not None else _later(transaction, number) if waiting else (None, None)
        found.append(DestinationStatus(url, bool(active), waiting, sent, errors, size, retries, since, next_try, why))
    return found


def _later(transaction: Transaction, number: int) -> tuple[float | None, str | None]:
    """Return when the first image is tried again that a destination did not take, and what it said."""
    rows = transaction.rows(
        "SELECT due, reason FROM delivery WHERE destination = ? AND due > 0 ORDER BY due LIMIT 1",
        (number,),
    )
    return rows[0] if rows else (None, None)


def _batches(transaction: Transaction, page: int, per_page: int) -> list[BatchStatus]:
    rows = transaction.rows(
        "SELECT id, state, images, errors, added, changed, label, reason FROM batch ORDER BY id DESC LIMIT ? OFFSET ?",
        (per_page, page * per_page),
    )
    return [BatchStatus(number, State(state), *rest) for number, state, *rest in rows]
