"""What both ends of an association have in common: what is offered, and sockets that answer at once."""

from __future__ import annotations

import logging
import socket
from typing import Any

from rtbids.dicomnet.prompt import wake_at_once

MR = ("1.2.840.10008.5.1.4.1.1.4", "1.2.840.10008.5.1.4.1.1.4.1")  # MR and Enhanced MR Image Storage
UNCOMPRESSED = ("1.2.840.10008.1.2.1", "1.2.840.10008.1.2", "1.2.840.10008.1.2.2")  # explicit, implicit, big endian
COMPRESSED = (
    "1.2.840.10008.1.2.1.99",  # deflated
    "1.2.840.10008.1.2.5",  # RLE
    "1.2.840.10008.1.2.4.57",  # JPEG lossless
    "1.2.840.10008.1.2.4.70",  # JPEG lossless, first order: the usual one
    "1.2.840.10008.1.2.4.80",  # JPEG-LS lossless
    "1.2.840.10008.1.2.4.90",  # JPEG 2000 lossless
    "1.2.840.10008.1.2.4.91",  # JPEG 2000
)
MAXIMUM_PDU = 1 << 17  # bytes; what dcmtk sends at the most
SILENCE = 60.0  # seconds in the middle of a message after which the other side is taken for dead


def be_prompt(event: Any) -> None:
    """Set up the socket of a new association (bind it to ``EVT_CONN_OPEN``).

    What is written leaves at once, a peer that has vanished is noticed, and one that falls silent in a message does not hold
    the association for ever.
    """
    connection = event.assoc.dul.socket.socket
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    connection.settimeout(SILENCE)
    wake_at_once(event)


def entity(title: str) -> Any:
    """Return a pynetdicom ``AE`` that keeps what passes through it to itself: its log would name patients."""
    import pynetdicom

    pynetdicom._config.LOG_HANDLER_LEVEL = "none"
    logging.getLogger("pynetdicom").setLevel(logging.CRITICAL + 1)
    application = pynetdicom.AE(title)
    application.maximum_pdu_size = MAXIMUM_PDU
    application.dimse_timeout = SILENCE
    application.network_timeout = None  # an association may lie idle between runs; keep-alive notices who is gone
    return application
