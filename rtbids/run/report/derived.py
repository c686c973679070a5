"""The tables of what the analysis found, read back: numbers and words by volume."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import numpy as np

from rtbids.archive.writer import MOST_VOLUMES
from rtbids.run.report.measures import Floats

MOST = MOST_VOLUMES  # a broken table shall not ask for gigabytes


@dataclass(frozen=True)
class Derived:
    """A table with one row a volume.

    Attributes
    ----------
    columns
        In their order, without ``volume``.
    rows
        By volume; a cell that is empty was ``n/a``.
    experiment
        Whose analysis found it, empty where that is not known.
    """

    columns: tuple[str, ...] = ()
    rows: Mapping[int, Mapping[str, str]] = field(default_factory=dict)
    experiment: str = ""

    @property
    def length(self) -> int:
        return max(self.rows, default=-1) + 1

    def floats(self, column: str, length: int) -> Floats:
        """Return a column by volume (length,), NaN where there is no number."""
        found = np.full(length, np.nan)
        for index, row in self.rows.items():
            if index < length:
                found[index] = _number(row.get(column, ""))
        return found

    def texts(self, column: str) -> Mapping[int, str]:
        """Return the volumes that have words in a column."""
        return {index: row[column] for index, row in self.rows.items() if row.get(column)}


def read(rows: Iterable[Mapping[str, str]], experiment: str = "") -> Derived:
    """Read the rows of a table of `experiment`; one that is no row is left out."""
    found: dict[int, Mapping[str, str]] = {}
    columns: tuple[str, ...] = ()
    for row in rows:
        text = row.get("volume", "")
        if text.isdecimal() and int(text) <= MOST:
            found[int(text)] = row
            columns = tuple(name for name in row if name != "volume")
    return Derived(columns, found, experiment)


def _number(text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        return math.nan
    return number if math.isfinite(number) else math.nan
