"""Feedback by UDP: one datagram a line."""

from __future__ import annotations

import logging

from rtbids.run.feedback import sockets
from rtbids.run.feedback.feedback import Row, as_json

logger = logging.getLogger("rtbids")


class Datagrams:
    """Send each line as a datagram; where nobody takes them they are sent all the same, and that is said once."""

    def __init__(self, address: sockets.Address) -> None:
        self._address = address
        self._socket = sockets.connected(address)
        self._warned = False
        self._lost = 0

    def write(self, row: Row) -> None:
        line = as_json(row).encode()
        try:
            self._send(line)
        except OSError as error:  # a cable that was pulled may be plugged in again
            self._lost += 1
            self._warn(f"a line of {len(line)} bytes could not be sent ({(error.strerror or str(error)).lower()})")

    def _send(self, line: bytes) -> None:
        try:
            self._socket.send(line)
        except ConnectionRefusedError:  # the answer to an earlier datagram: this one has not been sent yet
            self._warn("nobody listens there yet; the lines go on being sent")
            self._again(line)

    def _again(self, line: bytes) -> None:
        try:
            self._socket.send(line)
        except ConnectionRefusedError:
            self._lost += 1

    def _warn(self, what: str) -> None:
        if not self._warned:
            self._warned = True
            logger.warning("feedback to %s: %s", self._address, what)

    def close(self) -> None:
        if self._lost:
            logger.warning("feedback to %s: %d lines did not leave", self._address, self._lost)
        self._socket.close()
