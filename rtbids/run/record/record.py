"""The record of one run: its volumes in the archive, its feedback and latencies in derivative tables."""

from __future__ import annotations

import gzip
import itertools
import json
import threading
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path, PurePosixPath
from types import MappingProxyType
from typing import Any, Protocol

from rtbids import nifti
from rtbids.bids import dataset, sidecar
from rtbids.bids import entities as bids_entities
from rtbids.run.deadlines import Line
from rtbids.run.feedback import deliveries, feedback
from rtbids.run.feedback.deliveries import Delivery
from rtbids.run.record import derived_tables, statistical_maps
from rtbids.run.record.derived_tables import TABLES, DerivedTables, Measures
from rtbids.run.record.statistical_maps import StatMap
from rtbids.run.responses import responses
from rtbids.run.responses.responses import Response
from rtbids.volume import Entities, RunEnd, Volume

STAGES = ("acquired", "received", "converted", "analysed", "answered", "sent")
_SECONDS = {"Units": "s"}
FEEDBACK_SIDECAR: Mapping[str, Any] = {
    "Description": "One line for every volume with status ok or alternate, and one more for a late answer",
    "experiment": {"Description": "Name of the experiment"},
    "run": {"Description": "The run, by its BIDS entities"},
    "volume": {"Description": "Index of the volume, from 0"},
    "value": {"Description": "What was sent: a number, an object as JSON, or n/a"},
    "status": {
        "Description": "How the value came about",
        "Levels": {
            "ok": "the script's answer, in time",
            "alternate": "sent in place of an answer",
            "late": "the script's answer, after its due time",
        },
    },
    "reason": {
        "Description": "Why an alternate was sent",
        "Levels": {
            "deadline": "no answer in time",
            "error": "the script failed",
            "missing": "the volume never came",
            "link": "the connection was down",
        },
    },
    "received": {"Description": "Last byte of the volume, POSIX time", **_SECONDS},
    "due": {"Description": "When the feedback had to leave, POSIX time", **_SECONDS},
    "sent": {"Description": "When the feedback left, POSIX time", **_SECONDS},
}
LATENCY_SIDECAR: Mapping[str, Any] = {
    "Description": "When each volume passed each stage, POSIX time; n/a where it did not or nobody knows",
    "volume": {"Description": "Index of the volume, from 0"},
    "acquired": {"Description": "Acquired by the scanner, on this machine's clock", **_SECONDS},
    "received": {"Description": "Last byte came in", **_SECONDS},
    "converted": {"Description": "Became a volume with its affine and sidecar", **_SECONDS},
    "analysed": {"Description": "Went through the analysis", **_SECONDS},
    "answered": {"Description": "The script returned its feedback", **_SECONDS},
    "sent": {"Description": "The feedback left", **_SECONDS},
}


RESPONSES_SIDECAR: Mapping[str, Any] = {
    "Description": "What was sent during the run, in the order in which it came in",
    "onset": {"Description": "Seconds from the beginning of the first volume", **_SECONDS},
    "duration": {"Description": "As the sender said, else 0", **_SECONDS},
    "trial_type": {"Description": "Name of the event, as the sender said"},
    **responses.SIDECAR,
}
DELIVERY_SIDECAR: Mapping[str, Any] = {
    "Description": "Lines of feedback that went to another machine, in the order in which it was known what became of them",
    "experiment": {"Description": "Name of the experiment"},
    "volume": {"Description": "Index of the volume, from 0"},
    "status": {"Description": "Of the line, as in the table of feedback"},
    "destination": {"Description": "What the place there is, and which of several of that kind"},
    "sent": {"Description": "When the feedback left, POSIX time", **_SECONDS},
    "delivered": {
        "Description": "When it was brought out there, POSIX time on this machine's clock, as exact as ClockUncertainty of the "
        "feedback's sidecar says; n/a where it was not, or where that was not known when the run ended",
        **_SECONDS,
    },
}
EARLIER = "EarlierRuns"  # of this subject, that had ended when the run began: a replay is given these and no others
MOST_MERGED = 5000  # responses that are put among the events with every volume; more are when the run ends


class Table(Protocol):
    def row(self, values: Any) -> None: ...
    def close(self) -> None: ...


class GrowingRun(Protocol):
    """What the archive gives for a run; see `rtbids.archive`."""

    earlier: tuple[str, ...]
    file: Path
    is_ending: bool

    @property
    def fills_gaps(self) -> bool: ...
    def append(self, volume: Volume) -> None: ...
    def end(self, end: RunEnd | None) -> None: ...
    def merge_events(self, text: str, fields: bytes) -> None: ...
    def derivative(self, description: str, suffix: str, extension: str) -> Path: ...
    def table(self, description: str, columns: Any, sidecar: Mapping[str, Any]) -> Table: ...
    def describe(self, description: str, sidecar: Mapping[str, Any]) -> None: ...


class Record:
    """Written to by the recorder's thread only, but for `written`.

    Parameters
    ----------
    signature
        What the sidecar of every result says: see `rtbids.run.record.provenance`.
    experiments
        What is said of each experiment, by its name.
    """

    def __init__(
        self,
        run: str,
        growing: GrowingRun,
        signature: Mapping[str, Any] = MappingProxyType({}),
        experiments: Mapping[str, Mapping[str, Any]] = MappingProxyType({}),
    ) -> None:
        self._run = run
        self.growing = growing
        self._signature = signature
        self._experiments = dict(experiments)
        self._outcomes: dict[str, Mapping[str, Any]] = {}
        self._feedback = self.table("feedback", feedback.COLUMNS, self._feedback_fields)
        self._latency = self.table("latency", ("volume", *STAGES), {**LATENCY_SIDECAR, EARLIER: list(growing.earlier)})
        self._derived = DerivedTables(self)
        self._contrasts: dict[str, str] = {}  # contrast → the experiment that has its name
        self._responses: list[Response] = []
        self._response_table: Table | None = None  # made with the first
        self._delivery: Table | None = None  # made with the first
        self._merged = 0  # how many of them are in the run's events
        self._events: str | None = None
        self._events_fields: bytes | None = None
        self._lock = threading.Lock()
        self._written = -1

    @property
    def written(self) -> int:
        """The index of the last volume that is safe in the archive, -1 before the first."""
        with self._lock:
            return self._written

    def table(self, description: str, columns: Any, sidecar: Mapping[str, Any]) -> Table:
        """Begin a table of the run, whose sidecar says where it comes from; columns go before what is said of the whole."""
        return self.growing.table(description, columns, {**self._signature, **sidecar})

    @property
    def _feedback_fields(self) -> Mapping[str, Any]:
        return {**FEEDBACK_SIDECAR, "Experiments": self._experiments}

    def left(self, experiment: str, about: Mapping[str, Any]) -> None:
        """Note what is to be said of an experiment whose part in the run is over."""
        self._outcomes[experiment] = about

    def first(self, volume: Volume) -> None:
        """Note that `volume`, which began the run, is in the archive."""
        self._learn(volume)
        self._note(volume)

    def append(self, volume: Volume) -> None:
        self.growing.append(volume)
        self._note(volume)
        self._learn(volume)
        if len(self._responses) <= MOST_MERGED:
            self._merge()

    def sent(self, experiment: str, line: Line) -> None:
        """Add the row of a line that has left."""
        self._feedback.row(list(feedback.fields(experiment, self._run, line).values()))

    def passed(self, index: int, times: Mapping[str, float]) -> None:
        """Add the row of a volume that is through: when it passed each stage."""
        self._latency.row([index, *(times.get(stage) for stage in STAGES)])

    def measured(self, experiment: str, index: int, measures: Measures) -> None:
        """Add the rows of what the analysis found in a volume."""
        self._derived.add(experiment, index, measures)

    def mapped(self, experiment: str, found: StatMap) -> None:
        """Write a map; where two experiments have a contrast of one name, the second's is named after the experiment too."""
        if self._contrasts.setdefault(found.contrast, experiment) != experiment:
            found = replace(found, contrast=found.contrast + bids_entities.clean_label(experiment))
        said = {"Experiment": experiment, **self._experiments.get(experiment, {})}
        statistical_maps.write(self.growing, replace(found, fields={**found.fields, **self._signature, **said}))

    def responded(self, response: Response) -> None:
        """Add a response: at once to a table of their own, and with the next volume to the run's events."""
        if self._response_table is None:
            self._response_table = self.table("responses", responses.COLUMNS, RESPONSES_SIDECAR)
        self._response_table.row(responses.row(response))
        self._responses.append(response)

    def delivered(self, delivery: Delivery) -> None:
        """Add the row of a line that went to another machine."""
        if self._delivery is None:
            self._delivery = self.table("delivery", deliveries.COLUMNS, DELIVERY_SIDECAR)
        self._delivery.row(delivery.cells)

    def end(self, end: RunEnd | None) -> None:
        try:
            self._merge()
        finally:
            for table in (self._feedback, self._latency, self._response_table, self._delivery):
                if table is not None:
                    table.close()
            self._derived.close(self._written + 1)
            self._tell_outcomes()
            self.growing.end(end)

    def _tell_outcomes(self) -> None:
        """Have the sidecar of the feedback say what became of each experiment."""
        if self._outcomes:
            self._experiments |= self._outcomes
            self.growing.describe("feedback", {**self._signature, **self._feedback_fields})

    def _learn(self, volume: Volume) -> None:
        if volume.events is not None and volume.events != self._events:
            self._events, self._merged = volume.events, 0
            self._events_fields = volume.belongings.files.get("events.json") if volume.belongings else None

    def _merge(self) -> None:
        """Have the responses that came since stand among the run's events."""
        if self._merged < len(self._responses):
            self.growing.merge_events(responses.merged(self._events, self._responses), self._described())
            self._merged = len(self._responses)

    def _described(self) -> bytes:
        """Return the sidecar of the events with what their live rows have besides."""
        try:
            known = json.loads(self._events_fields or b"{}")
        except ValueError:  # the archive has said so
            known = {}
        return sidecar.dumps({**responses.SIDECAR, **(known if isinstance(known, dict) else {})}).encode()

    def _note(self, volume: Volume) -> None:
        with self._lock:
            self._written = volume.index


def complete(study: Path, entities: Entities) -> bool:
    """Give the run of a killed process the rows and tables that it had no time to write; say whether it was a run of ours.

    A volume that is in the archive gets its row of latencies, with n/a for what nobody noted. Feedback that did not leave is
    not made up: its lines stay out.
    """
    paths = {name: study / "derivatives" / "rtbids" / _table_path(entities, name) for name in ("feedback", "latency")}
    if not any(path.exists() for path in paths.values()):
        return False
    for name, columns, fields in (
        ("feedback", feedback.COLUMNS, FEEDBACK_SIDECAR),
        ("latency", ("volume", *STAGES), LATENCY_SIDECAR),
    ):
        if not paths[name].exists() or not paths[name].read_text():
            paths[name].write_text("\t".join(columns) + "\n")
        if not paths[name].with_suffix(".json").exists():
            paths[name].with_suffix(".json").write_text(sidecar.dumps(fields))
    noted = {line.split("\t", 1)[0] for line in paths["latency"].read_text().splitlines()[1:]}
    with paths["latency"].open("a") as table:
        for index in _indices(study, entities):
            if str(index) not in noted:
                table.write("\t".join([str(index), *("n/a" for _ in STAGES)]) + "\n")
    derived = {name: study / "derivatives" / "rtbids" / _table_path(entities, name) for name in TABLES}
    derived_tables.complete(derived, max(_indices(study, entities), default=-1) + 1)
    return True


def _table_path(entities: Entities, description: str) -> PurePosixPath:
    return bids_entities.path({**entities, "description": description}, "timeseries", ".tsv")


def _indices(study: Path, entities: Entities) -> list[int]:
    """Return the indices of the volumes that the run's 4-D file holds."""
    runs = [run for run in dataset.runs(study) if run.entities == entities]
    if not runs:
        return []
    file = runs[0].file
    with gzip.open(file) if file.suffix == ".gz" else file.open("rb") as opened:
        shape = nifti.unpack(opened.read(nifti.HEADER), file.name).shape
    fields = sidecar.inherited(study, file, "bold")
    missing = set(fields.get("MissingVolumes", ()))
    count = shape[3] if len(shape) > 3 else 1
    indices = (index for index in itertools.count() if index not in missing)
    return list(itertools.islice(indices, count))
