"""The folder of an outbox: what lies where, for its owner only."""

from __future__ import annotations

import errno
import os
import shutil
from dataclasses import dataclass
from pathlib import Path

from rtbids.errors import CannotWrite
from rtbids.send.database import NoSpace

DATABASE = "outbox.sqlite"


@dataclass(frozen=True)
class Folder:
    """``incoming`` holds what streams and associations bring, ``clean`` what is ready to leave, ``quarantine`` what cannot."""

    root: Path

    @property
    def database(self) -> Path:
        return self.root / DATABASE

    @property
    def incoming(self) -> Path:
        return self.root / "incoming"

    @property
    def clean(self) -> Path:
        return self.root / "clean"

    @property
    def quarantine(self) -> Path:
        return self.root / "quarantine"

    def make(self) -> None:
        """Make the folders that are not there; nobody but their owner may look into them."""
        try:
            for folder in (self.root, self.incoming, self.clean, self.quarantine):
                folder.mkdir(parents=True, exist_ok=True, mode=0o700)
                folder.chmod(0o700)
        except OSError as error:
            raise CannotWrite(f"cannot make the outbox {self.root}: {error.strerror or error}") from error

    def free(self) -> int:
        """Return the bytes that are free on its disk."""
        return shutil.disk_usage(self.root).free


@dataclass(frozen=True)
class Unfinished:
    """A file that is written, and neither on the disk for sure nor under its name."""

    path: Path  # its name to be
    unfinished: Path
    descriptor: int

    def finish(self) -> None:
        """Wait until it is on the disk, and give it its name."""
        try:
            try:
                os.fsync(self.descriptor)
            finally:
                os.close(self.descriptor)
            os.replace(self.unfinished, self.path)
        except OSError as error:
            self.unfinished.unlink(missing_ok=True)
            raise full(self.path.parent, error) from error

    def give_up(self) -> None:
        """Remove it."""
        os.close(self.descriptor)
        self.unfinished.unlink(missing_ok=True)


def begin(path: Path, content: bytes, part: str) -> Unfinished:
    """Write a file that is to be finished; `part` ends its name until then."""
    unfinished = path.with_name(f"{path.name}.{part}.part")
    try:
        descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise full(path.parent, error) from error
    try:
        _write(descriptor, content)
    except OSError as error:
        os.close(descriptor)
        unfinished.unlink(missing_ok=True)
        raise full(path.parent, error) from error
    return Unfinished(path, unfinished, descriptor)


def put(path: Path, content: bytes, part: str) -> None:
    """Write a file so that it is there whole and on the disk, or not at all."""
    begin(path, content, part).finish()


def _write(descriptor: int, content: bytes) -> None:
    left = memoryview(content)
    while left:
        left = left[os.write(descriptor, left) :]


def sync(folder: Path) -> None:
    """Put the names in a folder on the disk."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def full(place: Path, error: OSError) -> CannotWrite:
    """Say why a file could not be written, without its name."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return NoSpace(f"no space left in {place}", "free some space; nothing is lost")
    return CannotWrite(f"cannot write into {place}: {error.strerror or error}")
