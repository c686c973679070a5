"""The table ``events.tsv``: what happened when, in seconds from the first volume."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rtbids.errors import BadData

REST = "rest"


@dataclass(frozen=True)
class Event:
    """One row: `onset` and `duration` in seconds, `trial_type` empty where the table has none."""

    onset: float
    duration: float
    trial_type: str


@dataclass(frozen=True)
class Events:
    """The rows of one run, in order of onset."""

    rows: tuple[Event, ...] = ()

    @property
    def conditions(self) -> tuple[str, ...]:
        """The trial types, in order of first appearance."""
        return tuple(dict.fromkeys(event.trial_type for event in self.rows if event.trial_type))

    def covers(self, condition: str, times: NDArray[np.float64]) -> NDArray[np.bool_]:
        """Say which of `times` (seconds, any shape) lie in an event of `condition`.

        ``rest``, where no event has that name, is every time that no event covers.
        """
        if condition == REST and condition not in self.conditions:
            return ~_within(self.rows, times)
        return _within([event for event in self.rows if event.trial_type == condition], times)


def _within(rows: Iterable[Event], times: NDArray[np.float64]) -> NDArray[np.bool_]:
    inside = np.zeros(np.shape(times), dtype=bool)
    for event in rows:
        # A microsecond of slack: onsets are decimal text, volume times are multiples of a binary TR.
        inside |= (times >= event.onset - 1e-6) & (times < event.onset + event.duration - 1e-6)
    return inside


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
        rows.append(Event(onset, duration, "" if trial_type == "n/a" else trial_type))
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
