"""The processes that work on an outbox, and what becomes of the work of one that is gone.

A process beats; one of the same machine is known to be gone when its process is, one of another when it has not beaten for a
minute of our own clock, so that clocks need not agree.
"""

from __future__ import annotations

import logging
import os
import socket
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias

from rtbids.errors import UsageFault
from rtbids.send.database import JOINING, Database, Row, Transaction

logger = logging.getLogger("rtbids")
BEAT = 5.0  # seconds
_ENDED = ("Z", "X", "x")  # states of a process, as proc_pid_stat(5) calls them
_SURELY = -1  # no number of beats: who is known to have been at work
LEASE = 60.0  # seconds without a beat after which a process of another machine is taken to be gone
Watched: TypeAlias = dict[int, tuple[int, float, bool]]  # a process → its last beat, since when, and whether that was new


class OtherRules(UsageFault):
    """Another process makes what leaves this outbox by other rules; it may be gone where that is not ``certain``."""

    def __init__(self, certain: bool) -> None:
        super().__init__(
            "another rtbids send is at work on this outbox, with another key, recipe, options or version of de-identification",
            "stop it; or give each an outbox of its own: --outbox DIR",
        )
        self.certain = certain


def awake() -> float:
    """Return seconds of a clock that goes on while the machine sleeps, where it has one."""
    return time.clock_gettime(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))


@dataclass
class Owner:
    """This process in the database, and what it has seen of the others."""

    number: int
    host: str
    alone: bool  # whether no other process was at work when it came, as far as is known
    rules: str = ""  # by which it makes what leaves
    _seen: Watched = field(default_factory=dict)
    beaten: float = field(default_factory=awake)  # when it last said that it is there
    _there: dict[int, int] = field(default_factory=dict)  # who seemed to be at work when it came → their beats

    def is_gone(self, other: Row, now: float) -> bool:
        """Say whether another process is gone, `now` in seconds of any clock of ours."""
        number, host, pid, started, beats = other
        if host == self.host:
            return bool(_started(pid) != started)
        last, since, _ = self._seen.get(number, (beats, now, False))
        is_new = last != beats
        since = now if is_new else since
        self._seen[number] = (beats, since, is_new)
        return bool(now - since >= LEASE)

    @property
    def is_behind(self) -> bool:
        """Whether it has not beaten for so long that others may soon take over what it has claimed."""
        return awake() - self.beaten >= LEASE / 2

    def settle_alone(self, gone: Sequence[Row], left: int) -> None:
        """Know that it was alone when it came, where all who seemed to be at work were gone by then: none has beaten since."""
        for number, _, _, _, beats in gone:
            if self._there.get(number) == beats:
                del self._there[number]
        self.alone = self.alone or not (self._there or left)

    def has_beaten(self, other: Row) -> bool:
        """Say whether another process is surely at work: it is one of this machine, or has just beaten."""
        number, host, *_ = other
        return bool(host == self.host) or self._seen[number][2]


def enter(database: Database, now: float, rules: str = "", watched: Watched | None = None) -> Owner:
    """Write this process into the database; what processes that are gone had claimed is free again.

    `watched` keeps what was seen of the others from one call to the next.

    Raises
    ------
    OtherRules
        Another process is at work that makes what leaves by other rules.
    """
    owner = Owner(0, here(), True, rules, {} if watched is None else watched)
    with database.writing() as transaction:
        _join(transaction, owner, now)
    return owner


def _join(transaction: Transaction, owner: Owner, now: float) -> None:
    transaction.rows(JOINING + transaction.lock)
    rows = transaction.rows("SELECT id, host, pid, started, beats, rules FROM owner")
    there = [row for row in rows if not owner.is_gone(row[:5], now)]
    for number in {row[0] for row in rows} - {row[0] for row in there}:
        _free(transaction, number)
    if differing := [row for row in there if row[5] != owner.rules]:
        raise OtherRules(certain=any(owner.has_beaten(row[:5]) for row in differing))
    [[owner.number]] = transaction.rows(
        "INSERT INTO owner (host, pid, started, beats, rules) VALUES (?, ?, ?, 0, ?) RETURNING id",
        (owner.host, os.getpid(), _started(os.getpid()), owner.rules),
    )
    owner.alone = not there
    owner._there = {row[0]: row[4] if row[1] != owner.host else _SURELY for row in there}
    _free_orphans(transaction)


def beat(database: Database, owner: Owner, now: float, paused: str | None) -> int:
    """Say that this process is there; free what processes that are gone had claimed, and return how many they were.

    Who was silent for so long that it was taken to be gone itself comes back under another number: what it had claimed is lost
    to it.

    Raises
    ------
    OtherRules
        It was taken to be gone, and another process has come since that works by other rules.
    """
    begun = awake()
    with database.writing() as transaction:
        if not transaction.count("UPDATE owner SET beats = beats + 1, paused = ? WHERE id = ?", (paused, owner.number)):
            _join(transaction, owner, now)
            logger.warning("this rtbids send was silent for so long that others have taken over its work; it goes on")
        others = transaction.rows("SELECT id, host, pid, started, beats FROM owner WHERE id <> ?", (owner.number,))
        gone = [row for row in others if owner.is_gone(row, now)]
        for number, *_ in gone:
            _free(transaction, number)
        _free_orphans(transaction)
    owner.beaten = begun
    owner.settle_alone(gone, len(others) - len(gone))
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


def _free_orphans(transaction: Transaction) -> None:
    """Free what is claimed by a number that is no process's any more."""
    for table in ("image", "delivery"):
        transaction.count(f"UPDATE {table} SET owner = NULL WHERE owner IS NOT NULL AND owner NOT IN (SELECT id FROM owner)")


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
    """Return when a process began, in ticks since the machine did; 0 where it is not there, 1 where that is not to be known.

    One that has ended, and that its parent has not asked for, is not there.
    """
    try:
        words = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
        return 0.0 if words[0] in _ENDED else float(words[19])
    except OSError:
        pass
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return 0.0
    except PermissionError:
        return 1.0
    return 1.0
