"""The way to another machine: how fast it is, and what is there."""

from __future__ import annotations

import json
import os
import select
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

from rtbids.errors import ConnectionLost, UsageFault
from rtbids.run.doctor.row import Cost, Row, cannot, look, ok
from rtbids.run.doctor.spread import Spread, amount, span, spread
from rtbids.stream.link import NEAR, Link
from rtbids.stream.link.state import Arrived
from rtbids.stream.ssh import known_hosts, settings
from rtbids.stream.ssh.address import Address
from rtbids.stream.ssh.dial import dial
from rtbids.stream.ssh.keys import Ask
from rtbids.stream.ssh.settings import SshOptions
from rtbids.stream.wire import Buffer
from rtbids.volume import Volume, voxels

ANSWER = 6.0  # seconds for one
LASTING = 0.8  # seconds for each thing that is measured over and over
TRIPS, CROSSINGS = 60, 20
SMALLEST, BLOCK, MOST_BYTES = 1 << 12, 1 << 18, 1 << 25
AHEAD = 4  # blocks on their way
TAKE, GIVE, ECHO = "probe/take", "probe/give", "probe/echo"
FAR_OFF = 0.1  # seconds between the clocks
ENOUGH_MEMORY, ENOUGH_SPACE = 1e9, 5e9  # bytes
Question: TypeAlias = tuple[str, Buffer]


@dataclass(frozen=True)
class FarSide:
    """Seconds, bytes and bytes/s.

    Attributes
    ----------
    known_by
        The line of a file that the host's key stands in, or its fingerprint.
    machine
        What the far side says of itself.
    trip
        Of a small member there and back.
    crossing
        Of a volume there and a small answer back.
    out, back
        Bytes/s either way, of what cannot be compressed.
    compression
        What members are compressed with, "" where that would only cost time.
    offset, uncertainty
        Its clock minus ours.
    """

    host: str
    known_by: str
    connected: float
    machine: Mapping[str, Any]
    trip: Spread
    crossing: Spread
    out: float
    back: float
    compression: str
    offset: float | None
    uncertainty: float | None
    volume_bytes: int


def measure(address: Address, options: SshOptions, volumes: Sequence[Volume], ask: Ask | None = None) -> FarSide:
    """Connect and try; raise what stands in the way."""
    known_by = _known_by(address, options)
    begun = time.perf_counter()
    with closing(
        dial(address, options, "probe", {"path": address.path}, ask=ask, terms=replace(NEAR, patience=ANSWER))
    ) as link:
        machine = json.loads(bytes(_next(link).member.content))
        connected = time.perf_counter() - begun
        trip = _over_and_over(link, TRIPS, lambda number: (ECHO, b"echo"))
        crossing = _over_and_over(link, CROSSINGS, lambda number: (TAKE, voxels(volumes[number % len(volumes)])))
        noise = os.urandom(_block(link.state.throughput))  # nothing on the way can compress it
        out = _rate(link, trip.median, len(noise), (TAKE, noise))
        back = _rate(link, trip.median, len(noise), (GIVE, str(len(noise)).encode()))
        state = link.state
        link.finish(ANSWER)
    return FarSide(
        host=str(address),
        known_by=known_by,
        connected=connected,
        machine=machine,
        trip=trip,
        crossing=crossing,
        out=out,
        back=back,
        compression=state.compression,
        offset=state.offset,
        uncertainty=state.uncertainty,
        volume_bytes=voxels(volumes[0]).nbytes,
    )


def _block(throughput: float | None) -> int:
    """Return how many bytes take a tenth of a second, within bounds."""
    return int(min(BLOCK, max(SMALLEST, (throughput or 0.0) / 10)))


def _known_by(address: Address, options: SshOptions) -> str:
    host = settings.host(address, options)
    if host.fingerprint is not None:
        return host.fingerprint
    return next((found.place for found in known_hosts.known(host.label, host.known_hosts)), "")


def _over_and_over(link: Link, count: int, what: Callable[[int], Question]) -> Spread:
    times: list[float] = []
    ends = time.perf_counter() + LASTING
    while len(times) < count and (not times or time.perf_counter() < ends):
        begun = time.perf_counter()
        link.send(*what(len(times)))
        _next(link)
        times.append(time.perf_counter() - begun)
    return spread(times)


def _rate(link: Link, trip: float, size: int, question: Question) -> float:
    """Return bytes/s, some blocks of `size` being on their way at any time."""
    begun = time.perf_counter()
    asked = answered = 0
    while answered < asked or not asked:
        while asked < answered + AHEAD and not (asked and _is_enough(asked * size, begun)):
            link.send(*question)
            asked += 1
        _next(link)
        answered += 1
    return answered * size / max(1e-6, time.perf_counter() - begun - trip)


def _is_enough(count: int, begun: float) -> bool:
    return count >= MOST_BYTES or time.perf_counter() - begun > LASTING


def _next(link: Link) -> Arrived:
    """Return what comes next."""
    until = time.perf_counter() + ANSWER
    while (left := until - time.perf_counter()) > 0:
        try:
            arrived = link.take()
        except StopIteration:
            raise ConnectionLost("the far side ended before it had answered") from None
        if arrived is not None:
            link.settle(arrived.number)
            return arrived
        select.select([link], [], [], left)
    raise ConnectionLost(f"the far side has not answered for {ANSWER:g} s", link.state.problem or None)


def judge(found: FarSide, repetition_time: float) -> tuple[Row, ...]:
    return (_connection(found), _machine(found.machine), *_place(found.machine), _way(found, repetition_time), *_clock(found))


def _connection(found: FarSide) -> Row:
    known = f"host key known ({found.known_by}), " if found.known_by else ""
    return ok("ssh", f"{found.host}: {known}connected and far side started in {span(found.connected)}")


def _machine(said: Mapping[str, Any]) -> Row:
    cores, load = said.get("cores") or 1, said.get("load") or 0.0
    memory = said.get("memory", {}).get("available")
    free = min(said.get("free", {}).values(), default=None)
    words = [f"rtbids {said.get('version')}", f"Python {said.get('python')}", f"{cores} cores, load {load:.1f}"]
    words += [] if memory is None else [f"{amount(memory)} of memory free"]
    words += [] if free is None else [f"{amount(free)} of disk free"]
    text = ", ".join(words)
    if load > cores:
        return look(
            "far side", text, "other programs want more than there is: answers may be late", "end what is not needed there"
        )
    if memory is not None and memory < ENOUGH_MEMORY:
        return look("far side", text, "what is swapped out comes back late", "end other programs there")
    if free is not None and free < ENOUGH_SPACE:
        return look("far side", text, "a long session may not fit", "make room there")
    return ok("far side", text)


def _place(said: Mapping[str, Any]) -> tuple[Row, ...]:
    """Judge the place that was asked after, a SOURCE or a DEST."""
    if not isinstance(place := said.get("place"), Mapping):
        return ()
    if "refused" in place:
        return (cannot("far place", str(place["refused"]), code=UsageFault.exit_code),)
    path = place.get("path")
    if not place.get("is_there"):
        why = "a DEST is made there, a SOURCE has to be there" if place.get("is_writable") else "nothing can be made there"
        return (look("far place", f"{path}: nothing is there", why, "look at its spelling"),)
    can = [word for word in ("readable", "writable") if place.get(f"is_{word}")]
    if len(can) < 2:
        return (look("far place", f"{path}: {' and '.join(can) or 'neither readable nor writable'}", "it may not do"),)
    return (ok("far place", f"{path}: readable and writable"),)


def _way(found: FarSide, repetition_time: float) -> Row:
    packed = f"compressed by {found.compression}" if found.compression else "not compressed, which would be slower"
    text = (
        f"round trip {span(found.trip.median)} (p99 {span(found.trip.p99)}); a volume there and an answer back "
        f"{span(found.crossing.median)} (p99 {span(found.crossing.p99)}); {amount(found.out)}/s out, "
        f"{amount(found.back)}/s back; volumes are {packed}"
    )
    if found.crossing.median > repetition_time / 2:
        return look("link", text, "more than half of a TR is spent on the way", "a faster line, or the analysis on this side")
    return ok("link", text)


def _clock(found: FarSide) -> tuple[Row, ...]:
    if found.offset is None:
        return ()
    most = f" ± {1000 * found.uncertainty:.1f}" if found.uncertainty is not None else ""
    text = f"{1000 * found.offset:+.1f}{most} ms from ours"
    if abs(found.offset) > FAR_OFF:
        return (look("far clock", text, "a run corrects for it; other programs do not", "start chrony on both machines"),)
    return (ok("far clock", text),)


def costs(found: FarSide) -> tuple[Cost, ...]:
    return (Cost("link", found.crossing.median, found.crossing.p99),)


def transfer(found: FarSide) -> float:
    """Return the seconds for which a volume keeps the link busy: what is compressed takes no longer than it crosses."""
    return min(found.volume_bytes / found.out, found.crossing.median) if found.compression else found.volume_bytes / found.out
