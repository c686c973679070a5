"""How sending went, as it is said at its end: what was sent, what is left, why, and what to do about it."""

from __future__ import annotations

from collections.abc import Sequence

from rtbids.cli import console
from rtbids.errors import BadData, CannotWrite, ConnectionLost
from rtbids.plural import counted
from rtbids.send.outbox import Outbox
from rtbids.send.pool import Outcome
from rtbids.send.reasons import in_error
from rtbids.send.states import State
from rtbids.watch.finished import Held

_AGAIN = "start rtbids send again: it goes on where it was"


def so_far(outcome: Outcome) -> None:
    """Say what was done until somebody ended it, and what is left."""
    parts = [f"{counted(outcome.sent, 'image')} sent"]
    parts += [f"{outcome.errors} in ERROR"] if outcome.errors else []
    parts += [f"{outcome.waiting} still to be sent"] if outcome.waiting else []
    console.conclude(", ".join(parts))


def sum_up(outcome: Outcome, outbox: Outbox, held: Sequence[Held]) -> None:
    """Say how it went; raise what tells those who only look at the exit code."""
    status = outbox.status(per_page=1)
    errors = status.images[State.ERROR]
    is_idle = not (outcome.sent or outcome.waiting or errors or held)
    console.conclude(f"{counted(outcome.sent, 'image')} sent{_nothing(outbox) if is_idle else ''}")
    left = f"{counted(outcome.waiting, 'image')} to be sent"
    if outcome.full:
        raise CannotWrite(f"{left}: {outcome.full}" if outcome.waiting else outcome.full, f"free some space, then {_AGAIN}")
    if errors:
        raise BadData(
            f"{counted(errors, 'image')} in ERROR{_why(outbox)}", f"see which, and why: rtbids send status{outbox.named}"
        )
    if outcome.waiting:
        why = outcome.down[0] if outcome.down else _reason(outbox)
        raise ConnectionLost(f"{left}{why and f' ({why})'}", _AGAIN)
    if held:
        unfinished = counted(len(held), "folder")
        raise ConnectionLost(f"{unfinished} not finished, such as one: {held[0].reason}", "start rtbids send again when it is")


def _nothing(outbox: Outbox) -> str:
    """Say that there was nothing to do: for some source is the wrong folder."""
    with outbox.database.reading() as transaction:
        is_used = transaction.rows("SELECT 1 FROM seen LIMIT 1")
    return ": nothing new was found" if is_used else ": no image was found"


def _why(outbox: Outbox) -> str:
    """Say why images are in ERROR, where it is for one reason; else what most of them are for."""
    found = in_error(outbox)
    if len(found) > 1:
        return f", {found[0].images} of them: {found[0].reason}"
    return f": {found[0].reason}" if found else ""  # somebody may just have retried them


_HELD = "SELECT reason FROM image WHERE state = 'PROCESSING' AND reason IS NOT NULL ORDER BY id LIMIT 1"
_WAITS = (
    "SELECT t.url, d.reason FROM delivery d JOIN destination t ON t.id = d.destination"
    " WHERE d.state = 'DONEPROCESSING' AND t.active = 1 ORDER BY d.reason IS NULL, t.id LIMIT 1"
)


def _reason(outbox: Outbox) -> str:
    """Say why images wait here, or what for at a destination that answers."""
    with outbox.database.reading() as transaction:
        if held := transaction.rows(_HELD):
            return str(held[0][0])
        rows = transaction.rows(_WAITS)
    return next((str(reason or f"{url} has not taken them in time") for url, reason in rows), "")
