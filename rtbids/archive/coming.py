"""Files on their way to a copy of a data set: each waits in a hidden folder, whole and on the disk, until all are there."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO


@dataclass(frozen=True)
class Wanted:
    """A file as it is to be."""

    sha256: str
    size: int
    mode: int


class Coming:
    """The files that come into `folder`, one after the other; what a lost connection left there is not sent again."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._wanted: Mapping[str, Wanted] = {}
        self._name = ""
        self._file: BinaryIO | None = None

    def expect(self, wanted: Mapping[str, Wanted]) -> list[str]:
        """Wait for these files; return the names of those that are to be sent. What is not wanted any more is removed."""
        self._drop()
        self._wanted = wanted
        for path in set(self._folder.iterdir()) - {self.path(name) for name in wanted}:
            path.unlink()
        return [name for name in wanted if not self.path(name).exists()]

    def path(self, name: str) -> Path:
        """Return where a file waits that has come whole."""
        of = f"{self._wanted[name].sha256} {name}"
        return self._folder / hashlib.sha256(of.encode("utf-8", "surrogateescape")).hexdigest()

    def take(self, name: str, piece: memoryview) -> None:
        """Add to a file, whose pieces come in order; what is not waited for is passed over."""
        if name not in self._wanted:
            return
        if self._file is None or self._name != name:
            self._drop()
            self._name, self._file, self._digest = name, self._unfinished.open("wb"), hashlib.sha256()
        self._file.write(piece)
        self._digest.update(piece)
        if self._file.tell() >= self._wanted[name].size:
            self._keep(self._file)

    def _keep(self, file: BinaryIO) -> None:
        """Keep a whole file; one that was changed while it was read is left to the next copy."""
        file.flush()
        os.fsync(file.fileno())
        if self._digest.hexdigest() == self._wanted[self._name].sha256:
            self._unfinished.replace(self.path(self._name))
        self._drop()

    def _drop(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None

    @property
    def _unfinished(self) -> Path:
        return self._folder / "unfinished"
