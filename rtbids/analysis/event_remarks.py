"""What is unusual about the events of a run, and is nothing that an analysis could refuse."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence

from rtbids.analysis.response import LENGTH
from rtbids.bids.events import Event


def beforehand(rows: Sequence[Event], length: float | None, *, modelled: bool) -> Iterator[str]:
    """Yield what can be said of events when a run begins.

    Parameters
    ----------
    rows
        Those known.
    length
        Of the run in seconds, None where nobody knows.
    modelled
        Whether they are in a model.
    """
    for name, own in _by_condition(rows):
        outside = [event for event in own if event.end + LENGTH <= 0 or (length is not None and event.onset >= length)]
        if outside:
            run = "before the run" if length is None else f"outside the run of {length:g} s"
            yield f"{len(outside)} of {len(own)} events of {name!r} lie {run}: no effect"
        overlaps = [after.onset for before, after in itertools.pairwise(own) if after.onset < before.end - 1e-6]
        if overlaps:
            yield f"events of {name!r} overlap, first at {overlaps[0]:g} s{': their responses add up' if modelled else ''}"


def afterwards(rows: Sequence[Event], length: float) -> Iterator[str]:
    """Yield what is known of events only when a run is over, after `length` seconds: that it never came to them."""
    late = {name: [event.onset for event in own if event.onset >= length] for name, own in _by_condition(rows)}
    counts = [f"{len(onsets)} of {name!r}" for name, onsets in late.items() if onsets]
    if counts:
        first = min(min(onsets) for onsets in late.values() if onsets)
        yield f"the run ended at {length:g} s, before these events, the first at {first:g} s: {', '.join(counts)}"


def _by_condition(rows: Sequence[Event]) -> Iterator[tuple[str, list[Event]]]:
    for name in dict.fromkeys(event.trial_type for event in rows):
        yield name, sorted((event for event in rows if event.trial_type == name), key=lambda event: event.onset)
