"""Between a run and its experiment's process: JSON lines over a socket pair, volumes as shared memory.

A volume's voxels lie in an unnamed memory file whose descriptor travels with its line, so that every experiment on a stream
reads the same pages; they are freed when the last array over them is gone. What is said is JSON: it is never executed.
"""

from __future__ import annotations

import json
import mmap
import os
import socket
import tempfile
from collections import deque
from collections.abc import Mapping
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rtbids.volume import Volume, voxels

Message = Mapping[str, Any]
MOST_DESCRIPTORS = 64


class Shared:
    """A volume and, from the first time that it is asked for, its voxels in a memory file for all who read them.

    With ``ask=False`` it is for the analysis alone.
    """

    def __init__(self, volume: Volume, *, ask: bool = True) -> None:
        self.volume = volume
        self.ask = ask

    @cached_property
    def descriptor(self) -> int:
        """The memory file, which is closed with this object."""
        return share(self.volume)

    def __del__(self) -> None:
        if "descriptor" in self.__dict__:
            os.close(self.descriptor)


class Channel:
    """One end of the socket. `receive` gives None once the other end is gone.

    The worker's end waits: it uses `send` and `receive`. The run's end never does: it uses `post`, `flush` and `poll`.
    """

    def __init__(self, end: socket.socket) -> None:
        self._end = end
        self._incoming = bytearray()
        self._outgoing: deque[tuple[memoryview, Shared | None]] = deque()
        self._descriptors: deque[int] = deque()
        self._messages: deque[Message] = deque()

    def fileno(self) -> int:
        return self._end.fileno()

    @property
    def is_behind(self) -> bool:
        """Whether something posted is not sent yet."""
        return bool(self._outgoing)

    def send(self, message: Message) -> None:
        """Send one line; raise OSError where the other end is gone."""
        self._end.sendall(encoded(message))

    def send_array(self, message: Message, values: NDArray[Any]) -> None:
        """Send one line, and an array (i, j, k) with it, as `mapped` reads it."""
        line, descriptor = encoded(message), _kept(memoryview(values.tobytes(order="F")))
        try:
            sent = socket.send_fds(self._end, [line], [descriptor])
            self._end.sendall(line[sent:])
        finally:
            os.close(descriptor)

    def post(self, line: bytes, shared: Shared | None = None) -> None:
        """Send a line, and the descriptor of `shared` with it, as soon as the other end takes it."""
        self._outgoing.append((memoryview(line), shared))
        self.flush()

    def flush(self) -> None:
        """Send of what was posted as much as goes without waiting; the rest of it is dropped where the other end is gone."""
        while self._outgoing:
            line, shared = self._outgoing[0]
            try:
                sent = self._pass(line, shared)
            except BlockingIOError:
                return
            except OSError:  # the next `poll` says so
                self._outgoing.clear()
                return
            if sent < len(line):
                self._outgoing[0] = (line[sent:], None)
            elif self._outgoing:  # else it was closed meanwhile
                self._outgoing.popleft()

    def _pass(self, line: memoryview, shared: Shared | None) -> int:
        if shared is None:
            return self._end.send(line)
        return socket.send_fds(self._end, [line], [shared.descriptor])

    def receive(self, *, wait: bool = True) -> Message | None:
        """Return the next message; with ``wait=False`` only what `poll` has read already."""
        while not self._messages:
            if not wait or not self.poll():
                return None
        return self._messages.popleft()

    def poll(self) -> bool:
        """Read what has come; False when the other end is gone."""
        try:
            content, descriptors, _, _ = socket.recv_fds(self._end, 1 << 16, MOST_DESCRIPTORS)
        except BlockingIOError:
            return True
        except ConnectionError:
            return False
        self._descriptors.extend(descriptors)
        self._incoming += content
        *lines, self._incoming = self._incoming.split(b"\n")
        self._messages.extend(json.loads(line) for line in lines)
        return bool(content)

    def descriptor(self) -> int:
        """Return the descriptor that came with the last message that announced one."""
        return self._descriptors.popleft()

    def close(self) -> None:
        self._outgoing.clear()
        self._end.close()
        while self._descriptors:
            os.close(self._descriptors.popleft())


def encoded(message: Message) -> bytes:
    """Return a message as its line."""
    return json.dumps(message).encode() + b"\n"


def share(volume: Volume) -> int:
    """Copy a volume's voxels into an unnamed memory file and return its descriptor, which the caller closes."""
    return _kept(voxels(volume))


def _kept(view: memoryview) -> int:
    descriptor = _memory_file()
    written = 0
    while written < len(view):
        written += os.write(descriptor, view[written:])
    return descriptor


def mapped(descriptor: int, dtype: str, shape: tuple[int, ...]) -> NDArray[Any]:
    """Return the voxels behind `descriptor` as a read-only array (i, j, k), and close the descriptor."""
    try:
        size = int(np.prod(shape)) * np.dtype(dtype).itemsize
        pages = mmap.mmap(descriptor, size, prot=mmap.PROT_READ)
    finally:
        os.close(descriptor)
    return np.frombuffer(pages, np.dtype(dtype)).reshape(shape, order="F")


def _memory_file() -> int:
    if hasattr(os, "memfd_create"):
        return os.memfd_create("rtbids-volume", os.MFD_CLOEXEC)
    with tempfile.TemporaryFile() as file:
        return os.dup(file.fileno())
