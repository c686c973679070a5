"""The tables of what the analysis found in each volume: motion, quality and design, one row a volume from 0."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol, TypeAlias

from rtbids.analysis.motion_terms import POSE
from rtbids.bids import sidecar

Measure: TypeAlias = float | str | None
Measures: TypeAlias = Mapping[str, Mapping[str, Measure]]  # table → column → value
TABLES = ("motion", "quality", "design")
_VOLUME = {"Description": "Index of the volume, from 0"}
_MOTION: Mapping[str, Any] = {
    "Description": "Pose of the head in each volume against the reference, as it was known in real time: what was at x in the "
    "reference is at Trans Rz Ry Rx x in the volume, in mm about the centre of the volume, along the scanner's axes (RAS+)",
    **{name: {"Description": f"Translation along {name[-1]}", "Units": "mm"} for name in POSE[:3]},
    **{name: {"Description": f"Right-handed rotation about {name[-1]}", "Units": "rad"} for name in POSE[3:]},
    "framewise_displacement": {
        "Description": "Power et al. 2012, radius 50 mm, since the last volume whose pose is known",
        "Units": "mm",
    },
    "rmsd": {"Description": "Root mean square displacement (Jenkinson), radius 80 mm, since the same", "Units": "mm"},
    "pose": {"Description": "known, or why it is not"},
}
_QUALITY: Mapping[str, Any] = {
    "Description": "Quality of each volume as it came, neither realigned nor smoothed, over the brain of the first volume",
    "dvars": {
        "Description": "Root mean square of the change since the volume before, in percent of the median of the first volume",
        "Units": "percent",
    },
    "global_signal": {"Description": "Mean over the brain, in the scanner's units", "Units": "arbitrary"},
    "tsnr": {"Description": "Median over the brain of mean by standard deviation of the volumes so far", "Units": "1"},
    "spike": {"Description": "none, or why the volume is a spike: displacement, dvars, pose (not known)"},
    "good": {"Description": "1 where the volume counts as good data: its displacement is known and small", "Units": "1"},
    "good_minutes": {"Description": "Good data up to this volume; n/a where the head's motion is not known", "Units": "min"},
    "minutes_to_criterion": {
        "Description": "Minutes from here until there is enough good data, if things go on as so far",
        "Units": "min",
    },
}
_DESIGN: Mapping[str, Any] = {"Description": "Row of the design of each volume; n/a where it has no part in the models"}
_KINDS = {"trans": "Motion: translation, mm", "rot": "Motion: rotation, rad", "cosine": "Drift: cosine", "legendre": "Drift"}


class Table(Protocol):
    def row(self, values: Any) -> None: ...
    def close(self) -> None: ...


class Growing(Protocol):
    """What makes tables for a run."""

    def table(self, description: str, columns: Any, sidecar: Mapping[str, Any]) -> Table: ...


class DerivedTables:
    """The tables of one run, each begun with its first row.

    Volumes come in order; one that was told already is passed over (a script that was started again tells all anew), and one
    that was passed by has a row of n/a. Where several experiments tell of one table, it is the first's.
    """

    def __init__(self, growing: Growing) -> None:
        self._growing = growing
        self._tables: dict[str, Table] = {}
        self._columns: dict[str, tuple[str, ...]] = {}
        self._owners: dict[str, str] = {}
        self._next: dict[str, int] = {}

    def add(self, experiment: str, index: int, measures: Measures) -> None:
        """Take what an experiment found in volume `index`."""
        for name, values in measures.items():
            if name in TABLES and self._owners.setdefault(name, experiment) == experiment:
                self._row(name, index, values)

    def _row(self, name: str, index: int, values: Mapping[str, Measure]) -> None:
        if name not in self._tables:
            self._columns[name] = tuple(values)
            self._tables[name] = self._growing.table(name, ("volume", *values), self._fields(name, values))
            self._next[name] = 0
        if index < self._next[name]:
            return
        self._fill(name, index)
        self._tables[name].row([index, *(values.get(column) for column in self._columns[name])])
        self._next[name] = index + 1

    def _fields(self, name: str, values: Mapping[str, Measure]) -> Mapping[str, Any]:
        return {"Experiment": self._owners[name], **fields(name, tuple(values))}

    def _fill(self, name: str, until: int) -> None:
        for index in range(self._next[name], until):
            self._tables[name].row([index, *(None for _ in self._columns[name])])
        self._next[name] = max(self._next[name], until)

    def close(self, count: int) -> None:
        """End the tables, with a row for each of the `count` places of the run."""
        for name, table in self._tables.items():
            self._fill(name, count)
            table.close()


def fields(name: str, columns: Sequence[str]) -> Mapping[str, Any]:
    """Return the sidecar of a table."""
    known = {"motion": _MOTION, "quality": _QUALITY, "design": _DESIGN}[name]
    described = {column: known.get(column) or {"Description": _kind(column)} for column in columns}
    return {"Description": known["Description"], "volume": _VOLUME, **described}


def _kind(column: str) -> str:
    near = next((said for start, said in _KINDS.items() if column.startswith(start)), None)
    return near or ("Constant" if column == "constant" else "Condition, or nuisance signal, of this name")


def complete(paths: Mapping[str, Path], count: int) -> None:
    """Give the tables of a killed process the rows that it had no time to write: n/a, one for each of `count` places."""
    for name, path in paths.items():
        if not path.exists():
            continue
        head, *rows = path.read_text().removesuffix("\n").split("\n")
        if not head:
            path.unlink()
            path.with_suffix(".json").unlink(missing_ok=True)
            continue
        columns = head.split("\t")
        whole = [row for row in rows if row.count("\t") == len(columns) - 1]
        missing = ["\t".join([str(index), *(["n/a"] * (len(columns) - 1))]) for index in range(len(whole), count)]
        path.write_text("\n".join([head, *whole, *missing]) + "\n")
        if not path.with_suffix(".json").exists():
            path.with_suffix(".json").write_text(sidecar.dumps(fields(name, columns[1:])))
