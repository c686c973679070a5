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
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rtbids.volume import Volume, voxels

Message = Mapping[str, Any]
MOST_DESCRIPTORS = 64


class Channel:
    """One end of the socket. `receive` gives None once the other end is gone."""

    def __init__(self, end: socket.socket) -> None:
        self._end = end
        self._pending = bytearray()
        self._descriptors: deque[int] = deque()
        self._messages: deque[Message] = deque()

    def fileno(self) -> int:
        return self._end.fileno()

    def send(self, message: Message, descriptor: int | None = None) -> None:
        """Send one line, and a descriptor with it; raise OSError where the other end is gone."""
        line = json.dumps(message).encode() + b"\n"
        if descriptor is None:
            self._end.sendall(line)
            return
        sent = socket.send_fds(self._end, [line], [descriptor])
        self._end.sendall(line[sent:])

    def receive(self, *, wait: bool = True) -> Message | None:
        """Return the next message; with ``wait=False`` only what `poll` has read already."""
        while not self._messages:
            if not wait or not self.poll():
                return None
        return self._messages.popleft()

    def poll(self) -> bool:
        """Read what has come, waiting for the first of it; False when the other end is gone."""
        try:
            content, descriptors, _, _ = socket.recv_fds(self._end, 1 << 16, MOST_DESCRIPTORS)
        except ConnectionError:
            return False
        self._descriptors.extend(descriptors)
        self._pending += content
        *lines, self._pending = self._pending.split(b"\n")
        self._messages.extend(json.loads(line) for line in lines)
        return bool(content)

    def descriptor(self) -> int:
        """Return the descriptor that came with the last message that announced one."""
        return self._descriptors.popleft()

    def close(self) -> None:
        self._end.close()
        while self._descriptors:
            os.close(self._descriptors.popleft())


def share(volume: Volume) -> int:
    """Copy a volume's voxels into an unnamed memory file and return its descriptor, which the caller closes."""
    descriptor = _memory_file()
    view = voxels(volume)
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
