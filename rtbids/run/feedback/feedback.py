"""What a line of feedback is, as JSON and as a row of a table, and what a place is that it goes to."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Protocol, TypeAlias

from rtbids.archive.tables import cell
from rtbids.run.deadlines import Line

COLUMNS = ("experiment", "run", "volume", "value", "status", "reason", "received", "due", "sent")
Row: TypeAlias = Mapping[str, object]


class Destination(Protocol):
    """One place that feedback goes to. Neither call holds the run up."""

    def send(self, row: Row) -> None: ...
    def close(self, timeout: float = 2.0) -> None: ...


def fields(experiment: str, run: str, line: Line) -> dict[str, object]:
    """Return a line of feedback by column."""
    values = (line.volume, line.value, line.status, line.reason, line.received, line.due, line.sent)
    return dict(zip(COLUMNS, (experiment, run, *values), strict=True))


def as_json(row: Row) -> str:
    return json.dumps(row, allow_nan=False) + "\n"


def as_tsv(row: Row) -> str:
    return "\t".join(cell(value) for value in row.values()) + "\n"
