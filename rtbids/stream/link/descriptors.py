"""A connection over two file descriptors, whose waits end after a second and when it is closed."""

from __future__ import annotations

import fcntl
import io
import os
import select
import socket
import stat
import struct
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import BinaryIO, TypeVar, cast

from rtbids.stream import fifo

LONGEST_WAIT = 1.0  # seconds after which a wait is told of as a TimeoutError
_CLOSED = "closed here"
_SET_PIPE_SIZE = 1031  # F_SETPIPE_SZ, Linux
T = TypeVar("T")


class Descriptors:
    """A transport over two file descriptors (pipes, sockets; they may be one and the same), which it owns from now on."""

    def __init__(self, reading: int, writing: int, on_close: Callable[[], None] | None = None) -> None:
        self._source = _side(reading)
        self._sink = self._source if reading == writing else _side(writing)
        self._on_close = on_close
        self._lock = threading.Lock()
        self._users = 1  # the transport itself, until it is closed
        self._is_closed = False
        self.reader = cast(BinaryIO, _Reading(self))
        self.writer = cast(BinaryIO, _Writing(self))

    def close(self) -> None:
        with self._lock:
            was_closed, self._is_closed = self._is_closed, True
        if not was_closed:
            for side in {self._source, self._sink}:
                side.wake()
            self._leave()

    def readinto(self, view: memoryview) -> int:
        return self._within(self._source.read, view)

    def writev(self, views: Sequence[memoryview]) -> int:
        return self._within(self._sink.write, views)

    def _within(self, act: Callable[[T], int], what: T) -> int:
        with self._lock:
            if self._is_closed:
                raise ConnectionResetError(_CLOSED)
            self._users += 1
        try:
            return act(what)
        except OSError:
            if self._is_closed:
                raise ConnectionResetError(_CLOSED) from None
            raise
        finally:
            self._leave()

    def _leave(self) -> None:
        """Close the descriptors when the last who may wait on them has gone: their numbers are used again at once."""
        with self._lock:
            self._users -= 1
            is_last = not self._users
        if is_last:
            for side in {self._source, self._sink}:
                side.close()
            if self._on_close:
                self._on_close()


class _Socket:
    """A socket fills a whole view in one call, and sends all of it: no thread has to be woken for every piece."""

    def __init__(self, descriptor: int) -> None:
        self._socket = socket.socket(fileno=descriptor)
        self._socket.setblocking(True)
        longest = struct.pack("@ll", int(LONGEST_WAIT), round(LONGEST_WAIT % 1 * 1e6))
        for option in (socket.SO_RCVTIMEO, socket.SO_SNDTIMEO):
            self._socket.setsockopt(socket.SOL_SOCKET, option, longest)

    def read(self, view: memoryview) -> int:
        try:
            return self._socket.recv_into(view, 0, socket.MSG_WAITALL)
        except BlockingIOError:
            raise TimeoutError("nothing came") from None

    def write(self, views: Sequence[memoryview]) -> int:
        try:
            return self._socket.sendmsg(views)
        except BlockingIOError:
            raise TimeoutError("nothing went") from None

    def wake(self) -> None:
        with suppress(OSError):  # the other side has gone already
            self._socket.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        self._socket.close()


class _Pipe:
    """One end of a pipe, or of anything else that can be polled."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._ended, self._end = os.pipe()  # its end of file wakes who waits
        os.set_blocking(descriptor, False)
        with suppress(OSError):  # no pipe, or above the user's limit
            fcntl.fcntl(descriptor, _SET_PIPE_SIZE, fifo.BUFFER)

    def read(self, view: memoryview) -> int:
        try:
            return os.readv(self._descriptor, [view])
        except BlockingIOError:
            self._wait(select.POLLIN)
            return os.readv(self._descriptor, [view])

    def write(self, views: Sequence[memoryview]) -> int:
        try:
            return os.writev(self._descriptor, views)
        except BlockingIOError:
            self._wait(select.POLLOUT)
            return os.writev(self._descriptor, views)

    def _wait(self, event: int) -> None:
        poll = select.poll()
        poll.register(self._descriptor, event)
        poll.register(self._ended, 0)
        found = dict(poll.poll(1000 * LONGEST_WAIT))
        if self._ended in found:
            raise ConnectionResetError(_CLOSED)
        if not found:
            raise TimeoutError("nothing came or went")

    def wake(self) -> None:
        os.close(self._end)

    def close(self) -> None:
        os.close(self._ended)
        os.close(self._descriptor)


def _side(descriptor: int) -> _Socket | _Pipe:
    return _Socket(descriptor) if stat.S_ISSOCK(os.fstat(descriptor).st_mode) else _Pipe(descriptor)


class _Reading(io.RawIOBase):
    def __init__(self, both: Descriptors) -> None:
        self._both = both

    def readinto(self, view: memoryview) -> int:  # type: ignore[override]
        return self._both.readinto(view)


class _Writing(io.RawIOBase):
    def __init__(self, both: Descriptors) -> None:
        self._both = both

    def write(self, view: memoryview) -> int:  # type: ignore[override]
        return self._both.writev([view])

    def writev(self, views: Sequence[memoryview]) -> int:
        return self._both.writev(views)
