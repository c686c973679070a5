"""What a relay and a keeper say to each other over a socket of this user's own: a JSON object, and descriptors with it."""

from __future__ import annotations

import json
import os
import socket
import struct
from collections.abc import Mapping
from typing import Any

from rtbids.errors import StreamBroken

_LENGTH = struct.Struct("!I")
_LARGEST = 1 << 20
_BOTH = 2  # descriptors: to read from and to write to


def send(end: socket.socket, fields: Mapping[str, Any], descriptors: tuple[int, ...] = ()) -> None:
    """Send an object, and copies of descriptors with its first bytes."""
    content = json.dumps(fields).encode()
    length = _LENGTH.pack(len(content))
    sent = socket.send_fds(end, [length], list(descriptors)) if descriptors else end.send(length)
    end.sendall(length[sent:] + content)


def receive(end: socket.socket) -> tuple[dict[str, Any], tuple[int, ...]]:
    """Take an object and the descriptors with it, which are the caller's to close; raise OSError or StreamBroken."""
    length, descriptors, _, _ = socket.recv_fds(end, _LENGTH.size, _BOTH, socket.MSG_CMSG_CLOEXEC)
    try:
        return _object(end, length), tuple(descriptors)
    except BaseException:
        for descriptor in descriptors:
            os.close(descriptor)
        raise


def _object(end: socket.socket, length: bytes) -> dict[str, Any]:
    (size,) = _LENGTH.unpack(length + _exactly(end, _LENGTH.size - len(length)))
    if size > _LARGEST:
        raise StreamBroken(f"a message of {size} bytes")
    try:
        said = json.loads(_exactly(end, size))
    except ValueError as error:
        raise StreamBroken(f"expected JSON ({error})") from None
    if not isinstance(said, dict):
        raise StreamBroken("expected a JSON object")
    return said


def _exactly(end: socket.socket, size: int) -> bytes:
    parts, left = [], size
    while left:
        part = end.recv(left)
        if not part:
            raise StreamBroken("the other side has gone")
        parts.append(part)
        left -= len(part)
    return b"".join(parts)
