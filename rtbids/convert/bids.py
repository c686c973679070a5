"""BOLD runs of a BIDS data set as the items that flow, exactly as stored and one volume at a time."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from rtbids.bids import dataset, sidecar
from rtbids.bids import entities as bids_entities
from rtbids.bids.dataset import Run
from rtbids.clock import CLOCK, Clock
from rtbids.convert import belongings, stored
from rtbids.errors import BadData, InputMissing, NotBids, NothingMatched
from rtbids.volume import Item, RunEnd, volume_of

logger = logging.getLogger("rtbids")
_SAME_SECONDS = 1e-3  # the validator's own tolerance between header and sidecar


def runs_of(source: Path, filters: Mapping[str, str] | None = None) -> list[Run]:
    """Return the BOLD runs of a data set's folder, or the one whose file `source` is, that `filters` (entity → label) match.

    Raises
    ------
    InputMissing, NotBids, NothingMatched
        Where `source` is not there, is not (in) a BIDS data set, or no run matches.
    """
    if not source.exists():
        raise InputMissing(f"{source}: no such file or folder")
    if source.is_dir() and not dataset.is_dataset(source):
        raise NotBids(f"{source}: expected a BIDS data set, found no {dataset.DESCRIPTION}", "name the data set's top folder")
    found = dataset.runs(source, filters) if source.is_dir() else _run_of(source, filters or {})
    if not found:
        asked = " ".join(f"{entity} {label}" for entity, label in (filters or {}).items())
        raise NothingMatched(f"{source}: no BOLD run" + (f" with {asked}" if asked else ""))
    return found


def _run_of(file: Path, filters: Mapping[str, str]) -> list[Run]:
    entities, suffix, extension = bids_entities.parse(file.name)
    if suffix != "bold" or extension not in (".nii", ".nii.gz") or "subject" not in entities:
        raise NotBids(f"{file}: expected a BOLD run such as sub-01_task-rest_bold.nii.gz")
    root = dataset.root_of(file)
    return [run for run in dataset.runs(root, filters) if run.file.resolve() == file.resolve()]


def items(run: Run, *, clock: Clock = CLOCK) -> Iterator[Item]:
    """Give the volumes of `run` in order, with all that applies and belongs to it, then its end.

    One volume is held at a time, whatever the length of the run. Indices in the sidecar's ``MissingVolumes`` are left out.

    Raises
    ------
    BadData
        Where the sidecar has no RepetitionTime, or the file cannot be read; names the file and, where it is one, the volume.
    """
    _warn_of_ambiguous(run)
    metadata, missing = described(run)
    repetition_time = repetition_time_of(metadata, run.file)
    events = events_of(run)
    along = belongings.of_run(run, events=events is not None)
    with stored.opened(run.file) as file:
        header = stored.header(file, run.file)
        count = header.shape[3] if len(header.shape) > 3 else 1
        if len(header.shape) > 3:  # a single volume's header has no time between two
            _compare(header.repetition_time, repetition_time, run.file)
        for place, index in zip(range(count), indices(missing), strict=False):
            content = stored.exactly(file, header.volume_bytes, f"{run.file}, volume {place} of {count}")
            yield volume_of(
                np.frombuffer(content, header.dtype).reshape(header.shape[:3], order="F"),
                header.affine,
                run.entities,
                metadata,
                index,
                times={"received": clock.now()},
                slope=header.slope,
                inter=header.inter,
                events=events,
                belongings=along,
            )
        stored.exactly(file, 0, f"{run.file}, after volume {count - 1}")
    yield RunEnd(run.entities, count, tuple(sorted(missing)))


def described(run: Run) -> tuple[dict[str, Any], frozenset[int]]:
    """Return what the sidecars say of a run, and the indices of the volumes that it lacks."""
    metadata = sidecar.inherited(run.root, run.file, "bold")
    missing = _missing(metadata.pop("MissingVolumes", []), run.file)
    metadata.setdefault("TaskName", run.entities.get("task", ""))
    return metadata, missing


def volume_count(run: Run) -> int:
    """Return how many volumes were planned for `run`: those in its file, and those that its sidecar lists as missing."""
    _, missing = described(run)
    with stored.opened(run.file) as file:
        shape = stored.header(file, run.file).shape
    return (shape[3] if len(shape) > 3 else 1) + len(missing)


def _missing(found: Any, file: Path) -> frozenset[int]:
    if not isinstance(found, list) or not all(isinstance(index, int) and index >= 0 for index in found):
        raise BadData(f"{file}: expected MissingVolumes to be a list of indices, found {found!r:.60}")
    return frozenset(found)


def repetition_time_of(metadata: Mapping[str, Any], file: Path) -> float:
    """Return the RepetitionTime (s) of a run's sidecar; raise BadData where it has none."""
    found = metadata.get("RepetitionTime")
    if not isinstance(found, (int, float)) or found <= 0:
        name = file.name.removesuffix(".gz").removesuffix(".nii") + ".json"
        raise BadData(
            f"{file.parent / name}: expected a RepetitionTime (seconds), found {'none' if found is None else repr(found)}"
        )
    return float(found)


def _compare(header: float, said: float, file: Path) -> None:
    if header > 0 and abs(header - said) > _SAME_SECONDS:
        logger.warning(
            "%s: the header's RepetitionTime is %g s, the sidecar's %g s; the sidecar's is used", file.name, header, said
        )


def _warn_of_ambiguous(run: Run) -> None:
    for suffix, extension in (("bold", ".json"), ("events", ".tsv"), ("events", ".json")):
        for one, other in sidecar.ambiguous(run.root, run.file, suffix, extension):
            logger.warning("%s: %s and %s both apply to it; the latter counts", run.file.name, one.name, other.name)


def events_of(run: Run) -> str | None:
    """Return the text of the ``events.tsv`` that applies to a run, if one does."""
    tables = sidecar.companions(run.root, run.file, "events", ".tsv")
    if not tables:
        return None
    try:
        return tables[-1].read_bytes().decode()
    except UnicodeDecodeError as error:
        raise BadData(f"{tables[-1]}: expected UTF-8 text ({error.reason} at byte {error.start})") from None


def indices(missing: frozenset[int]) -> Iterator[int]:
    """Yield the indices of the volumes in a file, from 0 without those that are missing."""
    index = 0
    while True:
        if index not in missing:
            yield index
        index += 1
