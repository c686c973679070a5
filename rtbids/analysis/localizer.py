"""Which volumes of a localizer run teach a decoder what: classes from events, and parts to test it on.

The signal follows the brain by some seconds. What volume n shows is therefore what was on during its TR, `delay` seconds
before: from ``n TR - delay`` to ``(n + 1) TR - delay``. With 5 s, where the canonical response is greatest, nothing is
convolved and nothing has to be known beforehand.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rtbids.analysis.design import nearest
from rtbids.bids.events import REST, Events
from rtbids.errors import BadData

DELAY = 5.0  # seconds: the peak of the canonical response
Classes = Mapping[str, tuple[str, ...]]


@dataclass(frozen=True, eq=False)
class Samples:
    """The volumes of a run that belong to a class.

    Attributes
    ----------
    places
        Where they stand in the sequence of volumes given (n,).
    labels
        Their classes (n,).
    blocks
        A number each, the same for neighbours of one class (n,).
    """

    places: NDArray[np.int_]
    labels: NDArray[np.str_]
    blocks: NDArray[np.int_]


def shown(events: Events, index: int, repetition_time: float, delay: float) -> str | None:
    """Return the trial_type that volume `index` shows, ``rest`` where no event was on, None where several were."""
    start = index * repetition_time - delay
    types = {event.trial_type for event in events.during(start, start + repetition_time)}
    return REST if not types else types.pop() if len(types) == 1 else None


def classes_of(classes: Sequence[str] | Mapping[str, Sequence[str]], events: Events) -> Classes:
    """Return the trial types of each class; BadData where there is none, or one is in two of them."""
    named = classes if isinstance(classes, Mapping) else {name: (name,) for name in classes}
    found = {name: tuple(types) for name, types in named.items()}
    if len(found) < 2 or len(found) != len(classes):
        raise BadData(f"a decoder tells two or more classes from each other, found: {', '.join(classes) or 'none'}")
    every = [name for types in found.values() for name in types]
    if twice := sorted({name for name in every if every.count(name) > 1}):
        raise BadData(f"the trial_type {twice[0]!r} is in more than one class")
    known = (*events.conditions, REST)
    if missing := [name for name in every if name not in known]:
        there = ", ".join(events.conditions) or "none"
        raise BadData(f"no event has the trial_type {missing[0]!r}; {nearest(missing[0], known)}there are: {there}")
    return found


def samples(events: Events, indices: Sequence[int], repetition_time: float, classes: Classes, delay: float) -> Samples:
    """Return the volumes that show one class alone, of those at `indices` in the run."""
    class_of = {trial_type: name for name, types in classes.items() for trial_type in types}
    labels = [class_of.get(shown(events, index, repetition_time, delay) or "", "") for index in indices]
    places = np.array([place for place, label in enumerate(labels) if label], np.int_)
    kept = np.array(labels)[places] if places.size else np.zeros(0, np.str_)
    begins = [place == 0 or labels[place - 1] != labels[place] for place in places]
    return Samples(places, kept, np.cumsum(begins, dtype=np.int_))


def folds(labels: NDArray[np.str_], blocks: NDArray[np.int_]) -> NDArray[np.int_] | None:
    """Return the part (n,) that each sample is tested in: the k-th block of every class together. None where one has no second.

    Neighbours in time are alike whatever they show: they are never parted, or a decoder would be tested on what it was taught.
    """
    own = [list(dict.fromkeys(blocks[labels == name].tolist())) for name in np.unique(labels)]
    count = min(len(numbers) for numbers in own)
    if count < 2:
        return None
    part = {number: place % count for numbers in own for place, number in enumerate(numbers)}
    return np.array([part[number] for number in blocks.tolist()])
