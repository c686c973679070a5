"""What an experiment needs of this machine's files, by name and content."""

from __future__ import annotations

import logging
import os
from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, TypeAlias

from rtbids.errors import InputMissing, UsageFault
from rtbids.run.far import paths
from rtbids.run.far.belongings import Belongings, kept_back
from rtbids.run.far.manifest import MOST_BYTES, MOST_FILES, Entry
from rtbids.run.far.store import digest
from rtbids.run.process.channel import Message

INSIDE, OUTSIDE = "experiment", "elsewhere"
logger = logging.getLogger("rtbids")
_Look: TypeAlias = tuple[int, int, int]  # inode, size, time of the last change


@dataclass(frozen=True)
class Parcel:
    """Files by what they are there, and the line that names them so."""

    load: Message
    files: Mapping[Entry, Path]

    @property
    def manifest(self) -> list[dict[str, Any]]:
        return [asdict(entry) for entry in self.files]

    @cached_property
    def _by_hash(self) -> dict[str, Path]:
        return {entry.sha256: path for entry, path in self.files.items()}

    def named(self, sha256: str) -> Entry:
        """Return the file, or one of those, that has a content."""
        return next(entry for entry in self.files if entry.sha256 == sha256)

    def piece(self, sha256: str, at: int, end: int) -> bytes | None:
        """Return bytes `at` to `end` of a content; None where the file is no longer so long."""
        try:
            with self._by_hash[sha256].open("rb", buffering=0) as file:
                file.seek(at)
                piece = file.read(end - at)
        except OSError:
            return None
        return piece if len(piece) == end - at else None


class Packing:
    """Makes parcels; what has not changed since is not read again.

    Parameters
    ----------
    stays
        Files and folders that are not copied, wherever they lie.
    """

    def __init__(self, stays: Collection[Path] = ()) -> None:
        self._stays = frozenset(path.resolve() for path in stays)
        self._known: dict[Path, tuple[_Look, str]] = {}
        self._said: set[str] = set()

    def pack(self, load: Message) -> Parcel:
        """Return what goes with a script's first line.

        Raises
        ------
        UsageFault
            It is too much, or what is named is a key.
        InputMissing
            A file that is named is not there, or a folder cannot be looked into.
        """
        script = Path(load["script"])
        belongings = Belongings(script, self._stays)
        names = {path: f"{INSIDE}/{path.relative_to(script.parent).as_posix()}" for path in belongings.files()}
        self._say(belongings.left_out)

        def named(text: str) -> str:
            path = Path(text)
            if path not in names:
                names[path] = f"{OUTSIDE}/{len(names)}/{path.name}"
            return names[path]

        message = paths.changed(load, named)
        looks = {path: _look(path) for path in names}
        _demand_little(script, looks)
        return Parcel(message, {self._entry(name, path, looks[path]): path for path, name in names.items()})

    def _entry(self, name: str, path: Path, look: os.stat_result) -> Entry:
        if name.startswith(OUTSIDE) and (kind := kept_back(path)):
            raise UsageFault(f"{path} is {kind}: it does not leave this machine")
        return Entry(name, self._hash(path, look), look.st_size, bool(look.st_mode & 0o100))

    def _hash(self, path: Path, status: os.stat_result) -> str:
        look = status.st_ino, status.st_size, status.st_mtime_ns
        known = self._known.get(path)
        if known is None or known[0] != look:
            try:
                known = self._known[path] = look, digest(path, status.st_size)
            except OSError as error:
                raise InputMissing(f"{path}: cannot be read ({error.strerror})") from None
        return known[1]

    def _say(self, left_out: Collection[str]) -> None:
        """Say what is left out, once."""
        for text in left_out:
            if text not in self._said:
                logger.warning("%s", text)
        self._said.update(left_out)


def _demand_little(script: Path, looks: Mapping[Path, os.stat_result]) -> None:
    size = sum(look.st_size for look in looks.values())
    if len(looks) > MOST_FILES or size > MOST_BYTES:
        found = f"{len(looks)} files of {size >> 20} MB"
        raise UsageFault(
            f"{script.parent}: found {found} to be copied, at most {MOST_FILES} files of {MOST_BYTES >> 20} MB are",
            "keep in the experiment's folder what its script needs, and nothing else",
        )


def _look(path: Path) -> os.stat_result:
    try:
        return path.stat()
    except OSError as error:
        raise InputMissing(f"{path}: cannot be read ({error.strerror})") from None
