"""Feedback by TCP: we listen, and every client that connects gets each line as it leaves, the latest ones at once.

One thread waits for whatever comes next: a line, a client, room in a client's buffer. A client that does not read is left
behind and then let go of; the others and the run notice nothing. What a client says are responses, where somebody takes them.
"""

from __future__ import annotations

import logging
import selectors
import socket
import threading
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TypeAlias

from rtbids.clock import CLOCK
from rtbids.run.feedback import sockets
from rtbids.run.feedback.feedback import Row, as_json
from rtbids.run.one_line import short
from rtbids.wakeup import Wakeup

MOST_WAITING = 1024  # lines that a client may be behind
MOST_CLIENTS = 64
READ = 1 << 14
logger = logging.getLogger("rtbids")
PAUSE = 0.5  # seconds for which nothing is read of who says what nobody hears
Feed: TypeAlias = Callable[[bytes], float]


@dataclass
class _Client:
    socket: socket.socket
    feed: Feed
    waiting: deque[bytes] = field(default_factory=deque)
    reading: bool = True  # whether it may still say something
    paused_until: float | None = None  # POSIX seconds: it says too much, and is not read from before that


class LineServer:
    """Listen on `address` from the moment it is made until `close`.

    Parameters
    ----------
    answer
        Called for every client; what it returns is called with whatever the client says, as it comes, and with empty bytes
        when that is over, and returns for how many seconds no more is to be read. Without it nobody hears of that, and it is
        warned of once.
    """

    def __init__(self, address: sockets.Address, answer: Callable[[], Feed] | None = None) -> None:
        self._listening, self.address = sockets.bound(address)
        self.name = str(self.address)
        self._listening.setblocking(False)
        self._answer = answer or (lambda: self._deaf)
        self._handed: deque[tuple[object, bytes]] = deque()
        self._latest: dict[object, bytes] = {}  # of each experiment
        self._clients: dict[socket.socket, _Client] = {}
        self._said: set[str] = set()
        self._close_until: float | None = None
        self._wakeup = Wakeup()
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._wakeup, selectors.EVENT_READ)
        self._selector.register(self._listening, selectors.EVENT_READ)
        self._thread = threading.Thread(target=self._serve, name=f"feedback at {self.name}", daemon=True)
        self._thread.start()

    def send(self, row: Row) -> None:
        """Hand a line over; an answer that is late goes to nobody."""
        if row["status"] != "late":
            self._handed.append((row["experiment"], as_json(row).encode()))
            self._wakeup.set()

    def close(self, timeout: float = 2.0) -> None:
        """Give the clients what waits for them, `timeout` seconds at the most, and close; closing twice does nothing."""
        if self._close_until is None:
            self._close_until = CLOCK.now() + timeout
        self._wakeup.set()
        self._thread.join()

    def _serve(self) -> None:
        try:
            while not self._is_over():
                self._wait()
        finally:
            self._end()

    def _is_over(self) -> bool:
        if self._close_until is None or self._handed:
            return False
        return CLOCK.now() >= self._close_until or not any(client.waiting for client in self._clients.values())

    def _wait(self) -> None:
        paused = [client for client in self._clients.values() if client.paused_until is not None]
        moments = [moment for moment in (self._close_until, *(client.paused_until for client in paused)) if moment is not None]
        chosen = self._selector.select(max(0.0, min(moments) - CLOCK.now()) if moments else None)
        for client in paused:
            self._read_again(client)
        for key, events in chosen:
            if key.fileobj is self._wakeup:
                self._wakeup.clear()
                self._hand_out()
            elif key.fileobj is self._listening:
                self._accept()
            else:
                self._serve_one(key.data, events)

    def _hand_out(self) -> None:
        while self._handed:
            experiment, line = self._handed.popleft()
            self._latest[experiment] = line
            for client in list(self._clients.values()):
                client.waiting.append(line)
        for client in list(self._clients.values()):
            self._push(client)

    def _accept(self) -> None:
        try:
            connection, _ = self._listening.accept()
        except OSError as error:  # out of descriptors, or gone again: those that are here are served on
            if not isinstance(error, BlockingIOError | ConnectionAbortedError):
                self._say_once(f"takes no further client ({(error.strerror or str(error)).lower()})")
                self._selector.unregister(self._listening)
            return
        if len(self._clients) >= MOST_CLIENTS:
            connection.close()
            self._say_once(f"has {MOST_CLIENTS} clients and takes no further one")
            return
        self._greet(connection)

    def _greet(self, connection: socket.socket) -> None:
        connection.setblocking(False)
        with suppress(OSError):  # it has gone again, which shows when it is written to
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        client = _Client(connection, self._answer(), deque(self._latest.values()))
        self._clients[connection] = client
        self._selector.register(connection, selectors.EVENT_READ, client)
        self._push(client)

    def _serve_one(self, client: _Client, events: int) -> None:
        if events & selectors.EVENT_READ:
            self._listen_to(client)
        if events & selectors.EVENT_WRITE and client.socket in self._clients:
            self._push(client)

    def _listen_to(self, client: _Client) -> None:
        try:
            content = client.socket.recv(READ)
        except BlockingIOError:
            return
        except OSError:
            self._let_go(client)
            return
        pause = self._fed(client, content)
        if pause:
            client.paused_until = CLOCK.now() + pause
            self._watch(client)
        if not content:  # it says no more but may well go on reading; where it is gone the next line shows it
            client.reading = False
            self._watch(client)

    def _fed(self, client: _Client, content: bytes) -> float:
        try:
            return client.feed(content)
        except Exception as error:  # whatever somebody has sent: the others are served on
            self._say_once(f"something that a client said is left out ({short(error)})")
            return PAUSE

    def _read_again(self, client: _Client) -> None:
        if client.socket in self._clients and client.paused_until is not None and client.paused_until <= CLOCK.now():
            client.paused_until = None
            self._watch(client)

    def _push(self, client: _Client) -> None:
        """Send what waits as far as the client takes it."""
        try:
            while client.waiting:
                sent = client.socket.send(client.waiting[0])
                if sent < len(client.waiting[0]):
                    client.waiting[0] = client.waiting[0][sent:]
                else:
                    client.waiting.popleft()
        except BlockingIOError:
            if len(client.waiting) > MOST_WAITING:
                logger.warning("%s: a client does not read and was let go of; it may connect again", self.name)
                self._let_go(client)
                return
        except OSError:
            self._let_go(client)
            return
        self._watch(client)

    def _watch(self, client: _Client) -> None:
        """Wait for what this client can bring next."""
        is_heard = client.reading and client.paused_until is None
        events = (selectors.EVENT_READ if is_heard else 0) | (selectors.EVENT_WRITE if client.waiting else 0)
        registered = client.socket in self._selector.get_map()
        if not events and registered:
            self._selector.unregister(client.socket)
        elif registered:
            self._selector.modify(client.socket, events, client)
        elif events:
            self._selector.register(client.socket, events, client)

    def _let_go(self, client: _Client) -> None:
        self._clients.pop(client.socket, None)
        with suppress(KeyError):
            self._selector.unregister(client.socket)
        client.socket.close()
        if self._listening not in self._selector.get_map():
            self._selector.register(self._listening, selectors.EVENT_READ)

    def _end(self) -> None:
        left = sum(len(client.waiting) for client in self._clients.values())
        if left:
            logger.warning("%s: its clients were too slow, %d lines were left out", self.name, left)
        for client in list(self._clients.values()):
            self._let_go(client)
        self._selector.close()
        self._listening.close()

    def _deaf(self, content: bytes) -> float:
        if content:
            self._say_once("a client says something and nobody listens; --responses with this address takes responses")
        return PAUSE

    def _say_once(self, what: str) -> None:
        if what not in self._said:
            self._said.add(what)
            logger.warning("%s: %s", self.name, what)
