"""Runs are begun in the thread that takes volumes in: to claim a run and make its files may take long, and the loop goes on."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Protocol

from rtbids.bids import entities as bids_entities
from rtbids.run.record import provenance
from rtbids.run.record.record import GrowingRun, Record
from rtbids.volume import Item, RunEnd, Volume, run_key


class Archive(Protocol):
    """What a run needs of `rtbids.archive`."""

    def begin(self, volume: Volume, events: str | None) -> GrowingRun: ...


class Openings:
    """The records of runs that have begun, each taken once.

    Parameters
    ----------
    experiments
        Returns what the results are to say of each experiment, by its name.
    is_wanted
        Says whether a run is to be begun that has this first volume.
    """

    def __init__(
        self,
        archive: Archive,
        experiments: Callable[[], Mapping[str, Mapping[str, Any]]],
        is_wanted: Callable[[Volume], bool],
    ) -> None:
        self._archive = archive
        self._experiments = experiments
        self._is_wanted = is_wanted
        self._begun: dict[tuple[tuple[str, str], ...], GrowingRun] = {}
        self._records: dict[tuple[tuple[str, str], ...], Record] = {}

    def before(self, items: Iterator[Item]) -> Iterator[Item]:
        """Begin each run before its first volume is passed on."""
        for item in items:
            key = run_key(item.entities)
            if isinstance(item, RunEnd):
                if key in self._begun:
                    self._begun[key].is_ending = True  # known to a run that begins before the loop has come to this
            elif key not in self._begun and self._is_wanted(item):
                self._records[key] = self._begin(item)
            yield item

    def record(self, first: Volume) -> Record:
        """Return the record of the run that `first` begins, begun now where that was not done before."""
        return self._records.pop(run_key(first.entities), None) or self._begin(first)

    @property
    def left(self) -> list[Record]:
        """The records that nobody has taken."""
        return list(self._records.values())

    def _begin(self, first: Volume) -> Record:
        growing = self._begun[run_key(first.entities)] = self._archive.begin(first, first.events)
        signature = provenance.signature(first.entities, with_events=first.events is not None)
        record = Record(bids_entities.stem(first.entities), growing, signature, self._experiments())
        record.first(first)
        return record
