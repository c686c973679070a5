"""When each file of a simulated scan leaves, and in which state: the plan alone, without a clock and without a file."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Literal, TypeAlias

State: TypeAlias = Literal["whole", "truncated", "short", "preallocated"]
_NONE: frozenset[int] = frozenset()
_PART_OF_TR = 0.5  # that a file written slowly, or one that is filled later, takes to become whole


@dataclass(frozen=True)
class Course:
    """How a scan is to go. Volumes are counted from 0 over the whole replay.

    Attributes
    ----------
    jitter
        Seconds by which volumes are late at the most, each by another part of it; `seed` decides which.
    pauses
        Seconds that the scanner stands still before a volume; all that follow are later by as much.
    drop, duplicate, truncate, short, preallocate
        Volumes of which nothing leaves; or whose last file leaves twice, ends in the middle, is whole but for the pixels of its
        second half, or has its full length at once and its pixels half a TR later.
    slow
        Whether each file takes its share of half a TR to be written.
    spread
        Whether the files of one volume are spread over the TR, or leave together.
    """

    jitter: float = 0.0
    seed: int = 0
    pauses: Mapping[int, float] = field(default_factory=lambda: MappingProxyType({}))
    drop: frozenset[int] = _NONE
    duplicate: frozenset[int] = _NONE
    truncate: frozenset[int] = _NONE
    short: frozenset[int] = _NONE
    preallocate: frozenset[int] = _NONE
    slow: bool = False
    spread: bool = False

    @property
    def volumes(self) -> dict[str, frozenset[int]]:
        """The volumes that something happens to, by the names of the options that ask for it."""
        return {
            "drop": self.drop,
            "duplicate": self.duplicate,
            "truncate": self.truncate,
            "short": self.short,
            "zero": self.preallocate,
            "pause": frozenset(self.pauses),
        }


@dataclass(frozen=True)
class Delivery:
    """One file: `image` of its volume, from 0, `moment` seconds after the beginning, whole `span` seconds later.

    A `copy` is the same file under another name.
    """

    image: int
    moment: float
    span: float = 0.0
    state: State = "whole"
    copy: bool = False


def deliveries(volume: int, images: int, moment: float, step: float, course: Course) -> list[Delivery]:
    """Return what leaves of one volume.

    Parameters
    ----------
    volume
        Its place in the whole replay.
    images
        How many files it has.
    moment, step
        When it would leave if nothing came between, and the time to the next one (seconds).
    """
    if volume in course.drop:
        return []
    begin = moment + sum(seconds for before, seconds in course.pauses.items() if before <= volume) + _late(volume, course)
    apart = step / images if course.spread else 0.0
    span = _PART_OF_TR * step / images if course.slow else 0.0
    *others, last = [Delivery(image, begin + image * apart, span) for image in range(images)]
    if volume in course.truncate:
        last = replace(last, state="truncated")
    elif volume in course.short:
        last = replace(last, state="short")
    elif volume in course.preallocate:
        last = replace(last, state="preallocated", span=_PART_OF_TR * step)
    again = [replace(last, copy=True)] if volume in course.duplicate else []
    return [*others, last, *again]


def _late(volume: int, course: Course) -> float:
    """Return the seconds by which a volume is late: the same for the same seed, whatever else happens."""
    return course.jitter * random.Random(f"{course.seed} {volume}").random() if course.jitter else 0.0
