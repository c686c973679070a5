"""What a report knows of one run; `rtbids.run.report.gather` reads it from the study."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np

from rtbids.bids.events import Events
from rtbids.run.record.record import STAGES
from rtbids.run.report.derived import Derived
from rtbids.run.report.figures.map_pictures import MapFound
from rtbids.run.report.figures.pictures import Slice
from rtbids.run.report.measures import Floats
from rtbids.run.responses.responses import Response

Value: TypeAlias = float | Mapping[str, Any] | None


@dataclass(frozen=True)
class Answer:
    """One line of the feedback table; times in POSIX seconds, NaN where unknown."""

    experiment: str
    volume: int
    value: Value
    status: str
    reason: str
    received: float
    due: float
    sent: float


@dataclass(frozen=True)
class Findings:
    """All that a report says.

    Attributes
    ----------
    count
        Volumes that were received; `missing` lists the indices of those that were not.
    repetition_time
        Seconds, NaN where the sidecar does not say.
    times
        POSIX seconds of each stage by volume index, NaN where unknown; all of one length.
    events, responses
        What was known beforehand, and what was sent during the run.
    truth
        What the feedback should have been, by volume index, where that is known; else empty.
    experiment
        How the feedback was made, as the caller says; `recorded` is what the sidecar of the feedback says of each experiment.
    sources
        The files this was read from, relative to the study.
    made_with
        Versions and machine: label → text.
    derived
        What the analysis found, by table: ``motion``, ``quality``, ``design``; those that there are.
    maps
        The t-map of each contrast.
    """

    name: str
    count: int = 0
    missing: tuple[int, ...] = ()
    repetition_time: float = math.nan
    answers: tuple[Answer, ...] = ()
    times: Mapping[str, Floats] = field(default_factory=lambda: dict.fromkeys(STAGES, np.empty(0)))
    events: Events = field(default_factory=Events)
    responses: tuple[Response, ...] = ()
    brain: tuple[Slice, ...] = ()
    averaged: int = 0
    warnings: tuple[str, ...] = ()
    faults: tuple[str, ...] = ()
    experiment: Mapping[str, object] = field(default_factory=dict)
    recorded: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    truth: tuple[float, ...] = ()
    sources: tuple[str, ...] = ()
    made_with: Mapping[str, str] = field(default_factory=dict)
    derived: Mapping[str, Derived] = field(default_factory=dict)
    maps: tuple[MapFound, ...] = ()

    @property
    def length(self) -> int:
        """Places on the axis of volumes: one more than the highest index that anything speaks of."""
        indices = [*self.missing, *(answer.volume for answer in self.answers)]
        return max(self.count, len(self.times["received"]), max(indices, default=-1) + 1)

    def of(self, experiment: str) -> list[Answer]:
        return [answer for answer in self.answers if answer.experiment == experiment]

    @property
    def experiments(self) -> list[str]:
        """The experiments that answered: in the order in which they were asked for, where that is known."""
        answered = dict.fromkeys(answer.experiment for answer in self.answers)
        return [name for name in dict.fromkeys((*self.recorded, *answered)) if name in answered]
