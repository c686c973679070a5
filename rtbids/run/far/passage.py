"""One end of the channel of a seat's process, whose other end is the run's, or the script's."""

from __future__ import annotations

import os
import socket
from typing import TypeAlias

from rtbids.run.process.channel import Channel, Message, OpenFile
from rtbids.run.process.memory_file import comes_along

Arrived: TypeAlias = tuple[Message, int | None]  # and the descriptor that came along


class Passage:
    """The end of the process of this `number`, the latest of its seat; nothing of it waits.

    Parameters
    ----------
    most
        Bytes of the longest line that is taken; None for any.
    """

    def __init__(self, most: int | None = None) -> None:
        self.number = 0
        self._most = most
        self._channel: Channel | None = None
        self._is_leaving = False

    def open(self, end: socket.socket, number: int) -> None:
        """Begin with the channel of the next process."""
        self.close()
        end.setblocking(False)
        self.number, self._channel = number, Channel(end, self._most)

    @property
    def is_open(self) -> bool:
        return self._channel is not None

    @property
    def is_behind(self) -> bool:
        return self._channel is not None and self._channel.is_behind

    def fileno(self) -> int:
        return self._channel.fileno() if self._channel is not None else -1

    def deliver(self, line: bytes, along: OpenFile | None = None) -> None:
        if self._channel is not None and not self._is_leaving:
            self._channel.post(line, along)

    def flush(self) -> None:
        if self._channel is not None:
            self._channel.flush()
            self._go()

    def leave(self) -> None:
        """Close it as soon as all is delivered."""
        self._is_leaving = True
        self._go()

    def close(self) -> None:
        if self._channel is not None:
            self._channel.close()
        self._channel, self._is_leaving = None, False

    def arrived(self) -> tuple[list[Arrived], bool]:
        """Return what has come, and whether more may come; raise NotUnderstood where it is no message."""
        channel = self._channel
        assert channel is not None, "nobody waits for what is closed"
        found: list[Arrived] = []
        try:
            is_there = channel.poll()
            while (message := channel.receive(wait=False)) is not None:
                found.append((message, None))
                if comes_along(message):
                    found[-1] = message, channel.descriptor()
        except BaseException:
            for _, descriptor in found:
                if descriptor is not None:
                    os.close(descriptor)
            raise
        return found, is_there

    def _go(self) -> None:
        if self._is_leaving and not self.is_behind:
            self.close()
