"""A socket whose datagrams come in bursts: it has room for many, and what the system drops all the same is counted."""

from __future__ import annotations

import socket
import struct

ROOM = 4 << 20  # bytes that may wait with the system, which gives as much as its administrator allows
AT_ONCE = 100  # datagrams that are read before the first of them is looked at
LARGEST = 1 << 16  # bytes
_SO_MEMINFO = 55  # Linux 4.12 and later (asm-generic/socket.h): nine counters of 32 bits ...
_DROPS = 8  # ... of which this is what was dropped (linux/sock_diag.h)


class Bursts:
    """Datagrams as they come to a bound socket, which it closes in the end."""

    def __init__(self, bound: socket.socket) -> None:
        self._bound = bound
        self._dropped = 0
        bound.setblocking(False)
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, ROOM)

    def fileno(self) -> int:
        return self._bound.fileno()

    def read(self) -> list[tuple[bytes, object]]:
        """Return those that have come, each with its sender, AT_ONCE at the most."""
        taken: list[tuple[bytes, object]] = []
        try:
            while len(taken) < AT_ONCE:
                taken.append(self._bound.recvfrom(LARGEST))
        except BlockingIOError:  # no more of them, or a damaged one, which is thrown away
            pass
        return taken

    def lost(self) -> int:
        """Return how many were dropped since it was last asked; 0 where the system does not say."""
        try:
            counters = self._bound.getsockopt(socket.SOL_SOCKET, _SO_MEMINFO, 4 * (_DROPS + 1))
            dropped: int = struct.unpack_from("=I", counters, 4 * _DROPS)[0]
        except (OSError, struct.error):  # another system, or an older one
            return 0
        before, self._dropped = self._dropped, dropped
        return (dropped - before) % (1 << 32)

    def close(self) -> None:
        self._bound.close()
