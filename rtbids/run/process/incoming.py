"""What comes in on the worker's channel: for the thread that serves it, and for those of the script that wait for an outcome.

Whoever waits reads, one at a time, for all: a thread of its own would have every script run beside another one.
"""

from __future__ import annotations

import os
import select
import threading
from collections import deque
from collections.abc import Callable
from typing import TypeAlias

from rtbids.errors import RtbidsError
from rtbids.run.console.call import Call
from rtbids.run.process.channel import Channel, Message
from rtbids.run.process.memory_file import comes_along

Arrived: TypeAlias = tuple[Message, int | None]  # a message, and the descriptor that came along with it


class Incoming:
    """The messages of a channel, sorted.

    Attributes
    ----------
    is_over
        Whether the other end is gone.
    """

    def __init__(self, channel: Channel) -> None:
        self._channel = channel
        self._changed = threading.Condition()
        self._is_being_read = False
        self.is_over = False
        self._messages: deque[Arrived] = deque()
        self._outcomes: dict[int, Arrived | None] = {}  # by the number of the call; None: not there yet

    def next(self) -> Arrived | None:
        """Return the next message that is no call's outcome; None once the other end is gone."""
        self._read_until(lambda: bool(self._messages), None)
        return self._messages.popleft() if self._messages else None

    def expect(self, number: int) -> None:
        """Keep the outcome of a call; that of any other is dropped."""
        with self._changed:
            self._outcomes[number] = None

    def outcome(self, number: int, call: Call) -> Arrived | None:
        """Wait for the outcome of a call; None where it does not come in time."""
        self._read_until(lambda: self._outcomes[number] is not None, call)
        with self._changed:
            found, self._outcomes[number] = self._outcomes[number], None
        return found

    def forget(self, number: int) -> None:
        """Expect the outcome of a call no longer."""
        with self._changed:
            self._drop(self._outcomes.pop(number))

    def _read_until(self, is_there: Callable[[], bool], call: Call | None) -> None:
        with self._changed:
            while not is_there() and not self.is_over:
                left = None if call is None else call.left
                if left == 0:
                    return
                if self._is_being_read:
                    self._changed.wait(left)
                else:
                    self._read(left)

    def _read(self, seconds: float | None) -> None:
        """Read what comes, without the lock."""
        self._is_being_read = True
        self._changed.release()
        is_over = False
        try:
            is_ready = seconds is None or any(select.select([self._channel], [], [], seconds))
            is_over = is_ready and not self._channel.poll()
        except (OSError, ValueError, RtbidsError):  # and not what a signal of the script's own raises
            is_over = True
            raise
        finally:
            self._changed.acquire()
            self._is_being_read, self.is_over = False, is_over
            self._sort()
            self._changed.notify_all()

    def _sort(self) -> None:
        while (message := self._channel.receive(wait=False)) is not None:
            descriptor = self._channel.descriptor() if comes_along(message) else None
            if message["do"] != "console":
                self._messages.append((message, descriptor))
            elif message["number"] in self._outcomes:
                self._outcomes[message["number"]] = message, descriptor
            else:  # whoever asked has given up
                self._drop((message, descriptor))

    def _drop(self, arrived: Arrived | None) -> None:
        if arrived is not None and arrived[1] is not None:
            os.close(arrived[1])
