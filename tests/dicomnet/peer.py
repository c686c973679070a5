"""A receiver that says what it is told to, byte by byte, over one connection (PS3.8, 9.3)."""

from __future__ import annotations

import socket
import struct
from io import BytesIO

from pydicom import dcmread

from rtbids.dicomnet import Address, Sender
from rtbids.replay.scanner import Phantom, dicoms

LONG = 20.0  # seconds: the bound of a wait for something that takes milliseconds
RUN = list(dicoms(Phantom(shape=(8, 8, 4), voxel=(24.0, 24.0, 24.0), volumes=3)))
META = dcmread(BytesIO(RUN[0])).file_meta
ABORT = b"\x07\0" + struct.pack(">L", 4) + bytes(4)
RELEASE = b"\x05\0" + struct.pack(">L", 4) + bytes(4)
RELEASED = b"\x06\0" + struct.pack(">L", 4) + bytes(4)
NONSENSE = b"\x04\0" + struct.pack(">LLBB", 60, 56, 1, 3) + b"no command at all".ljust(54)
LAST_OF_IMAGE = 2  # flags of a fragment (PS3.8, E.2)


def pdu(kind: int, content: bytes) -> bytes:
    return struct.pack(">BBL", kind, 0, len(content)) + content


def item(kind: int, content: bytes) -> bytes:
    return struct.pack(">BBH", kind, 0, len(content)) + content


def acceptance() -> bytes:
    """Agree to the first presentation context alone."""
    agreed = item(0x21, bytes([1, 0, 0, 0]) + item(0x40, META.TransferSyntaxUID.encode()))
    user = item(0x50, item(0x51, bytes(4)) + item(0x52, b"1.2.3"))
    return pdu(2, struct.pack(">HH", 1, 0) + bytes(64) + item(0x10, b"1.2.840.10008.3.1.1.1") + agreed + user)


def answer(number: int, status: int | None = 0) -> bytes:
    """Return the answer to a store (PS3.7, 9.3.1.2)."""
    uid = META.MediaStorageSOPClassUID.encode()
    elements = [(2, uid + b"\0" * (len(uid) % 2))]
    elements += [(tag, struct.pack("<H", value)) for tag, value in ((0x100, 0x8001), (0x120, number), (0x800, 0x101))]
    elements += [] if status is None else [(0x900, struct.pack("<H", status))]
    elements += [(0x1000, b"1.2\0")]
    body = b"".join(struct.pack("<HHL", 0, tag, len(value)) + value for tag, value in elements)
    body = struct.pack("<HHLL", 0, 0, 4, len(body)) + body
    return pdu(4, struct.pack(">LBB", len(body) + 2, 1, 3) + body)


class Peer:
    """Listens; each step is taken when it is told to."""

    def __init__(self) -> None:
        self._door = socket.create_server(("127.0.0.1", 0))
        self._door.settimeout(LONG)
        self.address = Address("PEER", "127.0.0.1", self._door.getsockname()[1])

    def sender(self) -> Sender:
        return Sender(self.address, files=RUN[:1])

    def accept(self) -> None:
        self._connection, _ = self._door.accept()
        self._connection.settimeout(LONG)
        assert self.heard()[0] == 1
        self.say(acceptance())

    def heard(self) -> tuple[int, bytes]:
        """Return the type of the next PDU and what it holds."""
        kind, _, length = struct.unpack(">BBL", self._read(6))
        return kind, self._read(length)

    def take(self) -> None:
        """Read an image to its end."""
        flags = 0
        while flags != LAST_OF_IMAGE:
            kind, content = self.heard()
            assert kind == 4
            flags = content[5]

    def say(self, content: bytes) -> None:
        self._connection.sendall(content)

    def hang_up(self) -> None:
        self._connection.close()

    def close(self) -> None:
        self._door.close()

    def _read(self, count: int) -> bytes:
        content = b""
        while len(content) < count:
            part = self._connection.recv(count - len(content))
            assert part, "the sender hung up"
            content += part
        return content
