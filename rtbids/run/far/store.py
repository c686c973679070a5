"""Files of experiments of another machine: kept by their content, and laid out anew for each start of a script."""

from __future__ import annotations

import hashlib
import os
import shutil
import time
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from rtbids import private
from rtbids.errors import CannotWrite, StreamBroken
from rtbids.run.far.manifest import Entry

UNUSED = 60 * 24 * 3600.0  # seconds after which a content that nobody asked for is forgotten
_AT_ONCE = 1 << 20  # bytes


def cache() -> Path:
    """Return the folder of this user's that contents are kept in."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "rtbids" / "experiments"


class NotAsNamed(StreamBroken):
    """A content is not what its hash says: its file was changed while it was copied."""


class Store:
    """Contents by their hash, for the owner alone."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        try:
            private.make_folder(folder)
        except OSError as error:
            raise CannotWrite(f"{folder}: {error.strerror}") from None
        self._forget_old()

    def lacking(self, files: Iterable[Entry]) -> list[Entry]:
        """Return those whose contents are not here, each content once."""
        return [file for file in {file.sha256: file for file in files}.values() if not self._has(file)]

    def begin(self, file: Entry, owner: int) -> Content:
        """Begin to take a content; several may take the same one."""
        return Content(self._folder, file.sha256, owner)

    def lay_out(self, files: Iterable[Entry], folder: Path) -> None:
        """Make `folder` what a manifest says, and nothing else."""
        try:
            shutil.rmtree(folder, ignore_errors=True)
            for file in files:
                path = folder / file.name
                path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
                shutil.copyfile(self._folder / file.sha256, path)
                path.chmod(0o700 if file.is_executable else 0o600)
        except OSError as error:
            raise _cannot_write(folder, error) from None

    def _has(self, file: Entry) -> bool:
        """Say whether a content is here and whole; it counts as used today."""
        path = self._folder / file.sha256
        try:
            is_whole = path.stat().st_size == file.size and digest(path, file.size) == file.sha256
            os.utime(path)
        except OSError:
            return False
        return is_whole

    def _forget_old(self) -> None:
        for path in self._folder.iterdir():
            with suppress(OSError):
                if time.time() - path.stat().st_mtime > UNUSED:
                    path.unlink()


class Content:
    """A content that comes piece by piece, in a file of its own until it is whole."""

    def __init__(self, folder: Path, sha256: str, owner: int) -> None:
        self._folder, self._sha256 = folder, sha256
        self._path = folder / f"{sha256}.{os.getpid()}.{owner}"
        self._digest = hashlib.sha256()
        try:
            descriptor = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise _cannot_write(folder, error) from None
        self._file = os.fdopen(descriptor, "wb", buffering=0)

    def add(self, piece: memoryview) -> None:
        self._digest.update(piece)
        try:
            while piece:
                piece = piece[self._file.write(piece) :]
        except OSError as error:
            raise _cannot_write(self._folder, error) from None

    def finish(self) -> None:
        """Take it into the store; raise NotAsNamed where it is something else."""
        self._file.close()
        if self._digest.hexdigest() != self._sha256:
            raise NotAsNamed(f"a file is not what was announced ({self._sha256})")
        try:
            self._path.replace(self._folder / self._sha256)
        except OSError as error:
            raise _cannot_write(self._folder, error) from None

    def drop(self) -> None:
        """Forget it, where it is not in the store."""
        self._file.close()
        with suppress(OSError):
            self._path.unlink()


def digest(path: Path, size: int) -> str:
    """Return the hash of a file's first `size` bytes."""
    found = hashlib.sha256()
    with path.open("rb", buffering=0) as file:
        while size and (piece := file.read(min(size, _AT_ONCE))):
            found.update(piece)
            size -= len(piece)
    return found.hexdigest()


def _cannot_write(folder: Path, error: OSError) -> CannotWrite:
    return CannotWrite(f"the machine of the scripts: {folder}: {error.strerror or error}", "make room there")
