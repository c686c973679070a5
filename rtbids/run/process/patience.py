"""How long a script may be silent before it is started again, and how often it is."""

from __future__ import annotations

from collections.abc import Iterable

from rtbids.run.process.host import Stage

LOADING = 120.0  # seconds that a script may take to be imported, or to start: some load models
DEADLINES = 10  # that it may be silent for
SILENCE = 120.0  # seconds, where the source waits and nobody said how long a volume may take
LAST_WORDS = 5.0  # seconds that `end(run)` may take
MOST_RESTARTS = 3  # in a row without an answer
CUT = 60.0  # seconds that a run which is over waits for a connection to its scripts, beside what these may take


def patience(stage: Stage | None, deadlines: Iterable[float], *, is_last: bool, is_ending: bool) -> float:
    """Return how long a script may be silent, in seconds.

    Parameters
    ----------
    stage
        What it is at.
    deadlines
        In seconds, of the runs that it is in, where they have one.
    is_last
        Whether it has nothing left to do but to end.
    is_ending
        Whether it is to end a run.
    """
    if is_last:
        return LAST_WORDS
    if stage in ("starting", "loading"):
        return LOADING
    if is_ending:
        return LAST_WORDS
    longest = max(deadlines, default=None)
    return SILENCE if longest is None else DEADLINES * longest
