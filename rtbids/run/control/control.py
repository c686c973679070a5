"""The control socket of a run: requests and replies as JSON lines, for its owner only, and never in feedback's way.

The run's loop calls `step` when everything that may be due has left. Nothing here waits: a client that sends half a line or
does not read what it asked for loses its own connection at most.
"""

from __future__ import annotations

import json
import logging
import queue
import socket
from collections.abc import Callable, Container, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from rtbids.errors import RtbidsError
from rtbids.run.one_line import short
from rtbids.wakeup import Wakeup

MOST_LINE = 64 * 1024  # bytes of a request
MOST_REPLY = 1024 * 1024  # bytes that wait for a client who does not read
MOST_CLIENTS = 8
Reply = Mapping[str, Any]
logger = logging.getLogger("rtbids")


class Client:
    """One connection. It has one request at a time: the next is read when the reply is on its way."""

    def __init__(self, end: socket.socket) -> None:
        end.setblocking(False)
        self._end = end
        self._incoming = b""
        self._outgoing = b""
        self._asks = False
        self.is_over = False

    def fileno(self) -> int:
        return self._end.fileno()

    @property
    def is_behind(self) -> bool:
        """Whether a reply waits to be sent."""
        return bool(self._outgoing)

    def request(self) -> Mapping[str, Any] | None:
        """Return the next request, None where there is none yet; raise ValueError where it is no JSON object."""
        if self._asks or b"\n" not in self._incoming:
            return None
        line, self._incoming = self._incoming.split(b"\n", 1)
        self._asks = True
        try:
            request = json.loads(line)
        except RecursionError:
            raise ValueError("nested too deep") from None
        if not isinstance(request, dict):
            raise ValueError("expected an object")
        return request

    def read(self) -> None:
        """Take what has come."""
        with suppress(BlockingIOError):
            try:
                content = self._end.recv(MOST_LINE)
            except BlockingIOError:
                raise
            except OSError:
                content = b""
            self._incoming += content
            if not content or len(self._incoming) > MOST_LINE:
                self.close()

    def reply(self, message: Reply) -> None:
        """Reply to the request."""
        self._asks = False
        self._outgoing += json.dumps(message).encode() + b"\n"
        if len(self._outgoing) > MOST_REPLY:
            self.close()
        self.write()

    def write(self) -> None:
        """Send as much as the client takes."""
        with suppress(BlockingIOError):
            try:
                while self._outgoing and not self.is_over:
                    self._outgoing = self._outgoing[self._end.send(self._outgoing) :]
            except OSError as error:
                if isinstance(error, BlockingIOError):
                    raise
                self.close()

    def close(self) -> None:
        if not self.is_over:
            self.is_over = True
            self._end.close()


class Control:
    """The run's end of the socket that `listener` listens on.

    Parameters
    ----------
    take
        Called with each request and with what replies to it, at once or later; what RtbidsError it raises is the reply.
    path
        The socket's file, removed at the end.
    """

    def __init__(
        self, listener: socket.socket, path: Path, take: Callable[[Mapping[str, Any], Callable[[Reply], None]], None]
    ) -> None:
        listener.setblocking(False)
        self._listener = listener
        self._path = path
        self._take = take
        self._clients: list[Client] = []
        self._done: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        self._wakeup = Wakeup()

    @property
    def readers(self) -> list[Any]:
        return [self._listener, self._wakeup, *self._clients]

    @property
    def writers(self) -> list[Any]:
        return [client for client in self._clients if client.is_behind]

    def later(self, action: Callable[[], None]) -> None:
        """Have the run's loop do `action`; from any thread."""
        self._done.put(action)
        self._wakeup.set()

    def step(self, ready: Container[Any], takes: Container[Any]) -> None:
        """Do what there is to do: one request of each client."""
        if self._wakeup in ready:
            self._wakeup.clear()
            while not self._done.empty():
                self._do(self._done.get())
        for client in list(self._clients):
            if client in takes:
                client.write()
            if client in ready:
                client.read()
            if not client.is_over:
                self._serve(client)
        if self._listener in ready:
            self._accept()
        self._clients = [client for client in self._clients if not client.is_over]

    def close(self) -> None:
        with suppress(OSError):
            self._path.unlink()
        self._listener.close()
        for client in self._clients:
            client.close()
        self._clients.clear()

    def _accept(self) -> None:
        with suppress(OSError):  # it has gone again
            self._clients.append(Client(self._listener.accept()[0]))
        if len(self._clients) > MOST_CLIENTS:
            self._clients[0].close()

    def _serve(self, client: Client) -> None:
        try:
            request = client.request()
        except ValueError:
            client.reply({"ok": False, "error": "expected one JSON object a line"})
            return
        try:
            if request is not None:
                self._take(request, client.reply)
        except Exception as error:  # no request ends the run
            client.reply(refusal(error))

    def _do(self, action: Callable[[], None]) -> None:
        try:
            action()
        except Exception as error:
            logger.warning("a command was not done: %s", short(error))


def refusal(error: Exception) -> Reply:
    """Return the reply that says why something was not done."""
    known = error if isinstance(error, RtbidsError) else RtbidsError(short(error))
    return {"ok": False, "error": short(known), "hint": known.hint, "code": known.exit_code}
