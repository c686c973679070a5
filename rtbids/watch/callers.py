"""Who is connected, and who of them has to go: a connection without an association takes nobody's place for long."""

from __future__ import annotations

import socket
import threading
from collections import Counter
from dataclasses import dataclass

ARTIM = 5.0  # seconds within which an association has to be asked for (PS3.8, 9.1.5, leaves the number to us)
MOST = 25  # associations at a time, and half of the connections: a scanner needs one to four, and each costs a little
MOST_OF_ONE = 20  # of them from one address, so that there is room for others


@dataclass(frozen=True)
class _Caller:
    """One connection, and since when it has had no association (None: it has one)."""

    connection: socket.socket
    host: str
    idle_since: float | None


class Callers:
    """The open connections of a server; its thread and those of the associations may tell at the same time."""

    def __init__(self) -> None:
        self._callers: dict[socket.socket, _Caller] = {}
        self._lock = threading.Lock()

    def arrive(self, connection: socket.socket, host: str, now: float) -> socket.socket | None:
        """Add a connection; return the one that has to make room for it, if it takes that.

        It is the oldest without an association, of the address that has the most of these.
        """
        with self._lock:
            self._forget_closed()
            leaving = self._in_the_way() if len(self._callers) >= 2 * MOST else None
            self._callers[connection] = _Caller(connection, host, now)
            return leaving

    def associate(self, connection: socket.socket) -> str:
        """Let a connection have an association; return why it may not, nothing where it may."""
        with self._lock:
            self._forget_closed()
            if (caller := self._callers.get(connection)) is None:
                return "it has been hung up on"
            served = [other.host for other in self._callers.values() if other.idle_since is None]
            if len(served) >= MOST:
                return f"{MOST} are open already"
            if served.count(caller.host) >= MOST_OF_ONE:
                return f"{MOST_OF_ONE} from its address are open already"
            self._callers[connection] = _Caller(connection, caller.host, None)
            return ""

    def end(self, connection: socket.socket | None, now: float) -> None:
        """Hear of an association that has ended; its connection may stay for a moment."""
        with self._lock:
            if connection is not None and (caller := self._callers.get(connection)) is not None:
                self._callers[connection] = _Caller(connection, caller.host, now)

    def overdue(self, now: float) -> list[socket.socket]:
        """Remove and return the connections that have been without an association for too long."""
        with self._lock:
            self._forget_closed()
            idle = [caller for caller in self._callers.values() if caller.idle_since is not None]
            late = [caller.connection for caller in idle if now - (caller.idle_since or 0) >= ARTIM]
            for connection in late:
                del self._callers[connection]
            return late

    def _in_the_way(self) -> socket.socket | None:
        idle = [caller for caller in self._callers.values() if caller.idle_since is not None]
        of_host = Counter(caller.host for caller in idle)
        oldest = min(idle, key=lambda caller: (-of_host[caller.host], caller.idle_since), default=None)
        return self._callers.pop(oldest.connection).connection if oldest else None

    def _forget_closed(self) -> None:
        self._callers = {connection: caller for connection, caller in self._callers.items() if connection.fileno() >= 0}
