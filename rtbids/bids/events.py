"""The table ``events.tsv``: what happened when, in seconds from the first volume."""

from __future__ import annotations

import csv
import io
import math
from bisect import bisect_left, bisect_right, insort
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from itertools import accumulate
from types import MappingProxyType
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from rtbids.errors import BadData

REST = "rest"
LONGEST = 1e6  # seconds: no run lasts for eleven days, and a table that says so has another unit or another zero
_SLACK = 1e-6  # seconds: onsets are decimal text, volume times are multiples of a binary TR
Spans: TypeAlias = tuple[NDArray[np.float64], NDArray[np.float64]]
_NO_CELLS: Mapping[str, str] = MappingProxyType({})


@dataclass(frozen=True)
class Event:
    """One row.

    Attributes
    ----------
    onset, duration
        Seconds; the onset from the beginning of the run's first volume.
    trial_type
        Empty where the table has none.
    cells
        Every cell as it is written, by the name of its column.
    """

    onset: float
    duration: float
    trial_type: str
    cells: Mapping[str, str] = field(default_factory=lambda: _NO_CELLS, compare=False, repr=False)

    def __post_init__(self) -> None:
        for name, seconds in (("onset", self.onset), ("duration", self.duration)):
            if not abs(seconds) <= LONGEST:
                raise BadData(f"the {name} of an event is in seconds, {LONGEST:.0f} at most, found {seconds:g}")

    @property
    def end(self) -> float:
        """Onset and duration together, seconds."""
        return self.onset + self.duration


@dataclass(frozen=True)
class Events:
    """The events of one run.

    Attributes
    ----------
    rows
        All of them, in order of onset.
    """

    rows: tuple[Event, ...] = ()

    @property
    def conditions(self) -> tuple[str, ...]:
        """The trial types, in order of first appearance."""
        return tuple(dict.fromkeys(event.trial_type for event in self.rows if event.trial_type))

    @cached_property
    def asked(self) -> set[str]:
        """The conditions that somebody asked for as a baseline, so that what is to be said of one is said once."""
        return set()

    def covers(self, condition: str, starts: NDArray[np.float64], length: float) -> NDArray[np.bool_]:
        """Say during which of the windows of `length` seconds from `starts` on (any shape) there was an event of `condition`.

        It counts be it in part, as for `during`. ``rest``, where no event has that name, is every window during which there
        was no event at all.
        """
        if condition == REST and condition not in self.conditions:
            return ~_overlapped(self._spans(None), starts, length)
        return _overlapped(self._spans(condition), starts, length)

    def _spans(self, condition: str | None) -> Spans:
        """Return the onsets and the ends of a condition's events, or of all, each in order."""
        if condition not in self._known_spans:
            rows = [event for event in self.rows if condition is None or event.trial_type == condition]
            onsets = np.array([event.onset for event in rows], np.float64)
            # One without duration is in the window of its onset: it is over a moment after that has begun.
            ends = np.array([max(event.onset + 2 * _SLACK, event.end) for event in rows], np.float64)
            self._known_spans[condition] = np.sort(onsets), np.sort(ends)
        return self._known_spans[condition]

    @cached_property
    def _known_spans(self) -> dict[str | None, Spans]:
        return {}

    def during(self, start: float, stop: float) -> tuple[Event, ...]:
        """Return the events that overlap the time from `start` to `stop` (seconds, without `stop` itself), in order of onset.

        An event without duration is in the window that its onset is in.

        Examples
        --------
        >>> read("onset\\tduration\\ttrial_type\\n2\\t4\\tgo\\n5\\t0\\tpress\\n", "events.tsv").during(4.0, 6.0)
        (Event(onset=2.0, duration=4.0, trial_type='go'), Event(onset=5.0, duration=0.0, trial_type='press'))
        """
        onsets, ends, latest_ends = self._times
        # Ends up to a row never fall, so rows before `first` are over; after it single ones may be.
        begun, last = bisect_left(onsets, start - _SLACK), bisect_left(onsets, stop - _SLACK)
        first, over = min(bisect_right(latest_ends, start + _SLACK), begun), start + _SLACK
        return tuple(self.rows[place] for place in range(first, last) if ends[place] > over or place >= begun)

    @cached_property
    def _times(self) -> tuple[list[float], list[float], list[float]]:
        """The onsets, the ends, and up to each row the latest end."""
        ends = [event.end for event in self.rows]
        return [event.onset for event in self.rows], ends, list(accumulate(ends, max))


@dataclass(frozen=True)
class EventsSoFar(Events):
    """The events of a run that goes on: those that come meanwhile are added, and all who hold it see them.

    Attributes
    ----------
    expected
        Trial types that are known to come, and count among the `conditions` before their first event.
    """

    expected: tuple[str, ...] = ()

    @property
    def conditions(self) -> tuple[str, ...]:
        """The trial types, those that are expected too."""
        return tuple(dict.fromkeys((*super().conditions, *self.expected)))

    def add(self, event: Event) -> None:
        """Put an event among the others, in order of onset."""
        rows = list(self.rows)
        insort(rows, event, key=lambda row: row.onset)
        vars(self)["rows"] = tuple(rows)
        for known in ("_times", "_known_spans"):
            vars(self).pop(known, None)


def _overlapped(spans: Spans, starts: NDArray[np.float64], length: float) -> NDArray[np.bool_]:
    """Say at which windows' end more events have begun than were over at its start."""
    onsets, ends = spans
    begun = np.searchsorted(onsets, np.asarray(starts) + (length - _SLACK), side="left")
    over = np.searchsorted(ends, np.asarray(starts) + _SLACK, side="right")
    return np.asarray(begun > over)


def read(text: str, where: str) -> Events:
    """Parse the text of an ``events.tsv``; raise BadData naming the line that is wrong."""
    table = csv.DictReader(io.StringIO(text.removeprefix("\ufeff")), delimiter="\t")
    missing = {"onset", "duration"} - set(table.fieldnames or ())
    if missing:
        raise BadData(
            f"{where}: expected tab-separated columns onset and duration, found no {' and no '.join(sorted(missing))}"
        )
    rows = []
    for row in table:
        if None in row:
            raise BadData(f"{where}, line {table.line_num}: more cells than the header has columns")
        try:
            onset, duration = _seconds(row["onset"]), 0.0 if row["duration"] == "n/a" else _seconds(row["duration"])
        except (TypeError, ValueError):
            raise BadData(
                f"{where}, line {table.line_num}: onset and duration are seconds, "
                f"found {row['onset']!r} and {row['duration']!r}"
            ) from None
        if None in row.values():
            raise BadData(f"{where}, line {table.line_num}: fewer cells than the header has columns")
        trial_type = row.get("trial_type") or ""
        try:
            rows.append(Event(onset, duration, "" if trial_type == "n/a" else trial_type, row))
        except BadData as error:
            raise BadData(f"{where}, line {table.line_num}: {error}") from None
    return Events(tuple(sorted(rows, key=lambda event: event.onset)))


def in_order(text: str) -> str:
    """Return a table that `read` accepts with onset and duration as its first columns, as BIDS asks for."""
    table = list(csv.reader(io.StringIO(text.removeprefix("\ufeff")), delimiter="\t"))
    first = [table[0].index("onset"), table[0].index("duration")]
    if first == [0, 1]:
        return text
    columns = first + [column for column in range(len(table[0])) if column not in first]
    written = io.StringIO()
    csv.writer(written, delimiter="\t", lineterminator="\n").writerows([[row[i] for i in columns] for row in table if row])
    return written.getvalue()


def _seconds(text: str) -> float:
    seconds = float(text)
    if not math.isfinite(seconds):
        raise ValueError("not a moment")
    return seconds
