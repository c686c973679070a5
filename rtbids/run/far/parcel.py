"""What an experiment needs of this machine's files, by name and content."""

from __future__ import annotations

import hashlib
import logging
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

from rtbids.bids.dataset import DESCRIPTION
from rtbids.errors import InputMissing, UsageFault
from rtbids.run.far import paths
from rtbids.run.process.channel import Message
from rtbids.run.recipe.recipe import CONFIGS, SCRIPT

MOST_FILES = 2000
MOST_BYTES = 512 << 20
INSIDE, OUTSIDE = "experiment", "elsewhere"
_PASSED_OVER = ("__pycache__",)
logger = logging.getLogger("rtbids")
_Look: TypeAlias = tuple[int, int, int]  # inode, size, time of the last change


@dataclass(frozen=True)
class Parcel:
    """Files by the names that they have there, and the line that names them so."""

    load: Message
    files: Mapping[str, Path]
    hashes: Mapping[str, str]

    @property
    def manifest(self) -> list[dict[str, Any]]:
        return [{"name": name, "sha256": self.hashes[name]} for name in self.files]

    def content(self, sha256: str) -> bytes:
        """Return the content of this hash; raise UsageFault where the file has changed since."""
        path = next(self.files[name] for name, found in self.hashes.items() if found == sha256)
        content = _read(path)
        if hashlib.sha256(content).hexdigest() != sha256:
            raise UsageFault(f"{path} changed while it was copied", "start the experiment again")
        return content


class Packing:
    """Makes parcels; what has not changed since is not read again."""

    def __init__(self) -> None:
        self._known: dict[Path, tuple[_Look, str]] = {}

    def pack(self, load: Message) -> Parcel:
        """Return what goes with a script's first line.

        Raises
        ------
        UsageFault
            It is too much.
        InputMissing
            A file that is named is not there.
        """
        script = Path(load["script"])
        files = {f"{INSIDE}/{path.relative_to(script.parent).as_posix()}": path for path in beside(script)}

        def named(text: str) -> str:
            path = Path(text)
            inside = f"{INSIDE}/{path.relative_to(script.parent).as_posix()}" if path.is_relative_to(script.parent) else ""
            known = inside if inside in files else next((name for name, one in files.items() if one == path), "")
            name = known or f"{OUTSIDE}/{len(files)}/{path.name}"
            files[name] = path
            return name

        message = paths.changed(load, named)
        _demand_little(script, files)
        return Parcel(message, files, {name: self._hash(path) for name, path in files.items()})

    def _hash(self, path: Path) -> str:
        status = _look(path)
        look = status.st_ino, status.st_size, status.st_mtime_ns
        known = self._known.get(path)
        if known is None or known[0] != look:
            known = self._known[path] = look, hashlib.sha256(_read(path)).hexdigest()
        return known[1]


def beside(script: Path) -> Iterator[Path]:
    """Yield what belongs to a script: an experiment's whole folder; of one that has another name its config and modules."""
    if script.name == SCRIPT:
        yield from _within(script.parent, script.parent.resolve())
        return
    configs = (script.parent / name for name in CONFIGS)
    yield from (path for path in (*sorted(script.parent.glob("*.py")), *configs) if path.is_file())


def _within(folder: Path, top: Path) -> Iterator[Path]:
    for entry in sorted(folder.iterdir()):
        if entry.name.startswith(".") or entry.name in _PASSED_OVER:
            continue
        if not entry.resolve().is_relative_to(top):
            logger.warning("%s leads out of the experiment's folder: it is not copied", entry)
        elif entry.is_file():
            yield entry
        elif entry.is_dir() and not entry.is_symlink() and not (entry / DESCRIPTION).exists():  # a data set is no part of it
            yield from _within(entry, top)


def _demand_little(script: Path, files: Mapping[str, Path]) -> None:
    size = sum(_look(path).st_size for path in files.values())
    if len(files) > MOST_FILES or size > MOST_BYTES:
        found = f"{len(files)} files of {size >> 20} MB"
        raise UsageFault(
            f"{script.parent}: found {found} to be copied, at most {MOST_FILES} files of {MOST_BYTES >> 20} MB are",
            "keep in the experiment's folder what its script needs, and nothing else",
        )


def _look(path: Path) -> os.stat_result:
    try:
        return path.stat()
    except OSError as error:
        raise InputMissing(f"{path}: cannot be read ({error.strerror})") from None


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise InputMissing(f"{path}: cannot be read ({error.strerror})") from None
