"""A run that volumes come for: how far it is, and its record, which is one for all experiments on it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol

from rtbids.bids import entities as bids_entities
from rtbids.receipt import settle
from rtbids.run.deadlines import Line
from rtbids.run.derived_tables import Measures
from rtbids.run.record import Record
from rtbids.run.recorder import Recorder
from rtbids.run.responses import Response
from rtbids.run.statistical_maps import StatMap
from rtbids.volume import Entities, RunEnd, Volume, run_key


class Archive(Protocol):
    """What a session needs of `rtbids.archive`."""

    def begin(self, volume: Volume, events: str | None) -> Any: ...


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
    """

    def __init__(self, first: Volume, archive: Archive | None, recorder: Recorder) -> None:
        self.name = bids_entities.stem(first.entities)
        self.entities: Entities = first.entities
        self.first = first
        self.latest = -1
        self.indices: list[int] = []
        self.paced = True
        self.end: RunEnd | None = None
        self.is_ending = False
        self._recorder = recorder
        self._times: dict[int, Mapping[str, float]] = {}  # of the volumes that have no row of latencies yet
        self._growing = archive.begin(first, first.events) if archive is not None else None
        self._record = Record(self.name, self._growing) if self._growing is not None else None
        if self._record is not None:
            self._record.first(first)

    @property
    def is_kept(self) -> bool:
        """Whether it is archived."""
        return self._record is not None

    def takes(self, volume: Volume) -> None:
        """Note that a volume is here."""
        self.latest = volume.index
        self.indices.append(volume.index)
        self._times[volume.index] = volume.times

    def lacks(self, index: int) -> None:
        """Note that a volume will never come."""
        self.latest = index
        self._times[index] = {}

    def write(self, volume: Volume) -> None:
        """Have a volume archived; the first is since the run began."""
        record = self._record
        if record is None:
            settle(volume.receipts)  # kept nowhere, and in the script's hands
        elif volume is not self.first:
            self._recorder.do(lambda: record.append(volume))

    def is_safe(self, index: int) -> bool:
        """Say whether a volume is where it would outlast this process, as far as it is to be kept at all."""
        return self._record is None or index <= self._record.written

    def volume(self, index: int) -> Volume | None:
        """Read a volume back; None where it is not in the archive."""
        if self._growing is None or not self.is_safe(index):
            return None
        volume: Volume = self._growing.volume(index)
        return volume

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

    def passed(self, index: int, times: Mapping[str, float]) -> None:
        """Record when a volume passed each stage, unless that is done."""
        before = self._times.pop(index, None)
        if (record := self._record) is not None and before is not None:
            row = {**before, **times}
            self._recorder.do(lambda: record.passed(index, row))

    def close(self, on_end: Callable[[Entities], None]) -> None:
        """End the record; `on_end` is called when that is done."""
        for index in list(self._times):
            self.passed(index, {})
        record, end = self._record, self.end
        if record is not None:
            self._recorder.do(lambda: record.end(end))
            self._recorder.do(lambda: on_end(self.entities))
