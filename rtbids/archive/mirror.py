"""A copy of a data set, made on another machine: nothing takes its place until all has come.

A connection that is lost, or a kill, leaves what was there before.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from rtbids.archive import locks, writer
from rtbids.archive.coming import Coming, Wanted
from rtbids.archive.ledger import Ledger, Made
from rtbids.archive.origin import Look, is_shown, look, sha256
from rtbids.archive.study import WORK, refuse_strangers
from rtbids.bids.dataset import DESCRIPTION
from rtbids.errors import CannotWrite, StreamBroken, cannot_write
from rtbids.stream.wire import is_confined

_LEDGER = "copied-here.json"
_COMING = "coming"


class Copy:
    """The copy at `root` of the data set `origin`. A file there that is not of this origin's making is never replaced.

    `mode` is that of `root` where it has to be made.
    """

    def __init__(self, root: Path, origin: str, mode: int = 0o700) -> None:
        if not origin.isalnum():
            raise StreamBroken(f"expected the name of a data set, found {origin[:80]!r}")
        self._root = root
        self._ledger = Ledger(root / WORK / _LEDGER, origin)
        self._coming = Coming(root / WORK / _COMING / origin)
        self._wanted: dict[str, Wanted] = {}
        self._folders: dict[str, int] = {}
        self._seen: dict[str, Look | None] = {}  # of what is to be replaced
        self._here: list[str] = []
        self._refused: list[str] = []
        with _writing(root):
            self._make(root / WORK / _COMING, origin, mode)

    def _make(self, coming: Path, origin: str, mode: int) -> None:
        if not self._root.exists():
            self._root.mkdir(parents=True)
            self._root.chmod(mode & 0o777 | 0o700)
        if not (self._root / WORK / _LEDGER).exists():
            refuse_strangers(self._root)
        (coming / origin).mkdir(parents=True, exist_ok=True)
        coming.chmod(0o700)

    def lacking(self, manifest: Mapping[str, Any]) -> list[str]:
        """Return the names of files whose content is to be sent, of those in `manifest`.

        It has under ``files`` by name: hash, size and mode; under ``folders`` the modes of their folders.
        """
        files, self._folders = _understood(manifest)
        made = self._ledger.read()
        self._here, self._refused, self._wanted, self._seen = [], [], {}, {}
        with _writing(self._root):
            for name, wanted in files.items():
                self._sort(name, wanted, made.get(name))
            return self._coming.expect(self._wanted)

    def _sort(self, name: str, wanted: Wanted, made: Made | None) -> None:
        there = self._look(name)
        content = self._content(name, there, made)
        if content == wanted.sha256:
            self._here.append(name)
        elif there is None or self._ledger.is_ours(made, content):
            self._wanted[name], self._seen[name] = wanted, there
        else:
            self._refused.append(name)

    def take(self, name: str, piece: memoryview) -> None:
        """Add to a file whose content is lacking; see `Coming.take`."""
        with _writing(self._root / name):
            self._coming.take(name, piece)

    def place(self) -> tuple[list[str], list[str]]:
        """Put in its place all that has come; return the names of what is here now as it is to be, and of what is another's."""
        with _writing(self._root), locks.held(self._root / WORK / "lock"):
            ready = [name for name in self._wanted if self._coming.path(name).exists()]
            taken = [name for name in ready if self._look(name) != self._seen[name]]  # since it was looked at
            contents = {name: self._wanted[name].sha256 for name in sorted(set(ready) - set(taken), key=turn)}
            self._ledger.intend(contents)
            for name in contents:
                self._move(name)
            for folder in {folder for name in contents for folder in Path(name).parents}:
                writer.sync(self._root / folder)
            self._ledger.note(contents, {name: self._look(name) for name in contents})
        return [*self._here, *contents], [*self._refused, *taken]

    def _move(self, name: str) -> None:
        path, waiting = self._root / name, self._coming.path(name)
        self._demand_within(path.parent)
        for folder in reversed(Path(name).parents):
            if not (self._root / folder).exists():
                (self._root / folder).mkdir()
                (self._root / folder).chmod(self._folders.get(folder.as_posix(), 0o700) | 0o700)
        waiting.chmod(self._wanted[name].mode)
        waiting.replace(path)

    def _demand_within(self, folder: Path) -> None:
        root = os.path.realpath(self._root)
        if os.path.commonpath([root, os.path.realpath(folder)]) != root:
            raise CannotWrite(f"{folder} leads out of the data set")

    def _look(self, name: str) -> Look | None:
        with suppress(FileNotFoundError, NotADirectoryError):
            return look((self._root / name).lstat())
        return None

    def _content(self, name: str, there: Look | None, made: Made | None) -> str:
        """Return the hash of what is there, reading it only where it is not known; empty where it is no file."""
        path = self._root / name
        if there is None or path.is_symlink() or not path.is_file():
            return ""
        return made.contents[0] if made is not None and made.look == there else sha256(path)


def turn(name: str) -> tuple[int, str, str, bool, str]:
    """Return what sorts files so that the copy is valid while they take their places, but between an image and its sidecar.

    First what says what is no part of BIDS; then what describes the data set, and its participants: a row may be there before
    its folder. A table of scans is last: it may not name what is not there.
    """
    folder, _, file = name.rpartition("/")
    first = [".bidsignore", DESCRIPTION]
    rank = first.index(file) if file in first else 2 if not folder else 4 if file.endswith("_scans.tsv") else 3
    stem, _, extension = file.partition(".")
    return rank, folder, stem, extension == "json", extension


def _understood(manifest: Mapping[str, Any]) -> tuple[dict[str, Wanted], dict[str, int]]:
    """Return the files, and the modes of folders, that the other machine says; raise StreamBroken for anything else."""
    try:
        said = {str(name): (str(content), int(size), int(mode)) for name, (content, size, mode) in manifest["files"].items()}
        folders = {str(name): int(mode) & 0o777 for name, mode in manifest["folders"].items()}
    except (KeyError, TypeError, ValueError, AttributeError):
        raise StreamBroken("expected the files of a data set, found something else") from None
    for name in said:
        if not is_confined(name) or not is_shown(name):
            raise StreamBroken(f"expected a file of a data set, found {name[:80]!r}")
    return {name: Wanted(content, size, mode & 0o777) for name, (content, size, mode) in said.items()}, folders


@contextmanager
def _writing(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise cannot_write(path, error) from None
