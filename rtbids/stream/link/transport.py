"""One connection as two files, and the reading and writing on it that time-outs and cuts do not confuse."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from typing import BinaryIO, Protocol

from rtbids.stream.link.protocol import lost

_JOINED = 64 << 10  # bytes; shorter pieces go out as one where there is no writev
_MOST_PIECES = 64  # of one writev; the system's bound is 1024


class Transport(Protocol):
    """One connection.

    ``reader.readinto(view)`` returns 0 at end of file and raises TimeoutError where nothing came for about a second.
    ``writer.write(view)`` may write less than it was given; where it raises TimeoutError it has written nothing. Any other
    OSError is the end of the connection. `close` may be called from any thread and more than once: who waits in another ends.
    """

    @property
    def reader(self) -> BinaryIO: ...

    @property
    def writer(self) -> BinaryIO: ...

    def close(self) -> None: ...


Connect = Callable[[], Transport]


class Incoming(io.RawIOBase):
    """The bytes of a connection for `wire.members`; its end and its errors are ConnectionLost.

    `came` is told how many bytes have come, `demand_life` is called at every time-out and may raise.
    """

    def __init__(self, transport: Transport, where: str, came: Callable[[int], None], demand_life: Callable[[], None]) -> None:
        self._file = transport.reader
        self._where = where
        self._came = came
        self._demand_life = demand_life

    def readinto(self, view: memoryview) -> int:  # type: ignore[override]
        while True:
            try:
                count: int = self._file.readinto(view)  # type: ignore[attr-defined]
            except TimeoutError:
                self._demand_life()
                continue
            except (OSError, ValueError) as error:  # ValueError: a file that was closed
                raise lost(self._where, f"connection lost ({_why(error)})") from None
            if not count:
                raise lost(self._where, "the connection was closed")
            self._came(count)
            return count

    def read(self, size: int = -1) -> bytes:
        """Say that nothing follows the end mark: what does is not waited for."""
        return b""


def write_all(transport: Transport, pieces: Sequence[memoryview], where: str, may_go_on: Callable[[], bool]) -> int:
    """Write `pieces` one after another; return the count of bytes. ConnectionLost where that fails.

    A far side that does not take anything is waited for as long as `may_go_on`: its application may be slow.
    """
    pending = [piece for piece in pieces if len(piece)]
    total = sum(len(piece) for piece in pending)
    vector: Callable[[Sequence[memoryview]], int] | None = getattr(transport.writer, "writev", None)
    if vector is None:
        pending = _joined(pending)
    while pending:
        try:
            written = vector(pending[:_MOST_PIECES]) if vector else transport.writer.write(pending[0])
        except TimeoutError:
            if not may_go_on():
                raise lost(where, "takes nothing more") from None
            continue
        except (OSError, ValueError) as error:
            raise lost(where, f"connection lost ({_why(error)})") from None
        _advance(pending, written)
    return total


def _advance(pending: list[memoryview], written: int) -> None:
    while pending and written >= len(pending[0]):
        written -= len(pending.pop(0))
    if pending and written:
        pending[0] = pending[0][written:]


def _joined(pieces: Sequence[memoryview]) -> list[memoryview]:
    """Join short pieces with their neighbours: each costs a packet of its own where there is no writev."""
    joined: list[memoryview] = []
    short: list[memoryview] = []
    for piece in [*pieces, None]:
        if piece is not None and len(piece) <= _JOINED:
            short.append(piece)
            continue
        if short:
            joined.append(memoryview(b"".join(short)))
        short = []
        if piece is not None:
            joined.append(piece)
    return joined


def _why(error: BaseException) -> str:
    return getattr(error, "strerror", None) or str(error) or type(error).__name__
