"""Between a run and its experiment's process: JSON lines over a socket pair, which open files may travel along.

What is said is JSON: it is never executed.
"""

from __future__ import annotations

import json
import os
import socket
import threading
from collections import deque
from collections.abc import Mapping
from typing import Any, Protocol

from rtbids.errors import BadData

Message = Mapping[str, Any]
MOST_DESCRIPTORS = 64
MOST_LINE = 1 << 20  # bytes that the run takes for one line of an experiment's process


class NotUnderstood(BadData):
    """What the other end says is no message."""


class OpenFile(Protocol):
    """What has a descriptor that may travel along with a line."""

    @property
    def descriptor(self) -> int: ...


class Channel:
    """One end of the socket. `receive` gives None once the other end is gone.

    The worker's end waits: it uses `send`, from any thread, and `receive`. The run's end never does: it uses `post`, `flush`
    and `poll`.

    Parameters
    ----------
    most
        Bytes of the longest line that is taken; None for any.
    """

    def __init__(self, end: socket.socket, most: int | None = None) -> None:
        self._end = end
        self._most = most
        self._sending = threading.Lock()  # a script may have threads, and they may have something to say
        self._incoming = bytearray()
        self._outgoing: deque[tuple[memoryview, OpenFile | None]] = deque()
        self._descriptors: deque[int] = deque()
        self._messages: deque[Message] = deque()

    def fileno(self) -> int:
        return self._end.fileno()

    @property
    def is_behind(self) -> bool:
        """Whether something posted is not sent yet."""
        return bool(self._outgoing)

    def send(self, message: Message, descriptor: int | None = None) -> None:
        """Send one line, and a descriptor along with it; raise OSError where the other end is gone."""
        line = encoded(message)
        with self._sending:
            if self._end.fileno() < 0:  # as in a child that a script has forked
                raise BrokenPipeError("the channel is closed")
            sent = 0 if descriptor is None else socket.send_fds(self._end, [line], [descriptor])
            self._end.sendall(line[sent:])

    def post(self, line: bytes, along: OpenFile | None = None) -> None:
        """Send a line, and the descriptor of `along` with it, as soon as the other end takes it."""
        self._outgoing.append((memoryview(line), along))
        self.flush()

    def flush(self) -> None:
        """Send of what was posted as much as goes without waiting; the rest of it is dropped where the other end is gone."""
        while self._outgoing:
            line, along = self._outgoing[0]
            try:
                sent = self._pass(line, along)
            except BlockingIOError:
                return
            except OSError:  # the next `poll` says so
                self._outgoing.clear()
                return
            if sent < len(line):
                self._outgoing[0] = (line[sent:], None)
            elif self._outgoing:  # else it was closed meanwhile
                self._outgoing.popleft()

    def _pass(self, line: memoryview, along: OpenFile | None) -> int:
        if along is None:
            return self._end.send(line)
        return socket.send_fds(self._end, [line], [along.descriptor])

    def receive(self, *, wait: bool = True) -> Message | None:
        """Return the next message; with ``wait=False`` only what `poll` has read already."""
        while not self._messages:
            if not wait or not self.poll():
                return None
        return self._messages.popleft()

    def poll(self) -> bool:
        """Read what has come; False when the other end is gone. Raise NotUnderstood where it is no line of JSON."""
        try:
            content, descriptors, _, _ = socket.recv_fds(self._end, 1 << 16, MOST_DESCRIPTORS)
        except BlockingIOError:
            return True
        except ConnectionError:
            return False
        self._descriptors.extend(descriptors)
        if len(self._descriptors) > MOST_DESCRIPTORS:
            raise NotUnderstood(f"more than {MOST_DESCRIPTORS} files came along")
        self._incoming += content
        if b"\n" in content:
            *lines, self._incoming = self._incoming.split(b"\n")
            self._messages.extend(map(_message, lines))
        if self._most is not None and len(self._incoming) > self._most:
            raise NotUnderstood(f"a line of more than {self._most} bytes")
        return bool(content)

    def descriptor(self) -> int:
        """Return the descriptor that came with the last message that announced one."""
        if not self._descriptors:
            raise NotUnderstood("a file that was announced did not come along")
        return self._descriptors.popleft()

    def close(self) -> None:
        self._outgoing.clear()
        self._end.close()
        while self._descriptors:
            os.close(self._descriptors.popleft())


def encoded(message: Message) -> bytes:
    """Return a message as its line."""
    return json.dumps(message).encode() + b"\n"


def _message(line: bytearray) -> Message:
    try:
        found = json.loads(line)
    except (ValueError, RecursionError):
        raise NotUnderstood("a line that is no JSON") from None
    if not isinstance(found, dict):
        raise NotUnderstood("a line that is no object")
    return found
