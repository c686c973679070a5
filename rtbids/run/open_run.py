"""A run that volumes come for: how far it is, and its record, which is one for all experiments on it."""

from __future__ import annotations

import csv
from bisect import bisect_left
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any

from rtbids.analysis import event_remarks
from rtbids.bids import entities as bids_entities
from rtbids.bids import events as bids_events
from rtbids.errors import BadData
from rtbids.receipt import settle
from rtbids.run.deadlines import Line
from rtbids.run.feedback.deliveries import Delivery
from rtbids.run.past.where import Where
from rtbids.run.process.host import Heard, Past
from rtbids.run.process.shared import Shared
from rtbids.run.record.derived_tables import Measures
from rtbids.run.record.record import Record
from rtbids.run.record.recorder import Recorder
from rtbids.run.record.statistical_maps import StatMap
from rtbids.run.responses import responses
from rtbids.run.responses.own_time import own_time
from rtbids.run.responses.responses import Response
from rtbids.volume import Entities, RunEnd, Volume, run_key


class OpenRun:
    """One run from its first volume to its end, written by the recorder's thread.

    Attributes
    ----------
    latest
        Index of the latest volume; `indices` lists those that came.
    paced
        Whether its volumes come at the scanner's pace.
    end
        What the source said of its end, if it did.
    heard
        The responses that came in so far, in order.
    time
        Where in the run a moment is.

    Parameters
    ----------
    record
        What it is written to, the first volume being in it; None where it is kept nowhere.
    """

    def __init__(self, first: Volume, record: Record | None, recorder: Recorder) -> None:
        self.name = bids_entities.stem(first.entities)
        self.entities: Entities = first.entities
        self.first = first
        self.latest = -1
        self.indices: list[int] = []
        self.paced = True
        self.end: RunEnd | None = None
        self.time = own_time(first)
        self.heard: list[Response] = []
        self.is_ending = False
        self._recorder = recorder
        self._on_the_way: dict[int, Volume] = {}  # to the archive
        self._times: dict[int, Mapping[str, float]] = {}  # of the volumes that have no row of latencies yet
        self._early: dict[int, Mapping[str, float]] = {}  # stages of volumes whose line left before their turn
        self._record = record

    @property
    def is_kept(self) -> bool:
        """Whether it is archived."""
        return self._record is not None

    def takes(self, volume: Volume) -> None:
        """Note that a volume is here."""
        self.latest = volume.index
        self.time = own_time(volume, self.time)
        self.indices.append(volume.index)
        self._times[volume.index] = volume.times
        if (early := self._early.pop(volume.index, None)) is not None:
            self.passed(volume.index, early)

    def lacks(self, index: int) -> None:
        """Note that a volume will never come."""
        self.latest = index
        self._times[index] = {}
        self._early.pop(index, None)

    def write(self, volume: Volume) -> None:
        """Have a volume archived; the first is since the run began."""
        record = self._record
        if record is None:
            settle(volume.receipts)  # kept nowhere, and in the script's hands
        elif volume is not self.first:
            self._on_the_way = {index: one for index, one in self._on_the_way.items() if not self.is_safe(index)}
            self._on_the_way[volume.index] = volume
            self._recorder.do(lambda: record.append(volume))

    def is_safe(self, index: int) -> bool:
        """Say whether a volume is where it would outlast this process, as far as it is to be kept at all."""
        return self._record is None or index <= self._record.written

    def recall(self, index: int) -> Shared | None:
        """Return a volume that came before: in the archive, or on its way there; None where it is not archived."""
        if self._record is None:
            return None
        is_safe = self.is_safe(index)
        volume = replace(self.first, index=index, times={}, receipts=()) if is_safe else self._on_the_way.get(index)
        return Shared(volume, where=self.where(volume), is_stored=is_safe) if volume is not None else None

    @property
    def past(self) -> list[Past | Heard]:
        """What it has had so far, in order: its volumes, where they are kept, and the responses."""
        given: list[Past | Heard] = [Past(self.entities, index) for index in self.indices if self.is_kept]
        given += [Heard(self.entities, response, ask=False) for response in self.heard]
        # In a place of both the volume is first: it was there when the response came.
        return sorted(given, key=lambda item: item.index if isinstance(item, Past) else item.response.after_volume)

    def ends(self, end: RunEnd) -> None:
        """Note that no more volumes come."""
        self.end, self.is_ending = end, True
        if self._record is not None:
            self._record.growing.is_ending = True

    def where(self, volume: Volume) -> Where:
        """Say where a volume that came is to be found again."""
        source = volume.belongings.file if volume.belongings else None
        replayed = None if source is None else str(source.absolute())
        if self._record is None:
            return Where(replayed)
        growing = self._record.growing
        place = volume.index if growing.fills_gaps else bisect_left(self.indices, volume.index)
        return Where(replayed, str(growing.file.absolute()), place, self._record.written)

    def never_came_to(self) -> Iterator[str]:
        """Yield what is to be said of its events now that it is over; nothing where they cannot be read, which was said."""
        if not self.first.events:
            return
        try:
            rows = bids_events.read(responses.split(self.first.events)[0], f"the events of {self.name}").rows
        except (BadData, ValueError, csv.Error):
            return
        yield from event_remarks.afterwards(rows, (max(self.indices, default=-1) + 1) * self.first.repetition_time)

    def sent(self, experiment: str, line: Line) -> None:
        """Record a line that has left."""
        if (record := self._record) is not None:
            self._recorder.do(lambda: record.sent(experiment, line))

    @property
    def events_key(self) -> tuple[tuple[str, str], ...]:
        """What names the table of events: echoes and parts of one run share it."""
        return run_key({key: value for key, value in self.entities.items() if key not in ("echo", "part")})

    def responded(self, response: Response) -> None:
        """Record a response that came in."""
        if (record := self._record) is not None:
            self._recorder.do(lambda: record.responded(response))

    def measured(self, experiment: str, index: int, measures: Measures) -> None:
        """Record what the analysis of an experiment found in a volume."""
        if (record := self._record) is not None:
            self._recorder.do(lambda: record.measured(experiment, index, measures))

    def mapped(self, experiment: str, found: StatMap) -> None:
        """Record a map of an experiment's analysis."""
        if (record := self._record) is not None:
            self._recorder.do(lambda: record.mapped(experiment, found))

    def left(self, experiment: str, about: Mapping[str, Any]) -> None:
        """Record what became of an experiment whose part in the run is over."""
        if (record := self._record) is not None:
            self._recorder.do(lambda: record.left(experiment, about))

    def passed(self, index: int, times: Mapping[str, float]) -> None:
        """Record when a volume passed each stage, unless that is done."""
        if index > self.latest:  # its line left before its turn
            self._early[index] = times
            return
        before = self._times.pop(index, None)
        if (record := self._record) is not None and before is not None:
            row = {**before, **times}
            self._recorder.do(lambda: record.passed(index, row))

    def delivered(self, delivery: Delivery) -> None:
        """Record what became of a line that went to another machine."""
        if (record := self._record) is not None:
            self._recorder.do(lambda: record.delivered(delivery))

    def close(self, on_end: Callable[[Entities], None]) -> None:
        """End the record; `on_end` is called when that is done."""
        for index in list(self._times):
            self.passed(index, {})
        record, end = self._record, self.end
        if record is not None:
            self._recorder.do(lambda: record.end(end))
            self._recorder.do(lambda: on_end(self.entities))
