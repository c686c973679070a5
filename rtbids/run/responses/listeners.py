"""Where responses come in: UDP, TCP, a named pipe, a stream of the Lab Streaming Layer. Each has a thread of its own."""

from __future__ import annotations

import logging
import os
import select
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol, TypeAlias

from rtbids.clock import CLOCK
from rtbids.errors import InputMissing, RtbidsError, UsageFault
from rtbids.run.feedback import lsl, sockets
from rtbids.run.feedback.line_server import LineServer
from rtbids.run.one_line import short
from rtbids.run.responses.bursts import Bursts
from rtbids.run.responses.intake import Inbound, Intake
from rtbids.stream import endpoints, fifo
from rtbids.wakeup import Wakeup

MOST = 1 << 16  # bytes of one read
AGAIN = 0.1  # seconds after what could not be read
LSL_STEP = 0.5  # seconds that closing an inlet may take: nothing else ends a wait for its next sample
logger = logging.getLogger("rtbids")
Pieces: TypeAlias = Iterable[tuple[Any, ...]]


class Listener(Protocol):
    def close(self) -> None: ...


class Responses:
    """Everything that listens for one run, and what has come in.

    Attributes
    ----------
    inbound
        What has come.
    servers
        The TCP servers by address, so that feedback may leave by the connections that responses come in by.
    """

    def __init__(self) -> None:
        self.inbound = Inbound()
        self.servers: dict[str, LineServer] = {}
        self._listeners: list[tuple[Listener, Intake]] = []

    def listen(self, endpoint: str, timeout: float, say: Callable[[str], None]) -> None:
        """Listen at `endpoint` until `close`."""
        intake = Intake(endpoint, self.inbound)
        self._listeners.append((self._listener(endpoint, intake, timeout, say), intake))

    def close(self) -> None:
        while self._listeners:
            listener, intake = self._listeners.pop()
            listener.close()
            intake.close()

    def _listener(self, endpoint: str, intake: Intake, timeout: float, say: Callable[[str], None]) -> Listener:
        if endpoint.startswith(lsl.SCHEME):
            return _Inlet(lsl.name_of(endpoint), intake, timeout)
        match endpoints.scheme(endpoint):
            case "udp":
                return _datagrams(sockets.parse(endpoint), intake, say)
            case "tcp":
                address = sockets.parse(endpoint)
                server = LineServer(address, lambda: intake.connection().feed)
                say(f"responses at {server.name}")
                self.servers[str(address)] = server
                return server
            case None if fifo.is_fifo(Path(endpoint)):
                return _Reader(endpoint, _opened(Path(endpoint)), _of_descriptor, intake.connection().feed)
        raise _refusal(endpoint)


@contextmanager
def listening(ends: Sequence[str], timeout: float, say: Callable[[str], None] = logger.info) -> Iterator[Responses]:
    """Listen at `ends`; `say` is told where, with the port that was given."""
    listens = Responses()
    try:
        for endpoint in ends:
            listens.listen(endpoint, timeout, say)
        yield listens
    finally:
        listens.close()


class _Reader:
    """Give `feed` each piece that comes at a source that never blocks; it says for how many seconds to read no more."""

    def __init__(self, name: str, source: Any, read: Callable[[Any], Pieces], feed: Callable[..., float]) -> None:
        self._name = name
        self._source = source
        self._read = read
        self._feed = feed
        self._over = Wakeup()
        self._has_warned = False
        self._thread = threading.Thread(target=self._listen, name="responses", daemon=True)
        self._thread.start()

    def _listen(self) -> None:
        while not self._over.is_set():
            ready = select.select([self._source, self._over], [], [])[0]
            if self._source in ready and (pause := self._take()):
                self._over.wait(pause)

    def _take(self) -> float:
        try:
            return max((self._fed(*piece) for piece in self._read(self._source)), default=0.0)
        except BlockingIOError:  # another reader of the same pipe has it
            return 0.0
        except OSError as error:
            return self._failed(error)

    def _fed(self, *piece: Any) -> float:
        try:
            return self._feed(*piece)
        except Exception as error:  # whatever somebody has sent: the others are heard on
            return self._failed(error)

    def _failed(self, error: Exception) -> float:
        if not self._has_warned:
            self._has_warned = True
            logger.warning("responses from %s: something is left out (%s)", self._name, short(error))
        return AGAIN

    def close(self) -> None:
        self._over.set()
        self._thread.join()
        if isinstance(self._source, int):
            os.close(self._source)
        else:
            self._source.close()


class _Inlet:
    """Take the samples of a stream, whose clock is carried over to ours."""

    def __init__(self, name: str, intake: Intake, timeout: float) -> None:
        self._library = lsl.library(name)
        self._inlet = lsl.inlet(name, timeout)
        self._intake = intake
        self._connection = intake.connection()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._listen, name=f"responses from {name}", daemon=True)
        self._thread.start()

    def _listen(self) -> None:
        try:
            while not self._over.is_set():
                self._take(*self._inlet.pull_sample(timeout=LSL_STEP))
        except Exception as error:  # the library's, of whatever kind
            logger.warning("responses from %s end here: %s", self._intake.name, short(error))

    def _take(self, sample: list[object] | None, stamp: float) -> None:
        if sample is not None:
            arrived = CLOCK.now()
            ago = self._library.local_clock() - (stamp + self._inlet.time_correction())
            if not self._connection.line(lsl.text(sample).encode(errors="replace"), arrived, arrived - ago):
                self._connection.leave_out()

    def close(self) -> None:
        self._over.set()
        self._thread.join()
        self._inlet.close_stream()


def _datagrams(address: sockets.Address, intake: Intake, say: Callable[[str], None]) -> _Reader:
    bound, given = sockets.bound(address)
    say(f"responses at {given}")

    def of_socket(source: Bursts) -> Pieces:
        came = source.read()
        intake.lost(source.lost())
        return came

    return _Reader(str(given), Bursts(bound), of_socket, intake.datagram)


def _of_descriptor(source: int) -> Pieces:
    return [(os.read(source, MOST),)]


def _opened(path: Path) -> int:
    try:  # for writing too: senders may come and go, and none is waited for
        return os.open(path, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        raise InputMissing(f"{path}: cannot be read ({error.strerror})") from None


def _refusal(endpoint: str) -> RtbidsError:
    hint = "they come from udp://host:port, tcp://host:port, lsl:NAME or a named pipe"
    if endpoints.scheme(endpoint) or Path(endpoint).exists() or endpoint == endpoints.STANDARD:
        return UsageFault(f"{endpoint}: responses do not come from there", hint)
    return InputMissing(f"{endpoint}: no such named pipe", f"make it first: mkfifo -m 600 {endpoint}")
