"""The conditions that the volumes of a run are in, as far as its events were known before it began."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress

from rtbids.bids import events as bids_events
from rtbids.bids.events import Events
from rtbids.errors import BadData
from rtbids.run.open_run import OpenRun
from rtbids.run.recent import SHOWN
from rtbids.run.responses import responses


class Design:
    """Of the latest run, whose events are read once."""

    def __init__(self) -> None:
        self._run: OpenRun | None = None
        self._events = Events()

    def of(self, runs: Sequence[OpenRun]) -> Mapping[int, str | None]:
        """Return the condition of each of the latest volumes: that of the first event during it."""
        run = runs[-1]
        if run is not self._run:
            self._run, self._events = run, _read(run)
        if not self._events.conditions:
            return {}
        return {index: self._condition(index, run.first.repetition_time) for index in _latest(run)}

    def _condition(self, index: int, length: float) -> str | None:
        during = self._events.during(index * length, (index + 1) * length)
        return next((event.trial_type for event in during if event.trial_type), None)


def _latest(run: OpenRun) -> range:
    return range(max(0, run.latest + 1 - SHOWN), run.latest + 1)


def _read(run: OpenRun) -> Events:
    """Return the events; what is wrong with them is said elsewhere."""
    with suppress(BadData, ValueError):
        return bids_events.read(responses.split(run.first.events or "")[0], f"the events of {run.name}")
    return Events()
