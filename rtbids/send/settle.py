"""Transitions: each is written down with its time and reason, and the state of its batch follows from those of its images."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from rtbids.send.database import JOINING, Transaction
from rtbids.send.states import State, batch_state, may_become

if TYPE_CHECKING:
    from rtbids.send.outbox import Outbox

logger = logging.getLogger("rtbids")
_COUNTS = "SELECT state, count(*) FROM image WHERE batch = ? AND dismissed = 0 GROUP BY state"
_REFUSED = (
    "SELECT count(*) FROM image i WHERE batch = ? AND state <> 'ERROR' AND dismissed = 0"
    " AND EXISTS (SELECT 1 FROM delivery d WHERE d.image = i.id AND d.state = 'ERROR')"
)
_HAS_REFUSED = "SELECT 1 FROM delivery WHERE batch = ? AND state = 'ERROR' LIMIT 1"
_NOTE = "INSERT INTO transition (at, batch, image, destination, before, after, reason) VALUES (?, ?, ?, ?, ?, ?, ?)"
_TALLY = f"UPDATE batch SET state = ?, errors = ?, changed = ?, {', '.join(f'{s.lower()} = ?' for s in State)} WHERE id = ?"
_FINISHED = (
    "UPDATE finished SET batches = batches + 1, seconds = seconds + ? - (SELECT added FROM batch WHERE id = ?) WHERE id = 1"
)
Pair = tuple[int, int]  # image, batch


class Settle:
    """What happens to the images of some batches in one transaction."""

    def __init__(self, transaction: Transaction, now: float, named: str) -> None:
        self._transaction = transaction
        self._now = now
        self._named = named
        self.batches: set[int] = set()
        self.moved: Counter[State] = Counter()  # images, by what they became

    def also(self, batch: int) -> None:
        """Let the state of one more batch be settled at the end."""
        self.batches.add(batch)

    def move(self, images: Sequence[Pair], before: State, after: State, reason: str | None = None) -> None:
        """Let images pass from one state into another."""
        if not may_become(before, after):
            raise AssertionError(f"an image in {before} cannot become {after}")
        moved = self._transaction.each(
            "UPDATE image SET state = ?, changed = ?, reason = ?, failed_in = ? WHERE id = ? AND state = ?",
            [(after, self._now, reason, before if after is State.ERROR else None, image, before) for image, _ in images],
        )
        if images and moved != len(images):
            raise AssertionError(f"{len(images) - moved} of {len(images)} images were not in {before}")
        self.moved[after] += len(images)
        self.note(images, before, after, reason)

    def note(
        self, images: Sequence[Pair], before: State, after: State, reason: str | None, destination: int | None = None
    ) -> None:
        """Write down what happened to images, be it on the way to one destination."""
        rows = [(self._now, batch, image, destination, before, after, reason) for image, batch in images]
        self._transaction.each(_NOTE, rows)

    def settle(self, batch: int) -> None:
        """Let the state of a batch follow."""
        counts, errors = self._counts(batch)
        if set(counts) <= {State.SENT, State.DONE, State.SKIPPED} and State.SENT in counts and not errors:
            rows = self._transaction.rows("SELECT id, batch FROM image WHERE batch = ? AND state = 'SENT'", (batch,))
            self.move([(image, batch) for image, batch in rows], State.SENT, State.DONE)
            skipped = counts.get(State.SKIPPED, 0)
            counts = {State.DONE: sum(counts.values()) - skipped, State.SKIPPED: skipped}
        [[before]] = self._transaction.rows("SELECT state FROM batch WHERE id = ?", (batch,))
        nothing_left = not counts or set(counts) == {State.SKIPPED}  # all of it was dismissed or left out
        after = State.DONE if nothing_left else batch_state(counts)
        tally = [counts.get(state, 0) for state in State]
        self._transaction.count(_TALLY, (after, errors, self._now, *tally, batch))
        if after is State.DONE and before != State.DONE:
            self._transaction.count(_FINISHED, (self._now, batch))
        if after != before:
            self._transaction.each(_NOTE, [(self._now, batch, None, None, before, after, None)])
            _tell(batch, after, counts, errors, self._named)

    def _counts(self, batch: int) -> tuple[dict[State, int], int]:
        counts = {State(state): int(count) for state, count in self._transaction.rows(_COUNTS, (batch,))}
        refused = 0
        if self._transaction.rows(_HAS_REFUSED, (batch,)):
            [[refused]] = self._transaction.rows(_REFUSED, (batch,))
        return counts, counts.get(State.ERROR, 0) + int(refused)


@contextmanager
def at_once(outbox: Outbox, transaction: Transaction, batches: Iterable[int]) -> Iterator[Settle]:
    """Give what moves images of `batches`, whose states are settled at the end."""
    numbers = sorted(set(batches))
    settle = Settle(transaction, outbox.clock.now(), outbox.named)
    settle.batches.update(numbers)
    transaction.rows(JOINING + transaction.share)  # nobody brings a new destination meanwhile
    if transaction.lock and numbers:  # or two who finish the last two images of one batch would not see each other
        transaction.rows(
            f"SELECT id FROM batch WHERE id IN ({', '.join('?' * len(numbers))}) ORDER BY id{transaction.lock}", numbers
        )
    yield settle
    for number in sorted(settle.batches):
        settle.settle(number)


def _tell(batch: int, state: State, counts: dict[State, int], errors: int, named: str) -> None:
    total = sum(counts.values())
    if errors:
        ask = f"rtbids send show {batch} --errors{named}"
        logger.warning("batch %d: %s, %d of %d images in error: %s", batch, state, errors, total, ask)
    else:
        logger.info("batch %d: %s, %d images", batch, state, total)
