"""The images of a whole series into a data set, all of them or none; series without a place in BIDS to ``sourcedata``."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rtbids.archive import listing, waiting, writer
from rtbids.archive.fields import without_identifiers
from rtbids.archive.finish import compress
from rtbids.archive.study import Study, read_text
from rtbids.archive.tables import cell
from rtbids.archive.waiting import Waiting
from rtbids.bids import entities as bids_entities
from rtbids.bids import sidecar
from rtbids.errors import RtbidsError, cannot_write
from rtbids.volume import Entities

COLUMNS = ("folder", "series", "description", "images", "reason")
LIST = Path("sourcedata", "series.tsv")


@dataclass(frozen=True)
class Image:
    """An image to be placed: an uncompressed NIfTI, its sidecar, and other files by extension (``.bval``)."""

    entities: Entities
    datatype: str
    suffix: str
    nifti: Path
    metadata: Mapping[str, Any]
    besides: Mapping[str, Path] = field(default_factory=dict)


@dataclass(frozen=True)
class Aside:
    """What the list in ``sourcedata`` says of a series whose DICOM files are kept there, and why."""

    number: int
    description: str
    images: int
    reason: str


def place(study: Study, images: Sequence[Image], series: Waiting, owner: Entities, aside: Aside | None = None) -> list[Path]:
    """Put the images of a series in place; its DICOM files are dropped, or with `aside` kept in ``sourcedata``.

    A name that is taken gets the next free run label. A kill at any point leaves a valid data set, and either all images or,
    after `undo`, none. `owner` has the subject and the session. Returns where the images stand.

    Raises
    ------
    CannotWrite
        Where the disk refuses; the series waits still.
    """
    try:
        staged = [_stage(study, image, series.folder / f"image-{number}") for number, image in enumerate(images)]
        with study.locked():
            placed = _move(study, _named(study, images), staged, series)
        for folder in {path.parent for path in placed}:
            writer.sync(folder)  # not within the lock: a run that begins would wait for the disk
        with study.locked():
            _leave(study, series, owner, aside)
    except OSError as error:
        raise cannot_write(study.root, error) from error
    return placed


def undo(study: Study, series: Waiting) -> None:
    """Take back what a killed process had placed of a series that still waits; one that has left is forgotten."""
    if not series.dicom.exists():
        shutil.rmtree(series.folder, ignore_errors=True)
        return
    names, entities = series.intended()
    if not names:
        return
    with study.locked(), study.curtain(*names):
        for path in (study.root / name for name in names):
            if path.name.endswith(".nii.gz"):
                study.unlist_scan(entities, path)
            path.unlink(missing_ok=True)
        series.forget()  # these names are free from here on, and may be another's tomorrow


def _stage(study: Study, image: Image, base: Path) -> dict[str, Path]:
    """Write the files of an image to the disk, beside the DICOM files that they are of; return them by extension."""
    files = {".nii.gz": base.with_suffix(".nii.gz"), ".json": base.with_suffix(".json")}
    compress(image.nifti, files[".nii.gz"], lambda size: None)
    fields = image.metadata if study.identified else without_identifiers(image.metadata)
    files[".json"].write_text(sidecar.dumps(fields), encoding="utf-8")
    for extension, path in image.besides.items():
        files[extension] = Path(shutil.copyfile(path, base.with_suffix(extension)))
    for path in files.values():
        writer.sync(path)
    return files


def _named(study: Study, images: Sequence[Image]) -> dict[str, Entities]:
    """Return the images' places without their extension, in order: none is taken, and no two are alike."""
    named: dict[str, Entities] = {}
    intended = waiting.all_intended(study)  # a killed process's too: its files will be taken back
    for image in images:
        entities, number = dict(image.entities), 1
        while (name := _name(image, entities)) in named or f"{name}.nii.gz" in intended or any(study.root.glob(f"{name}.*")):
            number += 1
            entities["run"] = f"{number:02d}"
        named[name] = entities
    return named


def _name(image: Image, entities: Entities) -> str:
    return str(bids_entities.path(entities, image.suffix, "", image.datatype))


def _move(study: Study, named: Mapping[str, Entities], staged: Sequence[Mapping[str, Path]], series: Waiting) -> list[Path]:
    moves = [
        (path, study.root / f"{name}{extension}")
        for name, files in zip(named, staged, strict=True)
        for extension, path in files.items()
    ]
    owner = next(iter(named.values()))
    series.intend([path.relative_to(study.root).as_posix() for _, path in moves], dict(owner))
    with study.curtain("participants.tsv", *(f"{name}.*" for name in named)):
        try:
            for path, target in moves:
                target.parent.mkdir(parents=True, exist_ok=True)
                os.replace(path, target)
            study.list_participants()
        except (OSError, RtbidsError):
            for _, target in moves:
                target.unlink(missing_ok=True)
            series.forget()
            raise
    placed = [study.root / f"{name}.nii.gz" for name in named]
    for path in placed:
        study.list_scan(owner, path)
    return placed


def _leave(study: Study, series: Waiting, owner: Entities, aside: Aside | None) -> None:
    """Let the DICOM files go, which makes an end of the series: what happens before is done again after a kill."""
    if aside is None:
        os.rename(series.dicom, series.folder / "done")
    else:
        os.rename(series.dicom, _listed(study, owner, aside))
    shutil.rmtree(series.folder, ignore_errors=True)


def _listed(study: Study, owner: Entities, aside: Aside) -> Path:
    """Give a series its row in the list, and return the folder for its files, which is not there yet."""
    subject = bids_entities.folder(owner, f"series-{aside.number:03d}")
    folder, number = Path("sourcedata", subject), 1
    while (study.root / folder).exists():
        number += 1
        folder = Path("sourcedata", subject.with_name(f"{subject.name}-{number}"))
    (study.root / folder).parent.mkdir(parents=True, exist_ok=True)
    row = (folder.relative_to("sourcedata").as_posix(), aside.number, aside.description, aside.images, aside.reason)
    text = read_text(study.root / LIST) or "\t".join(COLUMNS) + "\n"
    text = listing.without_row(text, COLUMNS[0], str(row[0]), LIST.name)  # of one that a kill kept from coming
    study.write(study.root / LIST, text + "\t".join(map(cell, row)) + "\n")
    return study.root / folder


def set_aside(study: Study, series: Waiting, owner: Entities, aside: Aside) -> Path:
    """Keep the DICOM files of a series in ``sourcedata``, for the owner's eyes only, and list it; return the list.

    Raises
    ------
    CannotWrite
        Where the disk refuses; the series waits still.
    """
    try:
        with study.locked():
            _leave(study, series, owner, aside)
    except OSError as error:
        raise cannot_write(study.root / LIST, error) from error
    return study.root / LIST
