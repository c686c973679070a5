"""Both ends of a link in one process, and transports between them that are cut, frozen or slowed as a test says."""

from __future__ import annotations

import io
import os
import socket
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any, BinaryIO, cast

from rtbids.errors import ConnectionLost, RtbidsError
from rtbids.stream.link import Descriptors, FarLink, Hello, Link, Spool, Terms, Transport, dial, hear, serve

PATIENCE = 20.0  # seconds after which something that should have come is taken not to
Shape = Callable[[Descriptors, Descriptors], tuple[Transport, Transport]]
AT_ONCE = Terms(probes=0, delay=lambda failures: 0.001)


class Limited:
    """A transport that breaks when `most` bytes have gone out through it, in the middle of whatever is being written."""

    def __init__(self, inner: Descriptors, most: int) -> None:
        self.reader = inner.reader
        self.writer = cast(BinaryIO, _LimitedWriting(inner, most))
        self.close = inner.close


class _LimitedWriting(io.RawIOBase):
    def __init__(self, inner: Descriptors, most: int) -> None:
        self._inner = inner
        self._left = most

    def write(self, view: memoryview) -> int:  # type: ignore[override]
        if not self._left:
            self._inner.close()
            raise ConnectionResetError("cut by the test")
        written = self._inner.writev([view[: self._left]])
        self._left -= written
        return written


def pair() -> tuple[Descriptors, Descriptors]:
    """Return both ends of a connection."""
    near, far = (end.detach() for end in socket.socketpair())
    return Descriptors(near, near), Descriptors(far, far)


class Keeper:
    """The far side: one link a session, which every connection of that session is attached to.

    A subclass may `serve` each session, in a thread of its own.
    """

    serve: Callable[[FarLink, Hello], None] | None = None

    def __init__(self, spool: Callable[[], Spool] = Spool, terms: Terms = AT_ONCE, **options: Any) -> None:
        self._spool = spool
        self._options = {"terms": terms, **options}
        self._there = threading.Condition()
        self._links: dict[str, FarLink] = {}
        self._lost: list[FarLink] = []
        self.hellos: list[Hello] = []

    def take(self, transport: Transport) -> None:
        """Hear a hello and attach the connection, as the relay of a connection does."""
        with suppress(RtbidsError):
            hello = hear(transport)
            with self._there:
                self.hellos.append(hello)
                if hello.session not in self._links:
                    self._links[hello.session] = serve(hello, spool=self._spool(), **self._options)
                    self._there.notify_all()
                    if self.serve is not None:
                        threading.Thread(target=self.serve, args=(self._links[hello.session], hello), daemon=True).start()
                self._links[hello.session].attach(transport, hello)

    def link(self) -> FarLink:
        """Return the link of the newest session, waiting for it."""
        with self._there:
            assert self._there.wait_for(lambda: self._links, PATIENCE)
            return list(self._links.values())[-1]

    def lose(self) -> None:
        """Forget every session, as where the keeper was killed: what it had is gone, and nobody is told."""
        with self._there:
            self._lost += self._links.values()
            self._links = {}

    def close(self) -> None:
        for link in [*self._lost, *self._links.values()]:
            link.close()


class Road:
    """What the near side connects through. `shape` makes something else of the two ends of the next connections."""

    def __init__(self, keeper: Keeper) -> None:
        self.keeper = keeper
        self.shape: Shape = lambda near, far: (near, far)
        self.ends: list[Descriptors] = []
        self.is_blocked = threading.Event()

    def connect(self) -> Transport:
        if self.is_blocked.is_set():
            raise ConnectionLost("the road is blocked")
        near, far = pair()
        self.ends = [near, far]
        shaped_near, shaped_far = self.shape(near, far)
        threading.Thread(target=self.keeper.take, args=(shaped_far,), daemon=True).start()
        return shaped_near

    def cut(self) -> None:
        for end in self.ends:
            end.close()


@contextmanager
def ends(
    near_spool: Spool | None = None,
    terms: Terms = AT_ONCE,
    keeper: Keeper | None = None,
    shape: Shape | None = None,
    **options: Any,
) -> Iterator[tuple[Link, Road]]:
    """Give the near end of a link, and the road to its far end."""
    road = Road(keeper or Keeper())
    road.shape = shape or road.shape
    link = dial(road.connect, "test", spool=near_spool, terms=terms, **options)
    try:
        yield link, road
    finally:
        link.close()
        road.keeper.close()


def echo(link: FarLink) -> threading.Thread:
    """Answer every member with itself, from a thread; finish when the other side has."""

    def run() -> None:
        with suppress(RtbidsError):
            for arrived in link.members():
                link.send(arrived.member.name, arrived.member.content)
                link.settle(arrived.number)
            link.finish(PATIENCE)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    return thread


def take(link: Link, count: int) -> list[tuple[int, str, bytes]]:
    """Return the next `count` members, each made safe as it comes."""
    found = []
    members = link.members()
    while len(found) < count:
        arrived = next(members)
        link.settle(arrived.number)
        found.append((arrived.number, arrived.member.name, bytes(arrived.member.content)))
    return found


def wait_for(link: Link, holds: Callable[[], bool]) -> None:
    """Wait until something holds that changes with the link."""
    changed = link._shared.changed
    with changed:
        assert changed.wait_for(holds, PATIENCE)


def numbered(count: int, first: int = 0) -> Sequence[tuple[int, str, bytes]]:
    return [(number, f"m{number}", str(number).encode() * 3) for number in range(first, first + count)]


def send(link: Link, members: Sequence[tuple[int, str, bytes]]) -> None:
    for number, name, content in members:
        assert link.send(name, content) == number


def open_descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))
