"""The files of a data set: its description, its runs, and the tables that belong to it."""

from __future__ import annotations

import glob
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rtbids.bids import entities as bids_entities
from rtbids.errors import InputMissing, NotBids

BIDS_VERSION = "1.10.0"
DESCRIPTION = "dataset_description.json"
READMES = ("README", "README.md", "README.rst", "README.txt")
DOCUMENTS = (DESCRIPTION, *READMES, "CHANGES", "LICENSE", "CITATION.cff")
TOP_FILES = (*DOCUMENTS, "participants.json")  # what goes along with the volumes of a data set
LARGEST_FILES = 4 << 20  # bytes of them in all


def description(name: str, version: str) -> dict[str, Any]:
    """Return the ``dataset_description.json`` of a raw data set that rtbids `version` grows."""
    return {
        "Name": name,
        "BIDSVersion": BIDS_VERSION,
        "DatasetType": "raw",
        "GeneratedBy": [{"Name": "rtbids", "Version": version}],
    }


def derivative_description(name: str, version: str) -> dict[str, Any]:
    """Return the ``dataset_description.json`` of ``derivatives/rtbids``."""
    return {**description(name, version), "DatasetType": "derivative", "DatasetLinks": {"raw": "../.."}}


@dataclass(frozen=True)
class Run:
    """A BOLD run in a data set: its 4-D file and the entities in that file's name, labels as written."""

    root: Path
    file: Path
    entities: Mapping[str, str]


def is_dataset(path: Path) -> bool:
    return (path / DESCRIPTION).is_file()


def root_of(file: Path) -> Path:
    """Return the data set that `file` stands in; raise NotBids where no folder above has a description."""
    for place in (*file.absolute().parents, *file.resolve().parents):  # a link may lead out of the data set
        if is_dataset(place):
            return place
    raise NotBids(f"{file}: no {DESCRIPTION} in any folder above, so this is not part of a BIDS data set")


def runs(root: Path, filters: Mapping[str, str] | None = None) -> list[Run]:
    """Return the BOLD runs of a raw data set in order of path, those that `filters` (entity → label) match.

    A run that is both growing (``.nii``) and finished (``.nii.gz``) is listed once, as finished.
    """
    if not root.is_dir():
        raise InputMissing(f"{root}: no such folder")
    found: dict[str, Run] = {}
    for file in _bold_files(root, (filters or {}).get("subject")):
        entities = bids_entities.parse(file.name)[0]
        if matches(entities, filters or {}):
            key = str(file).removesuffix(".gz")
            if key not in found or file.suffix == ".gz":
                found[key] = Run(root, file, entities)
    return [found[key] for key in sorted(found)]


def _bold_files(root: Path, subject: str | None) -> Iterator[Path]:
    """Yield the files of all subjects, or of one without a look at the others."""
    folder = f"sub-{glob.escape(subject)}" if subject else "sub-*"
    for pattern in (f"{folder}/func/*_bold.nii", f"{folder}/ses-*/func/*_bold.nii"):
        yield from root.glob(pattern)
        yield from root.glob(pattern + ".gz")


def matches(entities: Mapping[str, str], filters: Mapping[str, str]) -> bool:
    """Say whether a run has the labels that `filters` (entity → label) asks for; run labels compare as numbers."""
    return all(_matches(entities, entity, wanted) for entity, wanted in filters.items())


def _matches(entities: Mapping[str, str], entity: str, wanted: str) -> bool:
    found = entities.get(entity, "")
    return bids_entities.same_run(wanted, found) if entity == "run" else wanted == found


def same_but_run(one: Mapping[str, str], other: Mapping[str, str]) -> bool:
    """Say whether two runs differ in nothing but the run label."""
    return {k: v for k, v in one.items() if k != "run"} == {k: v for k, v in other.items() if k != "run"}
