"""A table with one row a volume that a run left behind, column by column."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from rtbids.errors import InputMissing
from rtbids.run.report import derived
from rtbids.run.report.derived import Derived


@dataclass(frozen=True)
class EarlierTable:
    """``table["dvars"]`` is a column (volumes,) by volume index, NaN where it has no number."""

    file: Path
    length: int
    rows: Derived

    @classmethod
    def read(cls, file: Path, indices: Sequence[int]) -> EarlierTable:
        """Read a table of a run with volumes of these indices; rows that a kill cut short are left out."""
        from rtbids.run.report import run_tables

        rows = derived.read(run_tables.rows(file))
        return cls(file, max(rows.length, max(indices, default=-1) + 1), rows)

    @property
    def columns(self) -> tuple[str, ...]:
        """The names of the columns, without ``volume``."""
        return self.rows.columns

    def __getitem__(self, column: str) -> NDArray[np.float64]:
        return self.rows.floats(self._known(column), self.length)

    def texts(self, column: str) -> Mapping[int, str]:
        """Return a column of words, such as ``pose``: of the volumes that have one."""
        return self.rows.texts(self._known(column))

    def _known(self, column: str) -> str:
        if column not in self.columns:
            near = difflib.get_close_matches(column, self.columns, n=1)
            said = f"did you mean {near[0]!r}?" if near else f"there are: {', '.join(self.columns) or 'none'}"
            raise InputMissing(f"{self.file.name} has no column {column!r}; {said}")
        return column
