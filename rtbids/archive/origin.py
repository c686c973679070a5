"""A data set that is copied to another machine: which of its files leave, and what may go when they are safe there."""

from __future__ import annotations

import hashlib
import logging
import os
import secrets
import stat
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rtbids.archive import claims, locks, notes
from rtbids.archive.study import WORK
from rtbids.bids import entities as bids_entities

Look = list[int]
STAYS = "sourcedata"  # what came from the scanner, for its owner's eyes only
_NOTE = "copied.json"
_IMAGES = (".nii", ".nii.gz")
_SHOWN = frozenset({".bidsignore"})  # hidden files that are part of a data set
logger = logging.getLogger("rtbids")


@dataclass(frozen=True)
class File:
    """A file to be copied, with what was in it when it looked like this."""

    path: Path
    look: Look
    mode: int
    sha256: str

    @property
    def size(self) -> int:
        return self.look[0]


class Origin:
    """The data set at `root`, which has been opened before.

    Attributes
    ----------
    name
        By which its files are told from those of other data sets, wherever they are copied to.
    gone
        Files that were to be copied once and are not here any more, as far as `files` has seen.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self._work = root / WORK
        self._note = self._work / _NOTE
        self.gone: list[str] = []
        with locks.held(self._work / "lock"):
            known = notes.read(self._note)
            self.name = str(known.setdefault("name", secrets.token_hex(16)))
            notes.write(self._note, known)  # before anything is there by this name

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Keep others from copying this data set, waiting for whoever does."""
        with locks.held(self._work / "copying"):
            yield

    def files(self) -> dict[str, File]:
        """Return the files that are to be copied, by name: those of finished runs, and what belongs to no run.

        One that changes while it is read is left to the next copy. What looks as it did when it was read is not read again.
        """
        known: dict[str, Any] = notes.read(self._note).get("files") or {}
        found: dict[str, File] = {}
        for name, status in self._listed().items():
            try:
                found[name] = self._read(name, status, known.get(name))
            except FileNotFoundError:  # it has just gone
                continue
            except OSError as error:
                _pass_over(error)
        found = {name: file for name, file in found.items() if _looks_so(file)}
        self.gone = [name for name in known if not (self.root / name).exists()]
        read = {name: [*file.look, file.sha256] for name, file in found.items()}
        notes.write(self._note, {"name": self.name, "files": read})
        return found

    def folders(self, names: Sequence[str]) -> dict[str, int]:
        """Return the modes of the folders that these files are in."""
        inner = {parent.as_posix() for name in names for parent in Path(name).parents} - {"."}
        return {name: (self.root / name).stat().st_mode & 0o777 for name in sorted(inner)}

    def empty(self, files: Mapping[str, File]) -> None:
        """Let go of images that are safe elsewhere and have not changed; their names stay, by which runs are numbered."""
        for name, file in files.items():
            if name.endswith(".nii.gz"):
                with suppress(FileNotFoundError), file.path.open("r+b") as image:
                    if look(os.fstat(image.fileno())) == file.look:
                        image.truncate(0)

    def _listed(self) -> dict[str, os.stat_result]:
        """Return what leaves, as it is at one instant."""
        with locks.held(self._work / "lock"):
            growing = claims.names(self._work / "growing")
            found = ((name, _status(path)) for name, path in _shown(self.root) if not _waits(name, growing))
            return {name: status for name, status in found if status is not None}

    def _read(self, name: str, status: os.stat_result, known: Any) -> File:
        path, seen = self.root / name, look(status)
        is_known = isinstance(known, list) and known[:-1] == seen
        return File(path, seen, status.st_mode & 0o777, known[-1] if is_known else sha256(path))


def look(status: os.stat_result) -> Look:
    """Return what tells that a file has changed."""
    return [status.st_size, status.st_mtime_ns, status.st_ino]


def sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def is_shown(name: str) -> bool:
    """Say whether a name is that of a file of a data set, which hidden ones are not."""
    return not any(part.startswith(".") and part not in _SHOWN for part in name.split("/"))


def _shown(root: Path) -> Iterator[tuple[str, Path]]:
    for place, folders, names in os.walk(root, onerror=_pass_over):
        folders[:] = [name for name in folders if is_shown(name) and name != STAYS]
        for path in map(Path(place).joinpath, filter(is_shown, names)):
            if path.name.isprintable():
                yield path.relative_to(root).as_posix(), path
            else:
                logger.warning("%r is not copied: its name cannot be sent", path.name)


def _status(path: Path) -> os.stat_result | None:
    """Return what is known of a file; None of a link, and of an image that was emptied since it is elsewhere."""
    with suppress(FileNotFoundError):
        status = path.lstat()
        if stat.S_ISREG(status.st_mode) and not (path.name.endswith(_IMAGES) and not status.st_size):
            return status
    return None


def _waits(name: str, growing: Sequence[str]) -> bool:
    """Say whether a file is of a run that is not finished, or names files of such a run."""
    file = name.rpartition("/")[2]
    return any(file.startswith(_of_run(run)) or (file.endswith("_scans.tsv") and _same_subject(file, run)) for run in growing)


def _of_run(run: str) -> tuple[str, str]:
    """Return how the names of a run's files begin; echoes and parts of one run share their events."""
    shared = {entity: label for entity, label in claims.entities_of(run).items() if entity not in ("echo", "part")}
    return f"{run}_", f"{bids_entities.stem(shared)}_events."


def _same_subject(file: str, run: str) -> bool:
    return file.partition("_")[0] == run.partition("_")[0]


def _looks_so(file: File) -> bool:
    try:
        return look(file.path.lstat()) == file.look
    except OSError:
        return False


def _pass_over(error: OSError) -> None:
    """Say what cannot be read, and costs nothing but itself."""
    logger.warning("%s is not copied: %s", error.filename, error.strerror)
