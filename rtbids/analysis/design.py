"""The design: a row of regressors for each volume, made when the volume comes."""

from __future__ import annotations

import difflib
import logging
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from rtbids.analysis.drift import CUTOFF, cosine_count, cosines, legendre, legendre_degree
from rtbids.analysis.motion_terms import MotionTerms
from rtbids.analysis.response import Response
from rtbids.bids.events import Event, Events
from rtbids.errors import BadData

Array = NDArray[np.float64]
CONSTANT = "constant"
logger = logging.getLogger("rtbids")


@dataclass(frozen=True)
class Model:
    """Which regressors a design has.

    Attributes
    ----------
    conditions
        Trial types with a column each; None for all that the events have. Must be named where events come during the run.
    drift
        ``dct`` (SPM's high-pass filter), ``polynomial`` (Legendre, as AFNI), or ``none``.
    cutoff
        Seconds: the fastest drift that ``dct`` takes out.
    degree
        Of the polynomial; None for AFNI's rule, 1 and one more for each 150 s of the planned run.
    motion
        0, 6, 12 or 24 regressors from the head's pose.
    signals
        Names of regressors that are measured with each volume: white matter, ventricles, the whole brain.
    """

    conditions: tuple[str, ...] | None = None
    drift: Literal["dct", "polynomial", "none"] = "dct"
    cutoff: float = CUTOFF
    degree: int | None = None
    motion: Literal[0, 6, 12, 24] = 0
    signals: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not self.cutoff > 0:
            raise ValueError(f"cutoff: expected seconds above 0, found {self.cutoff}")
        if self.degree is not None and self.degree < 0:
            raise ValueError(f"degree: expected 0 or more, found {self.degree}")


class Design:
    """The regressors of one run. The columns are conditions, constant, drift, motion and signals, in this order.

    A row depends on the events known when it is made, and on nothing later: rows that were made never change.

    Parameters
    ----------
    model
        Which regressors.
    events
        Those known before the run.
    repetition_time
        Seconds; volume n stands for the time ``n * repetition_time``.
    planned
        Volumes that the run is to have; drift is fixed by it.
    """

    def __init__(self, model: Model, events: Events, repetition_time: float, planned: int) -> None:
        if planned < 1 or not repetition_time > 0:
            raise ValueError(f"a run has volumes and a repetition time, found {planned} and {repetition_time} s")
        self.repetition_time, self.planned = repetition_time, planned
        self.conditions = events.conditions if model.conditions is None else model.conditions
        self._model, self._motion = model, MotionTerms(model.motion)
        self._drift = _drift_names(model, planned, repetition_time)
        self.columns = (*self.conditions, CONSTANT, *self._drift, *self._motion.names, *model.signals)
        if twice := sorted({name for name in self.columns if self.columns.count(name) > 1}):
            raise BadData(f"the design has more than one column of the name {', '.join(twice)}", "rename the trial_type")
        self._responses = {name: Response() for name in self.conditions}
        self._rows: list[Event] = []
        self._last, self._is_longer = -1, False
        self._said: set[str] = set()
        for event in events.rows:
            self._take(event)

    @property
    def nuisance(self) -> tuple[str, ...]:
        """The columns that are no condition, without the constant."""
        return self.columns[len(self.conditions) + 1 :]

    @property
    def drifts(self) -> bool:
        """Whether there are columns of drift."""
        return bool(self._drift)

    @property
    def sizes(self) -> dict[str, float]:
        """How large a column of nuisance usually is, where that is known: drift in its units, motion of 1 mm at 50 mm."""
        height = math.sqrt(2 / self.planned) if self._model.drift == "dct" else 1.0
        return {**dict.fromkeys(self._drift, height), **self._motion.sizes}

    @property
    def events(self) -> Events:
        """The events that are in the design so far."""
        return Events(tuple(sorted(self._rows, key=lambda event: event.onset)))

    def add_event(self, onset: float, duration: float, trial_type: str) -> None:
        """Take an event (s from the first volume) that was not known before.

        It has part in the rows that are made from now on. Where rows after its onset are made already, a warning says so.
        """
        if not self._take(Event(onset, duration, trial_type)):
            return
        first = max(0, math.floor(onset / self.repetition_time) + 1)
        if first <= self._last:
            where = f"volume {first}" if first == self._last else f"volumes {first} to {self._last}"
            logger.warning("the event %r at %g s came too late for %s; later ones have it", trial_type, onset, where)

    def row(self, index: int, pose: Sequence[float] | Array | None = None, signals: Mapping[str, float] | None = None) -> Array:
        """Return the regressors (columns,) of volume `index`; volumes are asked for in their order, each once.

        `pose` is in mm and rad, where the model has motion; `signals` are the values of the model's.
        """
        if index <= self._last:
            raise ValueError(f"rows are made in order: volume {index} after volume {self._last}")
        self._last = index
        if index >= self.planned and not self._is_longer:
            self._is_longer = True
            logger.warning("the run is longer than the %d volumes planned: drift goes on as it was", self.planned)
        time, given = index * self.repetition_time, signals or {}
        task = [self._responses[name].at(time) for name in self.conditions]
        measured = [given[name] for name in self._model.signals]
        return np.concatenate([task, [1.0], self._drift_row(index), self._motion.row(pose), measured])

    def known(self, volumes: int) -> tuple[tuple[str, ...], Array]:
        """Return the columns that do not depend on the volumes, and what is known of them (volumes, columns) by now."""
        task = [
            [self._responses[name].at(index * self.repetition_time) for name in self.conditions] for index in range(volumes)
        ]
        drift = [self._drift_row(index) for index in range(volumes)]
        known = [np.reshape(task, (volumes, -1)), np.ones(volumes), np.reshape(drift, (volumes, -1))]
        return (*self.conditions, CONSTANT, *self._drift), np.column_stack(known)

    def _drift_row(self, index: int) -> Array:
        curves = cosines if self._model.drift == "dct" else legendre
        return curves(np.array([index]), self.planned, len(self._drift)).ravel()

    def _take(self, event: Event) -> bool:
        """Add an event to its condition's response; say once where its condition has no column."""
        if event.duration < 0:
            raise BadData(f"event {event.trial_type!r} at {event.onset:g} s: a duration of {event.duration:g} s is no time")
        if event.trial_type not in self._responses:
            self._say_left_out(event.trial_type)
            return False
        self._responses[event.trial_type].add(event.onset, event.duration)
        self._rows.append(event)
        return True

    def _say_left_out(self, trial_type: str) -> None:
        if trial_type not in self._said:
            self._said.add(trial_type)
            there = f"{nearest(trial_type, self.conditions)}the columns are: {', '.join(self.conditions) or 'none'}"
            logger.warning("events of the trial_type %r have no column in the design; %s", trial_type, there)


def nearest(name: str, known: Sequence[str]) -> str:
    """Return ``did you mean 'face'? `` where something known is near `name`, else nothing."""
    close = difflib.get_close_matches(name, known, n=1)
    return f"did you mean {close[0]!r}? " if close else ""


def _drift_names(model: Model, planned: int, repetition_time: float) -> tuple[str, ...]:
    if model.drift == "none":
        return ()
    if model.drift == "dct":
        return tuple(f"cosine{n:02}" for n in range(1, cosine_count(planned, repetition_time, model.cutoff) + 1))
    degree = legendre_degree(planned, repetition_time) if model.degree is None else model.degree
    return tuple(f"legendre{n:02}" for n in range(1, degree + 1))
