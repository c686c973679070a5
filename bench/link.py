"""A volume over a link and the receipt for it, beside the bare socket: what numbering, receipts and threads cost."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable, Iterator

import figures

from rtbids.stream.link import Descriptors, Link, dial, hear, serve

VOLUME = os.urandom(352 + 64 * 64 * 36 * 2)
COUNT, SPACED, SPACING = 1000, 200, 0.01


def measure() -> Iterator[str]:
    ask, ask_rate = _bare()
    near = _near()
    linked = _spaced(lambda: _there_and_safe(near))
    bare = _spaced(ask)
    yield figures.spread("link, to the receipt", linked)
    yield figures.spread("bare socket, to one byte back", bare)
    link_rate, bare_rate = _throughput(near), ask_rate()
    near.finish(10)
    near.close()
    yield f"{'link':<34} {link_rate / 1e6:8.0f} MB/s"
    yield f"{'bare socket':<34} {bare_rate / 1e6:8.0f} MB/s   {100 * link_rate / bare_rate:5.0f} % of it by the link"


def _far(child: Callable[[socket.socket], object]) -> socket.socket:
    """Run the other end of a pair of sockets in a process of its own."""
    one, other = socket.socketpair()
    if os.fork() == 0:
        one.close()
        child(other)
        os._exit(0)
    other.close()
    return one


def _near() -> Link:
    """Return the near end of a link whose far end makes everything safe as it comes, once its probe is over."""
    end = _far(_settle).detach()
    near = dial(lambda: Descriptors(end, end), "bench")
    near.wait_up(10)
    while near.state.throughput is None:
        time.sleep(0.01)
    return near


def _settle(end: socket.socket) -> None:
    descriptor = end.detach()
    transport = Descriptors(descriptor, descriptor)
    hello = hear(transport)
    far = serve(hello)
    far.attach(transport, hello)
    for arrived in far.members():
        far.settle(arrived.number)
    far.finish(10)
    far.close()


def _there_and_safe(near: Link) -> None:
    number = near.send("volume.nii", VOLUME)
    _wait(near, number + 1)


def _wait(near: Link, safe: int) -> None:
    changed = near._shared.changed
    with changed:
        changed.wait_for(lambda: near.state.safe >= safe)


def _throughput(near: Link) -> float:
    begin = time.perf_counter()
    for _ in range(COUNT):
        number = near.send("volume.nii", VOLUME)
    _wait(near, number + 1)
    return COUNT * len(VOLUME) / (time.perf_counter() - begin)


def _bare() -> tuple[Callable[[], None], Callable[[], float]]:
    """Return what sends a volume to a process that reads it whole and answers with a byte, and what many at a time."""
    end = _far(_answer)

    def ask() -> None:
        end.sendall(VOLUME)
        end.recv(1)

    def rate() -> float:
        begin = time.perf_counter()
        for _ in range(COUNT):
            ask()
        return COUNT * len(VOLUME) / (time.perf_counter() - begin)

    return ask, rate


def _answer(end: socket.socket) -> None:
    while True:
        view = memoryview(bytearray(len(VOLUME)))
        if not end.recv_into(view, 0, socket.MSG_WAITALL):
            return
        end.sendall(b"!")


def _spaced(act: Callable[[], None]) -> list[float]:
    """Return how long `act` takes, again and again at the pace of a fast scan."""
    taken = []
    for _ in range(SPACED):
        time.sleep(SPACING)
        begin = time.perf_counter()
        act()
        taken.append(time.perf_counter() - begin)
    return taken
