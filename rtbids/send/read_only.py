"""The database of an outbox that may be read and not written: on a read-only disk, or of another user."""

from __future__ import annotations

import shutil
import sqlite3
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import NoReturn

from rtbids.errors import CannotWrite
from rtbids.send.database import SqliteDatabase

_TRIES = 5  # at a copy that nobody changes meanwhile
_Looks = list[tuple[int, int]]


class ReadOnlyDatabase(SqliteDatabase):
    """As it is now. Nothing is made beside it; what its log holds is read too, if need be from a copy of both."""

    def __init__(self, path: Path) -> None:
        self._copies = ExitStack()
        super().__init__(path)

    def writing(self) -> NoReturn:
        raise CannotWrite(f"the outbox {self.path} may not be written", "its folder must be writable for who runs this")

    def close(self) -> None:
        super().close()
        self._copies.close()

    def _touch(self) -> None:
        """It is there, or it is not."""

    def _connected(self) -> sqlite3.Connection:
        try:
            return _asked(self.path, "mode=ro")
        except sqlite3.OperationalError:  # its log needs a file beside it that cannot be made
            log = _log(self.path)
            if not log.exists() or not log.stat().st_size:
                return _asked(self.path, "mode=ro&immutable=1")
            return _asked(self._copied(), "mode=rw")

    def _copied(self) -> Path:
        """Return a copy, its owner's only, for as long as this is open."""
        folder = Path(self._copies.enter_context(tempfile.TemporaryDirectory(prefix="rtbids-outbox-")))
        for _ in range(_TRIES):
            before = _looks(self.path)
            for file in (self.path, _log(self.path)):
                shutil.copyfile(file, folder / file.name)
            if _looks(self.path) == before:
                return folder / self.path.name
        raise CannotWrite(f"the outbox {self.path} is being written, and may only be read", "ask on the machine that writes it")


def _log(path: Path) -> Path:
    return path.with_name(f"{path.name}-wal")


def _looks(path: Path) -> _Looks:
    return [(status.st_size, status.st_mtime_ns) for status in (file.stat() for file in (path, _log(path)))]


def _asked(path: Path, how: str) -> sqlite3.Connection:
    """Connect, and ask something: SQLite says only then whether it can."""
    connection = sqlite3.connect(f"{path.absolute().as_uri()}?{how}", uri=True, isolation_level=None, check_same_thread=False)
    try:
        connection.execute("SELECT count(*) FROM sqlite_master").fetchall()
    except sqlite3.OperationalError:
        connection.close()
        raise
    return connection
