"""A copy of a data set on another machine: which files are lacking there, and which are not to be touched."""

from __future__ import annotations

import hashlib
import json
import os
import secrets
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from rtbids.bids.dataset import DESCRIPTION
from rtbids.errors import CannotWrite, StreamBroken
from rtbids.stream.wire import is_confined

_OWN = ".rtbids"  # what rtbids works with in a data set
_LEDGER = "copied-here.json"
_NOTE = "copied.json"
_IMAGES = (".nii", ".nii.gz")
_SHOWN = frozenset({".bidsignore"})  # hidden files that are part of a data set


def files(root: Path) -> Iterator[tuple[str, Path]]:
    """Yield name and path of each file of a data set, its description last: what lacks it is no whole data set."""
    found = sorted(path for path in root.rglob("*") if path.is_file() and not path.is_symlink())
    named = [(path.relative_to(root).as_posix(), path) for path in found]
    shown = [each for each in named if not _is_hidden(each[0])]
    yield from (each for each in shown if each[0] != DESCRIPTION)
    yield from (each for each in shown if each[0] == DESCRIPTION)


def _is_hidden(name: str) -> bool:
    return any(part.startswith(".") and part not in _SHOWN for part in name.split("/"))


def sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


class Origin:
    """What a data set knows of its copies.

    Attributes
    ----------
    name
        By which its files are told from those of other data sets, wherever they are copied to.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        self._path = root / _OWN / _NOTE
        known = _read(self._path)
        self.name: str = known.get("name") or secrets.token_hex(16)
        self._places: dict[str, dict[str, list[int]]] = known.get("places") or {}

    def changed(self, place: str, *, all_of_them: bool) -> dict[str, Path]:
        """Return the files that have changed since they were copied to `place`."""
        known = {} if all_of_them else self._places.get(place, {})
        there = ((name, path) for name, path in files(self._root) if not is_emptied(path))
        return {name: path for name, path in there if known.get(name) != look(path)}

    def copied(self, place: str, looks: Mapping[str, list[int]]) -> None:
        """Note what is safe there, as it was when it was read."""
        self._places.setdefault(place, {}).update(looks)
        _write(self._path, {"name": self.name, "places": self._places})

    def empty(self, names: Iterable[str]) -> None:
        """Let go of images that are safe elsewhere; their names stay, by which runs are numbered."""
        for name in names:
            if name.endswith(_IMAGES):
                os.truncate(self._root / name, 0)


def look(path: Path) -> list[int]:
    """Return what tells that a file has changed."""
    status = path.stat()
    return [status.st_size, status.st_mtime_ns, status.st_ino]


def is_emptied(path: Path) -> bool:
    return path.name.endswith(_IMAGES) and path.stat().st_size == 0


class Copy:
    """The copy at `root` of the data set `origin`. A file there that is not of this origin's making is never replaced."""

    def __init__(self, root: Path, origin: str) -> None:
        self._root = root
        self._origin = origin
        self._ledger = root / _OWN / _LEDGER
        self._made: dict[str, list[str]] = _read(self._ledger)  # origin and hash, by name
        self._awaited: dict[str, str] = {}
        try:
            self._ledger.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise CannotWrite(f"{root}: {error.strerror}") from None

    @property
    def is_known(self) -> bool:
        """Whether files of this origin are here."""
        return any(origin == self._origin for origin, _ in self._made.values())

    def lacking(self, manifest: Mapping[str, Any]) -> tuple[list[str], list[str]]:
        """Return the names that are lacking, and those that are another's here; `manifest` has hashes by name."""
        refused = []
        for name, wanted in manifest.items():
            if not (is_confined(name) and isinstance(wanted, str)) or _is_hidden(name):
                raise StreamBroken(f"expected a file of a data set, found {name[:80]!r}")
            there = self._there(name)
            if there is None or (there != wanted and self._made.get(name) == [self._origin, there]):
                self._awaited[name] = wanted
            elif there != wanted:
                refused.append(name)
        return list(self._awaited), refused

    def take(self, name: str, content: memoryview) -> None:
        """Put a file in its place, whole or not at all, and on the disk."""
        wanted = self._awaited.pop(name, None)
        if wanted is None or hashlib.sha256(content).hexdigest() != wanted:
            raise StreamBroken(f"{name[:80]} is not what was asked for")
        path = self._root / name
        unfinished = self._root / _OWN / f"coming-{os.getpid()}"
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._demand_within(path.parent)
            with unfinished.open("wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            unfinished.replace(path)
        except OSError as error:
            with suppress(OSError):
                unfinished.unlink()
            raise CannotWrite(f"{path}: {error.strerror}") from None
        self._made[name] = [self._origin, wanted]

    def close(self) -> None:
        """Note what was made here."""
        _write(self._ledger, self._made)

    def _there(self, name: str) -> str | None:
        path = self._root / name
        if not path.exists():
            return None
        return sha256(path) if path.is_file() else ""

    def _demand_within(self, folder: Path) -> None:
        root = os.path.realpath(self._root)
        if os.path.commonpath([root, os.path.realpath(folder)]) != root:
            raise CannotWrite(f"{folder} leads out of the data set")


def _read(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _write(path: Path, fields: Mapping[str, Any]) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        unfinished = path.with_suffix(f".{os.getpid()}")
        unfinished.write_text(json.dumps(fields), encoding="utf-8")
        unfinished.replace(path)
    except OSError as error:
        raise CannotWrite(f"{path}: {error.strerror}") from None
