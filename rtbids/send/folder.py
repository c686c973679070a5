"""The folder of an outbox: what lies where, for its owner only."""

from __future__ import annotations

import errno
import os
import shutil
import stat
from dataclasses import dataclass
from pathlib import Path

from rtbids.errors import CannotWrite, InputMissing
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
            verb = "write into" if self.root.is_dir() else "make"
            raise CannotWrite(f"cannot {verb} the outbox {self.root}: {error.strerror or error}", self._who(error)) from error

    def is_there(self, database: bool) -> bool:
        """Say whether it was made, with its own `database` or without; raise InputMissing where that may not be known."""
        try:
            return stat.S_ISREG(self.database.stat().st_mode) if database else stat.S_ISDIR(self.clean.stat().st_mode)
        except (FileNotFoundError, NotADirectoryError):
            return False
        except PermissionError as error:
            raise self._unreadable(error) from error

    def is_writable(self) -> bool:
        """Say whether who runs this may write into it."""
        files = [self.database] if self.database.exists() else []
        return all(os.access(path, os.R_OK | os.W_OK) for path in (self.root, *files))

    def check_readable(self) -> None:
        """Raise InputMissing where who runs this may not read its database."""
        try:
            os.close(os.open(self.database, os.O_RDONLY | os.O_CLOEXEC))
        except OSError as error:
            raise self._unreadable(error) from error

    def _unreadable(self, error: OSError) -> InputMissing:
        return InputMissing(f"the outbox {self.root} may not be read: {error.strerror or error}", self._who(error))

    def _who(self, error: OSError) -> str | None:
        """Say who may, where it is another user."""
        try:
            owner = self.root.owner()
        except (OSError, KeyError):
            return None
        theirs = error.errno in (errno.EACCES, errno.EPERM) and os.geteuid() != self.root.stat().st_uid
        return f"it belongs to {owner}: sudo -u {owner} rtbids send ..." if theirs else None

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
