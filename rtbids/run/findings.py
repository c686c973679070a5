"""What one run left behind in its study, read from files only: a run that was killed has a report too."""

from __future__ import annotations

import csv
import hashlib
import json
import math
import platform
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from nibabel.filebasedimages import ImageFileError
from numpy.typing import NDArray

import rtbids
from rtbids.bids import entities as bids_entities
from rtbids.bids import events as bids_events
from rtbids.bids import sidecar
from rtbids.bids.events import Events
from rtbids.errors import RtbidsError
from rtbids.run import derived, map_pictures, responses
from rtbids.run.derived import Derived
from rtbids.run.derived_tables import TABLES
from rtbids.run.map_pictures import MapFound
from rtbids.run.measures import Floats
from rtbids.run.pictures import Mean, Slice, mask_of, mean_volume, slices
from rtbids.run.record import STAGES

DERIVATIVE = Path("derivatives", "rtbids")
Value: TypeAlias = float | Mapping[str, Any] | None


@dataclass(frozen=True)
class Answer:
    """One line of the feedback table; times in POSIX seconds, NaN where unknown."""

    experiment: str
    volume: int
    value: Value
    status: str
    reason: str
    received: float
    due: float
    sent: float


@dataclass(frozen=True)
class Findings:
    """All that a report says.

    Attributes
    ----------
    count
        Volumes that were received; `missing` lists the indices of those that were not.
    repetition_time
        Seconds, NaN where the sidecar does not say.
    times
        POSIX seconds of each stage by volume index, NaN where unknown; all of one length.
    truth
        What the feedback should have been, by volume index, where that is known; else empty.
    sources
        The files this was read from, relative to the study.
    made_with
        Versions and machine: label → text.
    derived
        What the analysis found, by table: ``motion``, ``quality``, ``design``; those that there are.
    maps
        The t-map of each contrast.
    """

    name: str
    count: int = 0
    missing: tuple[int, ...] = ()
    repetition_time: float = math.nan
    answers: tuple[Answer, ...] = ()
    times: Mapping[str, Floats] = field(default_factory=lambda: dict.fromkeys(STAGES, np.empty(0)))
    events: Events = field(default_factory=Events)
    brain: tuple[Slice, ...] = ()
    averaged: int = 0
    warnings: tuple[str, ...] = ()
    faults: tuple[str, ...] = ()
    experiment: Mapping[str, object] = field(default_factory=dict)
    truth: tuple[float, ...] = ()
    sources: tuple[str, ...] = ()
    made_with: Mapping[str, str] = field(default_factory=dict)
    derived: Mapping[str, Derived] = field(default_factory=dict)
    maps: tuple[MapFound, ...] = ()

    @property
    def length(self) -> int:
        """Places on the axis of volumes: one more than the highest index that anything speaks of."""
        indices = [*self.missing, *(answer.volume for answer in self.answers)]
        return max(self.count, len(self.times["received"]), max(indices, default=-1) + 1)

    def of(self, experiment: str) -> list[Answer]:
        return [answer for answer in self.answers if answer.experiment == experiment]

    @property
    def experiments(self) -> list[str]:
        """The experiments that answered, in order of appearance."""
        return list(dict.fromkeys(answer.experiment for answer in self.answers))


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
    bold = _bold(study, entities)
    answers = list(_answers(study / _table(entities, "feedback"), troubles))
    times = _times(study / _table(entities, "latency"), troubles)
    if not len(times["received"]):
        times = _times_of(answers)
    mean = _attempt(mean_volume, bold, troubles)
    fields = _attempt(lambda file: sidecar.inherited(study, file, "bold"), bold, troubles) or {}
    missing = _missing(fields, answers)
    count = _received(mean, times, answers, missing)
    timed = int(np.isfinite(times["received"]).sum())
    if mean and timed and count != timed:
        troubles.append(f"the 4-D file holds {count} volumes as they were received, the tables speak of {timed}")
    events_file = bold and next(reversed(sidecar.companions(study, bold, "events", ".tsv")), None)
    brain = _attempt(lambda m: slices(m, _masks(experiment, m, troubles)), mean, troubles) or ()
    tables = {name: derived.read(_rows(study / _table(entities, name))) for name in TABLES}
    maps = _maps(study, entities)
    found = [_attempt(_map_on(mean, contrast), file, troubles) for contrast, file in maps.items()] if mean else []
    names = ("feedback", "latency", *TABLES)
    files = (bold, events_file, *(study / _table(entities, name) for name in names), *maps.values())
    return Findings(
        name=bids_entities.stem(entities),
        count=count,
        missing=missing,
        repetition_time=_number(fields.get("RepetitionTime")),
        answers=tuple(answers),
        times=times,
        events=_attempt(_events, events_file, troubles) or Events(),
        brain=tuple(brain),
        averaged=mean.count if mean else 0,
        warnings=_within(study, (*warnings, *troubles)),
        faults=_within(study, faults),
        experiment=_with_hash(experiment),
        truth=tuple(truth if truth is not None else ()),
        sources=tuple(file.relative_to(study).as_posix() for file in files if file and file.is_file()),
        made_with={
            "rtbids": rtbids.__version__,
            "Python": platform.python_version(),
            "Operating system": f"{platform.system()} {platform.release()}, {platform.machine()}",
        },
        derived={name: table for name, table in tables.items() if table.rows},
        maps=tuple(one for one in found if one is not None),
    )


def _attempt(read_one: Any, source: Any, troubles: list[str]) -> Any:
    """Return what `read_one` makes of `source`; None where there is none, or where it cannot be read, which is noted."""
    if source is None:
        return None
    try:
        result = read_one(source)
    except (RtbidsError, OSError, ValueError, ImageFileError) as error:
        troubles.append(str(error))
        return None
    if isinstance(result, Mean) and result.count < result.promised:
        troubles.append(f"the 4-D file promises {result.promised} volumes and holds {result.count}")
    return result


def _within(study: Path, texts: Iterable[str]) -> tuple[str, ...]:
    """Name files of the study from its root: what lies above is nobody's business."""
    return tuple(text.replace(f"{study}/", "").replace(str(study), "the study") for text in texts)


def _bold(study: Path, entities: Mapping[str, str]) -> Path | None:
    candidates = (study / bids_entities.path(entities, "bold", extension) for extension in (".nii.gz", ".nii"))
    return next((file for file in candidates if file.is_file()), None)


def _table(entities: Mapping[str, str], description: str) -> Path:
    return DERIVATIVE / bids_entities.path({**entities, "description": description}, "timeseries", ".tsv")


def _maps(study: Path, entities: Mapping[str, str]) -> dict[str, Path]:
    """Return the t-maps of a run by contrast."""
    head, tail = f"{bids_entities.stem(entities)}_contrast-", "_stat-t_statmap.nii.gz"
    files = sorted((study / DERIVATIVE / bids_entities.folder(entities)).glob(f"{head}*{tail}"))
    return {file.name[len(head) : -len(tail)]: file for file in files}


def _map_on(mean: Mean, contrast: str) -> Any:
    return lambda file: map_pictures.read(file, contrast, mean)


def _rows(file: Path) -> Iterator[dict[str, str]]:
    """Yield the rows of a table with ``n/a`` as the empty text; none where there is no table.

    A row that a kill cut short, be it in its last number, is an empty one.
    """
    if not file.is_file():
        return
    text = file.read_text(encoding="utf-8", errors="replace")
    lines = text.split("\n")
    for row in csv.DictReader(lines[:-1], delimiter="\t", quoting=csv.QUOTE_NONE):
        whole = None not in row and None not in row.values()
        yield {name: "" if cell == "n/a" else cell for name, cell in row.items()} if whole else {}
    if lines[-1]:
        yield {}


def _answers(file: Path, troubles: list[str]) -> Iterator[Answer]:
    broken = 0
    for row in _rows(file):
        try:
            yield Answer(
                experiment=row["experiment"],
                volume=_index(row["volume"]),
                value=_value(row["value"]),
                status=row["status"],
                reason=row["reason"],
                received=_number(row["received"]),
                due=_number(row["due"]),
                sent=_number(row["sent"]),
            )
        except (KeyError, ValueError):
            broken += 1
    if broken:
        troubles.append(f"{file.name}: {broken} line(s) could not be read and are left out")


def _times(file: Path, troubles: list[str]) -> dict[str, Floats]:
    found: dict[int, list[float]] = {}
    broken = 0
    for row in _rows(file):
        try:
            found[_index(row["volume"])] = [_number(row[name]) for name in STAGES]
        except (KeyError, ValueError):
            broken += 1
    if broken:
        troubles.append(f"{file.name}: {broken} line(s) could not be read and are left out")
    table = np.full((len(STAGES), max(found, default=-1) + 1), np.nan)
    for volume, moments in found.items():
        table[:, volume] = moments
    return dict(zip(STAGES, table, strict=True))


def _times_of(answers: Sequence[Answer]) -> dict[str, Floats]:
    """Return what the feedback table alone says of times: enough for the latency, not for its stages."""
    sent = {answer.volume: answer for answer in reversed(answers) if answer.status != "late"}
    times = {name: np.full(max(sent, default=-1) + 1, np.nan) for name in STAGES}
    for volume, answer in sent.items():
        times["received"][volume], times["sent"][volume] = answer.received, answer.sent
    return times


def _index(text: str) -> int:
    volume = int(text)
    if not 0 <= volume <= 32767:  # what a NIfTI-1 file can hold: a broken table shall not ask for gigabytes
        raise ValueError(text)
    return volume


def _number(text: object) -> float:
    """Return a finite number, or NaN for whatever is none."""
    try:
        number = float(text)  # type: ignore[arg-type]
    except (TypeError, ValueError, OverflowError):
        return math.nan
    return number if math.isfinite(number) else math.nan


def _value(text: str) -> Value:
    """Return a number or an object; ``n/a``, not a number and what is neither are None."""
    if text.startswith('"'):  # quoted as CSV would
        text = text[1:-1].replace('""', '"')
    if text.startswith("{"):
        fields = json.loads(text)
        return fields if isinstance(fields, dict) else None
    number = _number(text)
    return None if math.isnan(number) else number


def _events(file: Path) -> Events:
    known, _ = responses.split(file.read_text(encoding="utf-8"))  # a button press is no condition
    return bids_events.read(known, file.name)


def _missing(fields: Mapping[str, Any], answers: Iterable[Answer]) -> tuple[int, ...]:
    listed = fields.get("MissingVolumes")
    stated = (
        {int(index) for index in listed if isinstance(index, int) and 0 <= index <= 32767}
        if isinstance(listed, list)
        else set()
    )
    return tuple(sorted(stated | {answer.volume for answer in answers if answer.reason == "missing"}))


def _received(mean: Mean | None, times: Mapping[str, Floats], answers: Sequence[Answer], missing: Sequence[int]) -> int:
    """Count the volumes in the file, without those that ``--fill-gaps`` put in; without a file, those with a time."""
    reached = max(len(times["received"]), max((answer.volume for answer in answers), default=-1) + 1)
    if mean is None:
        by_answer = {answer.volume for answer in answers if not math.isnan(answer.received)}
        return max(int(np.isfinite(times["received"]).sum()), len(by_answer))
    filled = bool(missing) and reached > 0 and mean.count >= reached
    return mean.count - len(missing) if filled else mean.count


def _masks(experiment: Mapping[str, object], mean: Mean, troubles: list[str]) -> dict[str, NDArray[np.bool_]]:
    masks = {}
    for name, path in _rois(experiment).items():
        mask = _attempt(lambda file: mask_of(file, mean), Path(str(path)), troubles)
        if mask is not None:
            masks[name] = mask
    return masks


def _rois(experiment: Mapping[str, object]) -> dict[str, object]:
    """Return the masks of the experiment, or of each where there are several."""
    found: dict[str, object] = {}
    for part in (experiment, *experiment.values()):
        rois = part.get("rois") if isinstance(part, Mapping) else None
        if isinstance(rois, Mapping):
            found.update(rois)
    return found


def _with_hash(experiment: Mapping[str, object]) -> Mapping[str, object]:
    """Add the SHA-256 of the experiment's file where it is there and the hash is not."""
    file = experiment.get("file")
    if not isinstance(file, str | Path) or "sha256" in experiment or not Path(file).is_file():
        return experiment
    return {**experiment, "sha256": hashlib.sha256(Path(file).read_bytes()).hexdigest()}
