"""Claims on runs that grow: one file a run, locked by its owner for as long as the owner lives."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from rtbids.archive import locks
from rtbids.bids import entities as bids_entities
from rtbids.errors import CannotWrite


@dataclass(frozen=True)
class Claim:
    """The right to write one run; every function of this file is called while the data set is locked."""

    path: Path
    descriptor: int

    @property
    def name(self) -> str:
        """The run, as in ``sub-01_task-nf_run-01``."""
        return self.path.stem

    @property
    def entities(self) -> dict[str, str]:
        return entities_of(self.name)

    def release(self) -> None:
        """Say that the run is finished, or never was."""
        self.path.unlink(missing_ok=True)
        os.close(self.descriptor)

    def abandon(self) -> None:
        """Leave the run to the next recovery."""
        os.close(self.descriptor)


def claim(folder: Path, name: str) -> Claim:
    """Take the claim on run `name`; raise CannotWrite where somebody holds it."""
    path = folder / f"{name}.json"
    descriptor = locks.take(path)
    if descriptor is None:
        raise CannotWrite(f"{name}: another process is writing this run", "wait for its end, or take another run number")
    return Claim(path, descriptor)


def abandoned(folder: Path, wanted: Iterable[str] | None = None) -> Iterator[Claim]:
    """Take every claim whose owner has died, or those of the `wanted` runs."""
    for name in names(folder) if wanted is None else wanted:
        descriptor = locks.take(folder / f"{name}.json")
        if descriptor is not None:
            yield Claim(folder / f"{name}.json", descriptor)


def names(folder: Path) -> list[str]:
    """Return the runs that are claimed, by whomever."""
    return sorted(path.stem for path in folder.glob("*.json"))


def entities_of(name: str) -> dict[str, str]:
    return bids_entities.parse(f"{name}_bold")[0]
