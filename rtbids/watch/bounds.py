"""Bounds on what a peer may have us hold in memory: whoever reaches the port can send anything."""

from __future__ import annotations

from io import BytesIO
from typing import Any

from rtbids.dicomnet import endings

LONGEST_PDU = 1 << 22  # bytes: far more than what we announce, and than any request for an association takes
LONGEST_COMMAND = 1 << 16  # bytes; a request to store takes some two hundred
LONGEST_IMAGE = 2 << 30  # bytes: above a whole run in one enhanced file


class Overlong(BytesIO):
    """Stands in for an image that has become too long: what still comes of it is thrown away."""

    def write(self, content: Any) -> int:
        return len(content)


def bound_pdus(event: Any) -> None:
    """Have an association take the length of a PDU for an error where it is absurd (bind it to ``EVT_CONN_OPEN``).

    And have it read a PDU in one go: pynetdicom's own way, by 4 kB, takes a good part of a store's time.
    """
    connection = event.assoc.dul.socket

    def received(count: int) -> bytearray:
        if count > LONGEST_PDU:
            raise OSError(f"a PDU of {count} bytes")
        content, come = bytearray(count), 0
        with memoryview(content) as view:
            while come < count and (more := connection.socket.recv_into(view[come:])):
                come += more
        return content[:come] if come < count else content

    connection.recv = received


def end_unheard(event: Any) -> None:
    """Have an association that never began end with its connection, not half a minute later (bind it to ``EVT_CONN_CLOSE``)."""
    if event.assoc.requestor.primitive is None:
        event.assoc.dul.to_user_queue.put(None)  # what waits there for a request takes it for the time out


def bound_message(event: Any, longest: int) -> None:
    """Stop collecting an image of more than `longest` bytes, and end an endless command (bind it to ``EVT_PDU_RECV``)."""
    message = event.assoc.dimse.message
    if message is None:
        return
    if message.data_set.tell() > longest:
        message.data_set = Overlong()
    if message.encoded_command_set.tell() > LONGEST_COMMAND:
        endings.hang_up(event.assoc)
