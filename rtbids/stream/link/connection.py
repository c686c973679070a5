"""One connection of a link, from its hello to its end."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import suppress

from rtbids.errors import ConnectionLost, RtbidsError, StreamBroken
from rtbids.stream import wire
from rtbids.stream.link import protocol
from rtbids.stream.link.probe import SIZE, Probe
from rtbids.stream.link.protocol import Hello, OutOfStep
from rtbids.stream.link.terms import FAR, Terms
from rtbids.stream.link.transport import Incoming, Transport, write_all


class Connection:
    """A transport in use. One thread reads, one writes, and any may cut it."""

    def __init__(self, transport: Transport, where: str, terms: Terms) -> None:
        self.where = where
        self.problem: RtbidsError | None = None
        self.probe = Probe(time.monotonic, terms.probes)
        self.number: int | None = None  # of the member that comes next
        self.bytes_in = self.bytes_out = 0
        self.has_left = False  # our end mark is on the wire
        self.begun = self._heard = time.monotonic()
        self._silence = terms.patience  # until the hello is answered
        self._transport = transport
        self._terms = terms

    def members(self) -> Iterator[wire.Member]:
        """Give what comes; raise ConnectionLost at a cut, StreamBroken for garbage, and end at the end mark."""
        incoming = Incoming(self._transport, self.where, self._came, self._demand_life)
        yield from wire.members(incoming, self.where, largest=self._largest)  # type: ignore[arg-type]

    def write(self, pieces: Sequence[memoryview]) -> None:
        """Write, however long that takes while anything comes from the other side; ConnectionLost at a cut."""
        self.bytes_out += write_all(self._transport, pieces, self.where, self._is_alive)

    def say(self, name: str, content: bytes) -> None:
        self.write(protocol.framed(name, content))

    def cut(self, why: RtbidsError) -> None:
        """End it from any thread: who waits in it leaves."""
        self.problem = self.problem or why
        self._transport.close()

    def idle(self) -> float:
        """Return for how many seconds nothing has come."""
        return time.monotonic() - self._heard

    def is_met(self) -> None:
        """Expect heartbeats from now on."""
        self._silence = self._terms.silence

    def begin(self, number: int, taken: int) -> None:
        """Take the number of the member that comes next; `taken` are here already."""
        if number > taken:
            raise OutOfStep(f"{self.where} goes on from member {number}, but the last that came is {taken - 1}: some are lost")
        self.number = number

    def demand_next(self, number: int) -> None:
        """Compare with what the other side says is the number of the member that comes next."""
        if number != self.number:
            raise OutOfStep(f"{self.where} sends member {number} next, but here number {self.number} is due")

    def _came(self, count: int) -> None:
        self._heard = time.monotonic()
        self.bytes_in += count

    def _is_alive(self) -> bool:
        return self.problem is None and self.idle() < self._silence

    def _demand_life(self) -> None:
        if self.idle() >= self._silence:
            raise ConnectionLost(f"{self.where}: nothing came for {self._silence:g} s")

    def _largest(self, name: str) -> int:
        return max(protocol.LARGEST_CONTROL, SIZE) if name.startswith(protocol.OWN) else self._terms.largest


def hear(transport: Transport, where: str = "the near side") -> Hello:
    """Read the hello that a connection begins with, and not one byte more; what cannot be is refused, and raised."""
    connection = Connection(transport, where, FAR)
    try:
        first = next(connection.members(), None)
        if first is None or first.name != protocol.HELLO:
            raise StreamBroken(f"{where}: expected {protocol.HELLO}, found {first.name[:80] if first else 'the end mark'!r}")
        return Hello.read(first.content, where)
    except ConnectionLost:
        raise
    except RtbidsError as error:
        refuse(transport, error)
        raise


def refuse(transport: Transport, error: RtbidsError) -> None:
    """Tell the dialling side of an error in place of an answer, and end the connection."""
    connection = Connection(transport, "the near side", FAR)
    with suppress(ConnectionLost):  # who does not hear it dials again, and is told then
        connection.write([*protocol.framed(protocol.REFUSED, protocol.refused(error)), memoryview(wire.END)])
    transport.close()
