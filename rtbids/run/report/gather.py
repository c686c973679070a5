"""What one run left behind in its study, read from files only: a run that was killed has a report too."""

from __future__ import annotations

import hashlib
import platform
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

import rtbids
from rtbids.bids import entities as bids_entities
from rtbids.bids import events as bids_events
from rtbids.bids import sidecar
from rtbids.bids.events import Events
from rtbids.run.record import provenance
from rtbids.run.record.derived_tables import TABLES
from rtbids.run.report import derived, pauses, run_images, run_tables
from rtbids.run.report.figures.pictures import Mean
from rtbids.run.report.findings import Answer, Findings
from rtbids.run.report.measures import Floats
from rtbids.run.report.run_images import attempt
from rtbids.run.responses import responses
from rtbids.run.responses.responses import Response

_TABLES = ("feedback", "latency", "responses", *TABLES)


def read(
    study: Path,
    entities: Mapping[str, str],
    *,
    warnings: Sequence[str] = (),
    faults: Sequence[str] = (),
    experiment: Mapping[str, object] | None = None,
    truth: Sequence[float] | None = None,
) -> Findings:
    """Gather what the study says of the run; what cannot be read becomes one of the warnings."""
    troubles: list[str] = []
    experiment = experiment or {}
    tables = {name: study / run_tables.path(entities, name) for name in _TABLES}
    bold = run_images.bold(study, entities)
    said = provenance.read(tables["feedback"].with_suffix(".json"))
    answers = pauses.told_apart(run_tables.answers(tables["feedback"], troubles), said.experiments)
    times = run_tables.times(tables["latency"], troubles)
    if not len(times["received"]):
        times = run_tables.times_of(answers)
    mean = run_images.mean(bold, troubles)
    fields = attempt(lambda file: sidecar.inherited(study, file, "bold"), bold, troubles) or {}
    missing = _missing(fields, answers)
    count = _received(mean, times, answers, missing)
    _compare(count, mean, times, troubles)
    events_file = bold and next(reversed(sidecar.companions(study, bold, "events", ".tsv")), None)
    events, live = attempt(_events, events_file, troubles) or (Events(), ())
    noted = tables["responses"] if tables["responses"].is_file() else None
    brain = run_images.brain(experiment, mean, troubles)
    found = {name: derived.read(run_tables.rows(tables[name]), _whose(tables[name])) for name in TABLES}
    map_files = run_images.map_files(study, entities)
    maps = run_images.maps(map_files, mean, troubles)
    files = (events_file, *tables.values(), *map_files.values())
    return Findings(
        name=bids_entities.stem(entities),
        count=count,
        missing=missing,
        repetition_time=run_tables.number(fields.get("RepetitionTime")),
        answers=answers,
        times=times,
        events=events,
        responses=attempt(_responses, noted, troubles) or live,
        brain=brain,
        averaged=mean.count if mean else 0,
        warnings=_within(study, (*warnings, *troubles)),
        faults=_within(study, faults),
        experiment=_with_hash(experiment),
        recorded=said.experiments,
        truth=tuple(truth if truth is not None else ()),
        sources=(*_images(bold, entities), *(file.relative_to(study).as_posix() for file in files if file and file.is_file())),
        made_with=_made_with(said.version),
        derived={name: table for name, table in found.items() if table.rows},
        maps=maps,
    )


def _whose(table: Path) -> str:
    """Return the experiment whose analysis a table is of; the empty text where its sidecar does not say."""
    fields = attempt(sidecar.read, table.with_suffix(".json"), []) or {}
    whose = fields.get("Experiment")
    return whose if isinstance(whose, str) else ""


def _images(bold: Path | None, entities: Mapping[str, str]) -> Iterator[str]:
    """Name the 4-D file as it is called in the end: while a report is written it may still be on its way to that."""
    if bold is not None:
        yield bids_entities.path(entities, "bold", ".nii.gz").as_posix()


def _made_with(recorded_by: str | None) -> dict[str, str]:
    """Return versions and machine; where another rtbids recorded the run, its version too."""
    other = {"Recorded by rtbids": recorded_by} if recorded_by and recorded_by != rtbids.__version__ else {}
    return {
        **other,
        "rtbids": rtbids.__version__,
        "Python": platform.python_version(),
        "Operating system": f"{platform.system()} {platform.release()}, {platform.machine()}",
    }


def _compare(count: int, mean: Mean | None, times: Mapping[str, Floats], troubles: list[str]) -> None:
    timed = int(np.isfinite(times["received"]).sum())
    if mean and timed and count != timed:
        troubles.append(f"the 4-D file holds {count} volumes as they were received, the tables speak of {timed}")


def _within(study: Path, texts: Iterable[str]) -> tuple[str, ...]:
    """Name files of the study from its root: what lies above is nobody's business."""
    return tuple(text.replace(f"{study}/", "").replace(str(study), "the study") for text in texts)


def _events(file: Path) -> tuple[Events, tuple[Response, ...]]:
    known, live = responses.split(file.read_text(encoding="utf-8"))  # a button press is no condition
    return bids_events.read(known, file.name), live


def _responses(file: Path) -> tuple[Response, ...]:
    return responses.split(file.read_text(encoding="utf-8").rpartition("\n")[0] + "\n")[1]


def _missing(fields: Mapping[str, Any], answers: Iterable[Answer]) -> tuple[int, ...]:
    listed = fields.get("MissingVolumes")
    stated = (
        {int(index) for index in listed if isinstance(index, int) and 0 <= index <= run_tables.MOST}
        if isinstance(listed, list)
        else set()
    )
    return tuple(sorted(stated | {answer.volume for answer in answers if answer.reason == "missing"}))


def _received(mean: Mean | None, times: Mapping[str, Floats], answers: Sequence[Answer], missing: Sequence[int]) -> int:
    """Count the volumes in the file, without those that ``--fill-gaps`` put in; without a file, those with a time."""
    reached = max(len(times["received"]), max((answer.volume for answer in answers), default=-1) + 1)
    if mean is None:
        by_answer = {answer.volume for answer in answers if np.isfinite(answer.received)}
        return max(int(np.isfinite(times["received"]).sum()), len(by_answer))
    filled = bool(missing) and reached > 0 and mean.count >= reached
    return mean.count - len(missing) if filled else mean.count


def _with_hash(experiment: Mapping[str, object]) -> Mapping[str, object]:
    """Add the SHA-256 of the experiment's file where it is there and the hash is not."""
    file = experiment.get("file")
    if not isinstance(file, str | Path) or "sha256" in experiment or not Path(file).is_file():
        return experiment
    return {**experiment, "sha256": hashlib.sha256(Path(file).read_bytes()).hexdigest()}
