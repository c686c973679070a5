"""Where the files of a session's other series wait: owner-only folders in the hidden ``.rtbids``, which survive a kill.

Each process has its own, locked for as long as it lives; in it a folder a series. A series leaves by one rename, of the folder
or of the DICOM files in it: before, it is done again from the start; after, it is done.
"""

from __future__ import annotations

import json
import os
import secrets
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rtbids.archive import locks
from rtbids.archive.study import WORK, Study

_FACTS = "series.json"
_JOURNAL = "placing.json"


@dataclass(frozen=True)
class Waiting:
    """A series that waits in `folder`: its DICOM files, and what is known of it."""

    folder: Path

    @property
    def dicom(self) -> Path:
        return self.folder / "dicom"

    def note(self, facts: dict[str, Any]) -> None:
        """Keep what is to be known of the series after a kill."""
        _write(self.folder / _FACTS, facts)

    def facts(self) -> dict[str, Any]:
        """Return what `note` kept last."""
        return _read(self.folder / _FACTS)

    def intend(self, files: list[str], subject: dict[str, str]) -> None:
        """Note which files of the data set are about to be made."""
        _write(self.folder / _JOURNAL, {"files": files, "entities": subject})

    def intended(self) -> tuple[list[str], dict[str, str]]:
        """Return what `intend` noted."""
        noted = _read(self.folder / _JOURNAL)
        return noted.get("files", []), noted.get("entities", {})

    def forget(self) -> None:
        """Take back what `intend` noted."""
        (self.folder / _JOURNAL).unlink(missing_ok=True)


class Room:
    """The folders of one process: made when the first series comes, removed when none is left. Any thread may ask for one."""

    def __init__(self, study: Study) -> None:
        self._study = study
        self._place = _rooms(study) / f"{os.getpid()}-{secrets.token_hex(4)}"
        self._owner: int | None = None
        self._count = 0
        self._counting = threading.Lock()

    def new(self) -> Waiting:
        """Make the folder of a new series."""
        with self._counting:
            if self._owner is None:
                self._open()
            self._count += 1
            waiting = Waiting(self._place / f"{self._count:04d}")
        waiting.folder.mkdir(mode=0o700)
        waiting.dicom.mkdir(mode=0o700)
        return waiting

    def _open(self) -> None:
        with self._study.locked():  # or who looks for what is left would take a room without its owner for one
            self._place.mkdir(parents=True, mode=0o700)
            self._place.parent.chmod(0o700)
            self._owner = locks.take(self._place / "owner")

    def adopt(self, waiting: Waiting) -> Waiting:
        """Take in a series that a killed process left, to keep it waiting."""
        place = self.new()
        place.dicom.rmdir()
        os.rename(waiting.folder, place.folder)  # an empty folder gives way
        return place

    def close(self) -> None:
        """Remove the room if it is empty; what still waits is for the next recovery."""
        if self._owner is None:
            return
        with self._study.locked():
            if not any(self._place.glob("*/")):
                (self._place / "owner").unlink()
                self._place.rmdir()
        os.close(self._owner)
        self._owner = None


def left(study: Study) -> Iterator[Waiting]:
    """Take over, folder by folder, what killed processes left, in the order in which it came."""
    for place in sorted(_rooms(study).glob("*/")):
        with study.locked():
            owner = locks.take(place / "owner") if place.exists() else None
        if owner is None:
            continue
        yield from (Waiting(folder) for folder in sorted(place.glob("*/")))
        if not any(place.glob("*/")):
            (place / "owner").unlink()
            place.rmdir()
        os.close(owner)


def all_intended(study: Study) -> set[str]:
    """Return the files that series of any process are about to make, or have made and not settled."""
    return {name for journal in _rooms(study).glob(f"*/*/{_JOURNAL}") for name in _read(journal).get("files", [])}


def _rooms(study: Study) -> Path:
    return study.root / WORK / "session"


def _write(path: Path, facts: dict[str, Any]) -> None:
    staged = path.with_suffix(".new")
    staged.write_text(json.dumps(facts), encoding="utf-8")
    os.replace(staged, path)


def _read(path: Path) -> dict[str, Any]:
    """Return what `_write` wrote; nothing where there is no file, or a loss of power left it without its content."""
    try:
        found = json.loads(path.read_bytes())
    except (FileNotFoundError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}
