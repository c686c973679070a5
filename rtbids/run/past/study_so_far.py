"""The data set as a script may look at it: the runs that were acquired before the one that it is in. Nothing is written."""

from __future__ import annotations

import difflib
import math
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from pathlib import Path

from rtbids.archive import locks
from rtbids.bids import dataset, rows, sidecar
from rtbids.bids import entities as bids_entities
from rtbids.errors import BadData, InputMissing, NothingMatched, UsageFault
from rtbids.run.past import acquired, earlier_run
from rtbids.run.past.acquired import Acquired
from rtbids.run.past.earlier_run import EarlierRun, there_before
from rtbids.run.past.where import Where

_Known = Mapping[str, tuple[dataset.Run, Acquired]]


class StudySoFar:
    """The data set before this run.

    Which runs are earlier does not depend on when it is asked: a replay of the run sees what the run saw. Where ``rtbids run``
    recorded the run, it noted what was there when it began. Where it did not, ``acq_time`` of the scans tables tells, or else
    numbers of sessions and runs; what nothing tells of is left out. Of other subjects it is every run, but for those that
    ``rtbids run`` recorded later.

    Attributes
    ----------
    root
        The data set's folder.
    entities
        Those of the current run in it.

    Parameters
    ----------
    is_open
        Says of a run, by its name, whether the script is in it.
    """

    def __init__(self, root: Path, entities: Mapping[str, str], is_open: Callable[[str], bool] = lambda name: False) -> None:
        self.root, self.entities, self._is_open = root, entities, is_open
        self._of = cache(self._runs_of)  # it does not change while the run goes on
        self._undecided = 0

    @property
    def subjects(self) -> tuple[str, ...]:
        """The labels of the subjects with earlier runs."""
        labels = {place.name.removeprefix("sub-") for place in self.root.glob("sub-*") if place.is_dir()}
        return tuple(label for label in sorted(labels, key=acquired.natural) if self._of(label))

    @property
    def sessions(self) -> tuple[str, ...]:
        """The labels of this subject's sessions with earlier runs, the earliest first."""
        found = (run.entities.get("session", "") for run in self._of(self.entities.get("subject", "")))
        return tuple(dict.fromkeys(label for label in found if label))

    def runs(self, **entities: str | int) -> tuple[EarlierRun, ...]:
        """Return the earlier runs with these entities, by their long names (``session="01", task="nf"``), the latest last.

        They are this subject's, unless another is named by ``subject=``.
        """
        wanted = {entity: _label(entity, label) for entity, label in entities.items()}
        subject = wanted.pop("subject", self.entities.get("subject", ""))
        return tuple(run for run in self._of(subject) if dataset.matches(run.entities, wanted))

    def latest(self, **entities: str | int) -> EarlierRun:
        """Return the latest of the earlier runs with these entities; raise where there is none."""
        found = self.runs(**entities)
        if not found:
            raise NothingMatched(self._none(entities))
        return found[-1]

    def _none(self, entities: Mapping[str, str | int]) -> str:
        asked = " ".join(f"{entity} {label}" for entity, label in entities.items())
        subject = _label("subject", entities.get("subject", self.entities.get("subject", "")))
        known = ", ".join(run.name for run in self._of(subject)) or "none"
        left_out = f"; {self._undecided} are left out, as no acq_time says when they were acquired" if self._undecided else ""
        return f"{self.root}: no earlier run" + (f" with {asked}" if asked else "") + f"; there are: {known}{left_out}"

    def _runs_of(self, subject: str) -> tuple[EarlierRun, ...]:
        known = dict(_known(self.root, subject))
        if subject == self.entities.get("subject"):
            names = self._own(known)
            for name in names:
                self._wait_for(name, known[name][0].file)
        else:
            names = self._others(known)
        listed = {name: there_before(self.root, known[name][0].entities) for name in names}
        ordered = acquired.in_order((known[name][1] for name in names), listed)
        return tuple(EarlierRun(known[run.name][0]) for run in ordered)

    def _wait_for(self, name: str, file: Path) -> None:
        """Wait until the last volumes of a run are on the disk.

        Not where this script has still to end it: the run would wait for the script, and the script for the run.
        """
        if file.suffix != ".gz" and self._is_open(name):
            raise BadData(f"{name} has ended, but not yet for this script: it is there with the next volumes")
        locks.wait(file)

    def _own(self, known: _Known) -> list[str]:
        this = bids_entities.stem(self.entities)
        if (noted := there_before(self.root, self.entities)) is not None:
            return [name for name in noted if name in known and name != this]
        now = known[this][1] if this in known else Acquired(self.entities)
        others = {name: run for name, (_, run) in known.items() if not acquired.same_scan(run, now)}
        before = {name: acquired.is_before(run, now) for name, run in others.items()}
        self._undecided = sum(is_before is None for is_before in before.values())
        return [name for name, is_before in before.items() if is_before]

    def _others(self, known: _Known) -> list[str]:
        began = _began(self.root, self.entities)
        return [name for name, (run, _) in known.items() if not _began(self.root, run.entities) >= began]


def of(entities: Mapping[str, str], where: Where, is_open: Callable[[str], bool] = lambda name: False) -> StudySoFar:
    """Return the data set of a run: the one that it is replayed from, else the one that it is archived in.

    What a replay is given is what its data set held then, wherever its results go.
    """
    file = where.source or where.file
    if file is None:
        name = bids_entities.stem(entities)
        raise UsageFault(f"{name}: run.study is the data set that --bids-dir names, or that is replayed; there is none")
    if not where.is_in_data_set:
        raise UsageFault("run.study: the data set is on another machine than this script (--on)")
    run = earlier_run.run_of(Path(file))
    return StudySoFar(run.root, run.entities, is_open)


def _known(root: Path, subject: str) -> Iterator[tuple[str, tuple[dataset.Run, Acquired]]]:
    """Yield the runs of a subject by name, with what tells when each was acquired."""
    is_ours = _is_ours(root)
    scans = cache(_scans)
    for run in dataset.runs(root, {"subject": subject}):
        found = scans(run.file.parent.parent)
        place = f"{run.file.parent.name}/{run.file.name.removesuffix('.gz')}"
        row, moment = found.get(place, (None, ""))
        yield bids_entities.stem(run.entities), (run, Acquired(run.entities, acquired.moment(moment), row if is_ours else None))


def _scans(folder: Path) -> Mapping[str, tuple[int, str]]:
    """Return the rows of a subject's, or a session's, scans table by file (``func/….nii``): which row, and ``acq_time``."""
    found: dict[str, tuple[int, str]] = {}
    for path in folder.glob("*_scans.tsv"):
        table = rows.read(_text(path), "filename", str(path))
        for number, (file, cells) in enumerate(table.items()):
            found[file.removesuffix(".gz")] = number, cells.get("acq_time", "")
    return found


def _text(path: Path) -> str:
    try:
        return path.read_bytes().decode("utf-8", "surrogateescape")
    except OSError as error:
        raise InputMissing(f"cannot read {path}: {error.strerror or error}") from None


def _is_ours(root: Path) -> bool:
    """Say whether rtbids made a data set, so that its tables list scans in the order of acquisition."""
    try:
        generators = sidecar.read(root / dataset.DESCRIPTION).get("GeneratedBy")
    except (BadData, OSError):
        return False
    return isinstance(generators, list) and any(isinstance(one, dict) and one.get("Name") == "rtbids" for one in generators)


def _began(root: Path, entities: Mapping[str, str]) -> float:
    """Return when the first volume of a run was received, as ``rtbids run`` noted it; NaN where it did not."""
    from rtbids.run.report import run_tables

    latency = root / run_tables.path(entities, "latency")
    received = (run_tables.number(row.get("received", "")) for row in run_tables.rows(latency))
    return next((moment for moment in received if math.isfinite(moment)), math.nan)


def _label(entity: str, label: str | int) -> str:
    if entity not in bids_entities.KEYS:
        near = difflib.get_close_matches(entity, list(bids_entities.KEYS), n=1)
        said = f"did you mean {near[0]!r}?" if near else f"there are: {', '.join(bids_entities.KEYS)}"
        raise UsageFault(f"no entity {entity!r}; {said}")
    return bids_entities.label(entity, str(label))
