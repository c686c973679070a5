"""The states of an image and of a batch, and which may follow which."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum


class State(StrEnum):
    """How far an image has come, in the order of the work."""

    NEW = "NEW"  # added; the raw file is in place
    PROCESSING = "PROCESSING"  # de-identification has started; nothing was asked of a destination
    DONEPROCESSING = "DONEPROCESSING"  # the de-identified file is on disk, or the raw one goes out by explicit setting
    SENT = "SENT"  # sent, and verified received, at every destination
    DONE = "DONE"  # all of its batch has been received: what is left behind may be cleaned up
    SKIPPED = "SKIPPED"  # left out, as the recipe says
    ERROR = "ERROR"  # cannot go on

    @property
    def ends(self) -> bool:
        """Whether nothing follows by itself."""
        return self in (State.DONE, State.SKIPPED, State.ERROR)


ORDER = (State.NEW, State.PROCESSING, State.DONEPROCESSING, State.SENT, State.DONE, State.SKIPPED)
ALLOWED: Mapping[State, frozenset[State]] = {
    State.NEW: frozenset({State.PROCESSING, State.ERROR}),
    State.PROCESSING: frozenset({State.DONEPROCESSING, State.SKIPPED, State.ERROR}),
    State.DONEPROCESSING: frozenset({State.NEW, State.SENT, State.ERROR}),  # NEW: other rules hold now
    State.SENT: frozenset({State.DONE}),
    State.DONE: frozenset(),
    State.SKIPPED: frozenset(),
    State.ERROR: frozenset({State.NEW, State.DONEPROCESSING}),  # by `retry` only
}


def may_become(before: State, after: State) -> bool:
    """Say whether a transition is one of those above."""
    return after in ALLOWED[before]


def batch_state(counts: Mapping[State, int]) -> State:
    """Return the state of a batch: that of its least advanced image which is not in ERROR.

    Examples
    --------
    >>> batch_state({State.SENT: 40, State.PROCESSING: 2, State.ERROR: 1})
    <State.PROCESSING: 'PROCESSING'>
    >>> batch_state({State.ERROR: 3})
    <State.ERROR: 'ERROR'>
    """
    return next((state for state in ORDER if counts.get(state)), State.ERROR)


def retried(failed_in: State) -> State:
    """Return where an image in ERROR goes on: what was being de-identified is begun anew from the raw file."""
    return State.NEW if failed_in in (State.NEW, State.PROCESSING) else failed_in
