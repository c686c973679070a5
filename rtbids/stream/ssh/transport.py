"""A connection of paramiko's that remembers what the server said when it ended it, which paramiko passes over."""

from __future__ import annotations

from typing import Any

import paramiko

from rtbids.stream.ssh.said import reason


class Transport(paramiko.Transport):  # type: ignore[misc]
    """`farewell`: the code (RFC 4253, 11.1) and the words of the server; None where it said none, or a network broke."""

    farewell: tuple[int, str] | None = None

    def _parse_disconnect(self, message: Any) -> None:
        self.farewell = message.get_int(), reason(message.get_text())
