"""The thread that writes: whatever connection there is, what is due on it."""

from __future__ import annotations

import time

from rtbids.errors import ConnectionLost
from rtbids.stream import wire
from rtbids.stream.link import protocol
from rtbids.stream.link.connection import Connection
from rtbids.stream.link.outgoing import Turn
from rtbids.stream.link.shared import Shared
from rtbids.stream.link.spool import Entry

_HEAR_OUT = 0.5  # seconds


def speak(shared: Shared) -> None:
    """Write until the link is over."""
    try:
        while (due := _next(shared)) is not None:
            _write(*due, shared)
    except BaseException as error:  # the application is told in its own thread
        shared.end(error)
        shared.cut(protocol.one_line(error))


def _write(connection: Connection, turn: Turn, shared: Shared) -> None:
    try:
        connection.write(_pieces(turn, shared))
        _note(turn, connection, shared)
    except ConnectionLost as error:
        _hear_out(shared, connection, error)


def _hear_out(shared: Shared, connection: Connection, error: ConnectionLost) -> None:
    """Let a connection that takes nothing more be read to its end, where the other side may have said why, then cut it."""
    with shared.changed:
        connection.problem = connection.problem or error
        shared.changed.wait_for(lambda: shared.connection is not connection or shared.is_over, _HEAR_OUT)
    connection.cut(error)
    with shared.changed:
        shared.changed.notify_all()


def _next(shared: Shared) -> tuple[Connection, Turn] | None:
    """Wait until something is due; None when the link is over."""
    with shared.changed:
        while not shared.is_over:
            connection, now = shared.connection, time.monotonic()
            if connection is None or connection.problem is not None:
                shared.due.wait()
            elif turn := shared.outgoing.turn(now, shared.clock.now()):
                return connection, turn
            else:
                shared.due.wait(None if shared.outgoing.is_over else shared.outgoing.wait(now))
    return None


def _note(turn: Turn, connection: Connection, shared: Shared) -> None:
    if turn.said or turn.is_last:
        with shared.changed:
            shared.outgoing.written()
            connection.has_left = turn.is_last
            shared.changed.notify_all()


def _pieces(turn: Turn, shared: Shared) -> list[memoryview]:
    pieces = [piece for name, content in turn.said for piece in protocol.framed(name, content)]
    if turn.entry is not None:
        pieces += _member(turn.entry, shared)
    if turn.is_last:
        pieces.append(memoryview(wire.END))
    return pieces


def _member(entry: Entry, shared: Shared) -> list[memoryview]:
    if entry.dropped:
        return protocol.framed(protocol.DROPPED, protocol.dumps({"count": entry.dropped}))
    name, parts = shared.packer.pack(entry.name, shared.spool.content(entry), entry.size)
    return wire.framed(name, parts, entry.modified)
