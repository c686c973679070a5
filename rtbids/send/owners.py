"""The processes that work on an outbox, and what becomes of the work of one that is gone.

A process beats; one of the same machine is known to be gone when its process is, one of another when it has not beaten for a
minute of our own clock, so that clocks need not agree.
"""

from __future__ import annotations

import logging
import os
import socket
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from rtbids.send.database import Database, Row, Transaction

logger = logging.getLogger("rtbids")
BEAT = 5.0  # seconds
LEASE = 60.0  # seconds without a beat after which a process of another machine is taken to be gone


@dataclass
class Owner:
    """This process in the database, and what it has seen of the others."""

    number: int
    host: str
    alone: bool  # whether no other process was at work when it came
    _seen: dict[int, tuple[int, float]] = field(default_factory=dict)  # other → its last new beat, and when

    def is_gone(self, other: Row, now: float) -> bool:
        """Say whether another process is gone, `now` in seconds of any clock of ours."""
        number, host, pid, started, beats = other
        if host == self.host:
            return bool(_started(pid) != started)
        last, since = self._seen.get(number, (None, now))
        if last != beats:
            since = now
        self._seen[number] = (beats, since)
        return bool(now - since >= LEASE)


def enter(database: Database, now: float) -> Owner:
    """Write this process into the database."""
    host, pid = here(), os.getpid()
    started = _started(pid)
    with database.writing() as transaction:
        others = transaction.rows("SELECT host, pid, started FROM owner")
        [[number]] = transaction.rows(
            "INSERT INTO owner (host, pid, started, beats) VALUES (?, ?, ?, 0) RETURNING id", (host, pid, started)
        )
    alone = all(other == host and _started(which) != since for other, which, since in others)
    return Owner(int(number), host, alone)


def beat(database: Database, owner: Owner, now: float, paused: str | None) -> int:
    """Say that this process is there; free what processes that are gone had claimed, and return how many they were."""
    with database.writing() as transaction:
        transaction.count("UPDATE owner SET beats = beats + 1, paused = ? WHERE id = ?", (paused, owner.number))
        others = transaction.rows("SELECT id, host, pid, started, beats FROM owner WHERE id <> ?", (owner.number,))
        gone = [row[0] for row in others if owner.is_gone(row, now)]
        for number in gone:
            _free(transaction, number)
    for _ in gone:
        logger.warning("another rtbids send ended in the midst of its work; it is taken over")
    return len(gone)


def leave(database: Database, owner: Owner) -> None:
    """Give back what this process had claimed."""
    with database.writing() as transaction:
        _free(transaction, owner.number)


def working(transaction: Transaction) -> list[str | None]:
    """Return, for each process at work, why it waits, where it does; those of this machine that are gone are left out."""
    rows = transaction.rows("SELECT host, pid, started, paused FROM owner ORDER BY id")
    return [paused for host, pid, started, paused in rows if host != here() or _started(pid) == started]


def _free(transaction: Transaction, number: int) -> None:
    transaction.count("UPDATE image SET owner = NULL WHERE owner = ?", (number,))
    transaction.count("UPDATE delivery SET owner = NULL WHERE owner = ?", (number,))
    transaction.count("DELETE FROM owner WHERE id = ?", (number,))


def here() -> str:
    """Return a name of this machine, as it was started, and of its process numbers (a container has its own)."""
    words = [socket.gethostname()]
    with suppress(OSError):
        words.append(Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip())
    with suppress(OSError):
        words.append(os.readlink("/proc/self/ns/pid"))
    return " ".join(words)


def _started(pid: int) -> float:
    """Return when a process began, in ticks since the machine did; 0 where it is not there, 1 where that is not to be known."""
    try:
        return float(Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()[19])
    except OSError:
        pass
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return 0.0
    except PermissionError:
        return 1.0
    return 1.0
