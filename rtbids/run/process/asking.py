"""How a script's calls of ``run.console`` get from its process to the run, and what came of them back."""

from __future__ import annotations

import itertools
import os
import threading

from rtbids.errors import ConnectionLost
from rtbids.run.console.call import Call, Found
from rtbids.run.process import console_calls
from rtbids.run.process.channel import Channel
from rtbids.run.process.incoming import Incoming
from rtbids.run.process.shared import kept

MOST_AT_ONCE = 8  # calls of the script's threads


class Asking:
    """Ask over a channel, from any thread."""

    def __init__(self, channel: Channel, incoming: Incoming) -> None:
        self._channel = channel
        self._incoming = incoming
        self._numbers = itertools.count()
        self._room = threading.Semaphore(MOST_AT_ONCE)

    def ask(self, call: Call) -> Found:
        """Have a call done and wait for it.

        Raises
        ------
        TooLate
            It takes longer than until its time. A file that was to be written may yet be.
        ConnectionLost
            The run is no more, or this is a process that the script has started.
        """
        if not self._room.acquire(timeout=call.left):
            raise call.too_late
        try:
            return self._asked(call)
        finally:
            self._room.release()

    def _asked(self, call: Call) -> Found:
        if self._channel.fileno() < 0:
            raise ConnectionLost("run.console is there in the script's own process, not in those that it starts")
        number = next(self._numbers)
        self._incoming.expect(number)
        try:
            self._send(number, call)
            came = self._incoming.outcome(number, call)
        finally:
            self._incoming.forget(number)
        if came is None:
            raise ConnectionLost("the run has ended") if self._incoming.is_over else call.too_late
        return console_calls.found(*came)

    def _send(self, number: int, call: Call) -> None:
        message = console_calls.asked(number, call)
        descriptor = None if call.content is None else kept(memoryview(call.content))
        try:
            self._channel.send(message, descriptor)
        except OSError:
            raise ConnectionLost("the run has ended") from None
        finally:
            if descriptor is not None:
                os.close(descriptor)
