"""The outbox's database: transactions on SQLite, and what its errors mean in one line.

SQL is written once, in the words that SQLite and PostgreSQL share, with ``?`` for values. A transaction that was committed is
on the disk (WAL, ``synchronous=FULL``).
"""

from __future__ import annotations

import errno
import os
import sqlite3
import tempfile
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from typing import Any, Protocol, TypeAlias

from rtbids.errors import CannotWrite, ConnectionLost

Row: TypeAlias = tuple[Any, ...]
JOINING = "SELECT value FROM meta WHERE name = 'secret'"  # locked by who joins; shared by who relies on who is there
BUSY = 30.0  # seconds that another program may hold the database
READ = 1.0  # seconds that readers may hold up the emptying of its log
_WORDS = {"serial": "INTEGER PRIMARY KEY AUTOINCREMENT", "int": "INTEGER", "real": "REAL", "bytes": "BLOB", "turn": "SELECT 1"}


class NoSpace(CannotWrite):
    """The disk is full: there may be room later."""


class DatabaseLost(ConnectionLost):
    """The database's server does not answer, or broke a transaction off; trying again may help."""


class Transaction(Protocol):
    """Statements that happen together or not at all."""

    lock: str  # behind a SELECT: rows stay as they are until the transaction ends
    skip: str  # the same, and rows that others hold are left out
    share: str  # rows stay as they are, and others may hold them so too

    def rows(self, sql: str, values: Sequence[Any] = ()) -> list[Row]:
        """Execute a statement and return its rows."""
        ...

    def count(self, sql: str, values: Sequence[Any] = ()) -> int:
        """Execute a statement and return how many rows it changed."""
        ...

    def each(self, sql: str, values: Iterable[Sequence[Any]]) -> int:
        """Execute a statement for each of many values; return how many rows were changed."""
        ...


class Database(Protocol):
    """Where the states are."""

    words: dict[str, str]  # types of columns; and the statement by which who makes the tables takes turns

    def writing(self) -> AbstractContextManager[Transaction]:
        """Begin a transaction; it is committed at the end, or rolled back where an exception leaves it."""
        ...

    def reading(self) -> AbstractContextManager[Transaction]:
        """Begin a transaction that sees one moment and changes nothing."""
        ...

    def wipe(self) -> None:
        """Remove from the files what was removed from the tables, as far as the database does so when told."""
        ...

    def close(self) -> None:
        """Let go of all connections."""
        ...


class SqliteDatabase:
    """One file, which several processes of one machine may share. Each thread has a connection of its own."""

    words = _WORDS

    def __init__(self, path: Path) -> None:
        self.path = path
        self._own = threading.local()
        self._all: list[sqlite3.Connection] = []
        self._turn = threading.Lock()  # SQLite has one writer at a time; here they queue instead of sleeping and looking
        with told(path):
            self._touch()
            self._inode = os.stat(path).st_ino
            self._connection()

    @contextmanager
    def writing(self) -> Iterator[Transaction]:
        with self._turn, told(self.path):
            self._check_there()
            yield from self._within("BEGIN IMMEDIATE")

    @contextmanager
    def reading(self) -> Iterator[Transaction]:
        with told(self.path):
            self._check_there()
            yield from self._within("BEGIN")

    def wipe(self) -> None:
        """Write the file anew, for a page keeps what was moved within it, and empty the log, which keeps all until then.

        Raises
        ------
        CannotWrite
            Somebody reads it, for whom the log is kept.
        """
        with self._turn, told(self.path):
            self._check_there()
            connection = self._connection()
            connection.execute("VACUUM")
            connection.execute(f"PRAGMA busy_timeout={int(READ * 1000)}")  # all others who write wait meanwhile
            [[is_read, *_]] = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
            connection.execute(f"PRAGMA busy_timeout={int(BUSY * 1000)}")
        if is_read:
            raise CannotWrite(f"the outbox {self.path} is being read, and its log cannot be emptied")

    def close(self) -> None:
        with self._turn:
            for connection in self._all:
                connection.close()
            self._all.clear()
            self._own = threading.local()

    def _within(self, begin: str) -> Iterator[Transaction]:
        connection = self._connection()
        connection.execute(begin)
        try:
            yield _SqliteTransaction(connection)
            connection.execute("COMMIT")
        except BaseException:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise

    def _connection(self) -> sqlite3.Connection:
        connection: sqlite3.Connection | None = getattr(self._own, "connection", None)
        if connection is None:
            self._own.connection = connection = self._connected()
            self._all.append(connection)
        return connection

    def _touch(self) -> None:
        """Make the file where it is not there; one that is there is not opened, for closing it would end all locks on it."""
        with suppress(FileExistsError):
            os.close(os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))

    def _connected(self) -> sqlite3.Connection:
        connection = sqlite3.connect(self.path, timeout=BUSY, isolation_level=None, check_same_thread=False)
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=FULL")
        connection.execute("PRAGMA foreign_keys=ON")
        connection.execute("PRAGMA secure_delete=ON")  # names that are wiped are not left on a free page
        return connection

    def _check_there(self) -> None:
        """SQLite goes on in a file that was deleted, and all that it says is lost."""
        try:
            there = os.stat(self.path).st_ino == self._inode
        except FileNotFoundError:
            there = False
        if not there:
            raise _gone(self.path)


class _SqliteTransaction:
    lock = skip = share = ""  # the whole database is locked

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def rows(self, sql: str, values: Sequence[Any] = ()) -> list[Row]:
        return self._connection.execute(sql, values).fetchall()

    def count(self, sql: str, values: Sequence[Any] = ()) -> int:
        return self._connection.execute(sql, values).rowcount

    def each(self, sql: str, values: Iterable[Sequence[Any]]) -> int:
        return self._connection.executemany(sql, values).rowcount


@contextmanager
def told(path: Path) -> Iterator[None]:
    """Turn what SQLite or the system says of the database into one line that tells what to do."""
    try:
        yield
    except sqlite3.DatabaseError as error:
        raise _meaning(path, error) from error
    except OSError as error:
        raise CannotWrite(f"cannot open the outbox {path}: {error.strerror or error}") from error


def _meaning(path: Path, error: sqlite3.DatabaseError) -> Exception:
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    if code == sqlite3.SQLITE_FULL:
        return NoSpace(f"no space left for the outbox {path}", "free some space; nothing is lost")
    if code == sqlite3.SQLITE_IOERR and _takes_nothing(path.parent):  # as it calls a quota, and a log's index without room
        return NoSpace(f"no space left for the outbox {path}", "free some space, or have the quota raised; nothing is lost")
    if code == sqlite3.SQLITE_IOERR and not path.exists():
        return _gone(path)
    if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        return CannotWrite(f"the outbox {path} has been locked by another program for {BUSY:.0f} s", "end that program")
    if code == sqlite3.SQLITE_READONLY:
        return CannotWrite(f"the outbox {path} may not be written", "its folder must be writable for who runs this")
    if code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
        return CannotWrite(f"the outbox {path} is damaged ({error})", "set it aside, and start with a new one or a copy of it")
    if isinstance(error, sqlite3.IntegrityError | sqlite3.ProgrammingError | sqlite3.InterfaceError):
        return error
    return CannotWrite(f"cannot use the outbox {path}: {error}", "see whether its disk is there and whole")


def _gone(path: Path) -> CannotWrite:
    return CannotWrite(f"the outbox {path.parent} was removed or replaced while in use", "put it back, or start again")


def _takes_nothing(folder: Path) -> bool:
    """Whether there is no room in a folder, or none for this user."""
    try:
        with tempfile.TemporaryFile(dir=folder, buffering=0) as file:
            file.write(bytes(1 << 16))
            os.fsync(file.fileno())
    except OSError as error:
        return error.errno in (errno.ENOSPC, errno.EDQUOT)
    return False
