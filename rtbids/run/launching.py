"""The launcher's own process: ``python -m rtbids.run.launching DESCRIPTOR``, started by `rtbids.run.launcher`.

It starts the experiments' processes, ends them, and says how they ended, and nothing else, so that whoever asks never waits.
"""

from __future__ import annotations

import ctypes
import os
import select
import signal
import socket
import subprocess
import sys
import time
from contextlib import suppress
from typing import Any

from rtbids.run.channel import Channel, Message
from rtbids.wakeup import Wakeup

_PR_SET_PDEATHSIG = 1
_WORKER = (sys.executable, "-P", "-m", "rtbids.run.worker")  # -P: nothing in the working directory is taken for a module


def live_and_die_with_the_run() -> None:
    """Leave Ctrl-C and a closed terminal to the run, and end when it is killed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


class Seat:
    """What is started for one experiment, one process at a time; it says how the one that it was told to let go ended."""

    def __init__(self, channel: Channel) -> None:
        self.channel = channel
        self._number = 0
        self._process: subprocess.Popen[bytes] | None = None
        self._ended: list[subprocess.Popen[bytes]] = []  # by force, and not gone yet
        self.patience: float | None = None  # until when a process that was let go may live, monotonic seconds

    def take(self, message: Message) -> None:
        match message["do"]:
            case "start":
                self._start(message["number"], self.channel.descriptor())
            case "let go" if message["number"] == self._number:
                self.patience = time.monotonic() + message["seconds"]
            case "end":
                self.end()

    def look_after(self) -> None:
        """Tell of a process that was let go and has ended; end one that does not."""
        self._ended = [process for process in self._ended if process.poll() is None]
        if self._process is None or self.patience is None:
            return
        code = self._process.poll()
        if code is None and time.monotonic() < self.patience:
            return
        self.end()
        with suppress(OSError):  # nobody listens any more
            self.channel.send({"number": self._number, "code": code})

    def end(self) -> None:
        """End the process by force. To be rid of one that holds much memory may take long, and nobody waits for it."""
        if self._process is not None:
            self._process.kill()
            self._ended.append(self._process)
        self._process = self.patience = None

    def _start(self, number: int, descriptor: int) -> None:
        self.end()
        self._number = number
        try:
            self._process = subprocess.Popen([*_WORKER, str(descriptor)], pass_fds=[descriptor], stdin=subprocess.DEVNULL)
        finally:
            os.close(descriptor)


class Launching:
    """Serve the run at `channel`: each descriptor that comes is a seat's."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel
        self._seats: list[Seat] = []
        self._child = Wakeup()
        signal.signal(signal.SIGCHLD, lambda number, frame: self._child.set())

    def serve(self) -> None:
        """Serve until the run is gone; then nobody is left."""
        try:
            while self._step():
                pass
        finally:
            for seat in self._seats:
                seat.end()

    def _step(self) -> bool:
        moments = [seat.patience for seat in self._seats if seat.patience is not None]
        timeout = max(0.0, min(moments) - time.monotonic()) if moments else None
        readers: list[Any] = [self._channel, self._child, *(seat.channel for seat in self._seats)]
        ready, _, _ = select.select(readers, [], [], timeout)
        if self._child in ready:
            self._child.clear()
        if self._channel in ready and not self._greet():
            return False
        for seat in list(self._seats):
            if seat.channel in ready:
                self._hear(seat)
            seat.look_after()
        return True

    def _greet(self) -> bool:
        """Make room for those who come; say whether the run is still there."""
        is_there = self._channel.poll()
        while self._channel.receive(wait=False) is not None:
            self._seats.append(Seat(Channel(socket.socket(fileno=self._channel.descriptor()))))
        return is_there

    def _hear(self, seat: Seat) -> None:
        is_there = seat.channel.poll()
        while (message := seat.channel.receive(wait=False)) is not None:
            seat.take(message)
        if not is_there:
            seat.end()
            seat.channel.close()
            self._seats.remove(seat)


if __name__ == "__main__":
    live_and_die_with_the_run()
    Launching(Channel(socket.socket(fileno=int(sys.argv[1])))).serve()
