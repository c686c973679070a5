"""Columns of a design that no run can tell apart, said of the events that are known before its first volume."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from rtbids.analysis.design import Design, Model
from rtbids.analysis.rank import Rank, rank, some
from rtbids.analysis.response import LENGTH
from rtbids.bids.events import Events

Array = NDArray[np.float64]
MOST = 20_000  # rows × conditions: more would hold up the first volume; what is wrong is then said while the run goes on
STEP = 1.0  # seconds between two rows where the TR is not known yet: columns that are a sum of others are so at any


class KnownDesign:
    """What is known of a design by now, which is all but what is measured with each volume.

    Attributes
    ----------
    inseparable
        Columns that are a sum of others, each with the reason. One that is 0 is not among them: its events may come.
    conditions, columns
        Those of the design.
    """

    def __init__(self, design: Design) -> None:
        self.inseparable: dict[str, str] = {}
        self.conditions, self.columns = design.conditions, design.columns
        self._columns: tuple[str, ...] = ()
        self._factors: Rank | None = None
        volumes = _volumes(design)
        if volumes * len(design.conditions) > MOST:
            return
        self._columns, rows = design.known(volumes)
        if volumes > len(self._columns):
            self._factors = factors = rank(np.asarray(np.linalg.qr(rows, mode="r"), np.float64))
            dependent = (place for place in factors.sums if rows[:, place].any())
            self.inseparable = {self._columns[place]: factors.why(place, self._columns) for place in dependent}

    def open(self, contrasts: Mapping[str, Mapping[str, float]]) -> list[str]:
        """Return the contrasts that have no one answer for it."""
        return [name for name, weights in contrasts.items() if self._is_open(weights)]

    def _is_open(self, weights: Mapping[str, float]) -> bool:
        if self._factors is None or not set(weights) <= set(self._columns):
            return False
        k = np.array([weights.get(name, 0.0) for name in self._columns])
        return any(self._columns[place] in self.inseparable for place in self._factors.mixes(k))

    def remark(self, contrasts: Mapping[str, Mapping[str, float]]) -> str | None:
        """Return what is wrong in one line, if anything is."""
        if not self.inseparable:
            return None
        said = some([f"{name} of the design is {why}" for name, why in self.inseparable.items()], ", ")
        lost = self.open(contrasts)
        without = f", and there will be no map of {some(lost, ', ')}" if lost else ""
        return f"the events cannot be told apart: {said}; the models do without{without}"


def of_events(events: Events, conditions: Sequence[str] | None) -> KnownDesign:
    """Return what is known where there is no volume yet: no TR, no drift."""
    rows = tuple(row for row in events.rows if conditions is None or row.trial_type in conditions)
    model = Model(None if conditions is None else tuple(conditions), "none")
    return KnownDesign(Design(model, Events(rows), STEP, _until_last(Events(rows), STEP)))


def _volumes(design: Design) -> int:
    return min(design.planned, _until_last(design.events, design.repetition_time)) if not design.drifts else design.planned


def _until_last(events: Events, step: float) -> int:
    """Return how many rows there are until the response to the last event is over."""
    return max(1, math.ceil((max((event.end for event in events.rows), default=0.0) + LENGTH) / step))
