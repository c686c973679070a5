"""The launcher's own process: ``python -m rtbids.run.process.launching DESCRIPTOR``, started by `rtbids.run.process.launcher`.

It starts the experiments' processes, ends them, and says how they ended, and nothing else, so that whoever asks never waits.
What a script has started in its turn ends with the script: each process is the first of a session of its own.
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

from rtbids.run.process.channel import Channel, Message
from rtbids.wakeup import Wakeup

_PR_SET_PDEATHSIG = 1
_LOOK = 0.01  # seconds between two looks whether they have
GRACE = 0.5  # seconds that what a script has started may take to end after it
_WORKER = (sys.executable, "-P", "-m", "rtbids.run.process.worker")  # -P: nothing in the working directory is a module


def leave_the_terminal_to_the_run() -> None:
    """Leave Ctrl-C and a closed terminal to the run."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)


def live_and_die_with_the_launcher() -> None:
    """Leave the terminal to the run, and end when the launcher is killed."""
    leave_the_terminal_to_the_run()
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


class Group:
    """A process that is to be no more, and what it has started: that is asked to end, and made to after a while.

    To be rid of one that holds much memory may take long, and nobody waits for it.
    """

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        process.kill()
        self._process = process
        self._signal(signal.SIGTERM)
        self.until: float | None = time.monotonic() + GRACE  # None: nothing more is to be done

    @property
    def is_over(self) -> bool:
        """Whether nobody is left."""
        is_gone = self._process.poll() is not None
        if self.until is not None and time.monotonic() >= self.until:
            self._signal(signal.SIGKILL)
            self.until = None
        return is_gone and (self.until is None or not self._signal(0))

    def _signal(self, what: int) -> bool:
        """Send a signal; say whether there was anybody to get it."""
        try:
            os.killpg(self._process.pid, what)
        except (ProcessLookupError, PermissionError):  # the latter of the dead, on macOS
            return False
        return True


class Seat:
    """What is started for one experiment, one process at a time; it says how the one that it was told to let go ended."""

    def __init__(self, channel: Channel) -> None:
        self.channel = channel
        self._number = 0
        self._process: subprocess.Popen[bytes] | None = None
        self.groups: list[Group] = []
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
        self.groups = [group for group in self.groups if not group.is_over]
        if self._process is None or self.patience is None:
            return
        code = self._process.poll()
        if code is None and time.monotonic() < self.patience:
            return
        self.end()
        with suppress(OSError):  # nobody listens any more
            self.channel.send({"number": self._number, "code": code})

    def end(self) -> None:
        """End the process by force, and what it has started."""
        if self._process is not None:
            self.groups.append(Group(self._process))
        self._process = self.patience = None

    def _start(self, number: int, descriptor: int) -> None:
        self.end()
        self._number = number
        try:
            self._process = subprocess.Popen(
                [*_WORKER, str(descriptor)], pass_fds=[descriptor], stdin=subprocess.DEVNULL, start_new_session=True
            )
        finally:
            os.close(descriptor)


class Launching:
    """Serve the run at `channel`: each descriptor that comes is a seat's."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel
        self._seats: list[Seat] = []
        self._left: list[Group] = []  # of seats that are no more
        self._child = Wakeup()
        signal.signal(signal.SIGCHLD, lambda number, frame: self._child.set())

    def serve(self) -> None:
        """Serve until the run is gone; then nobody is left."""
        try:
            while self._step():
                pass
        finally:
            for seat in list(self._seats):
                self._clear(seat)
            while any(not group.is_over and group.until is not None for group in self._left):
                time.sleep(_LOOK)

    def _step(self) -> bool:
        self._left = [group for group in self._left if not group.is_over]
        moment = self._next_moment()
        timeout = None if moment is None else max(0.0, moment - time.monotonic())
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

    def _next_moment(self) -> float | None:
        groups = [*self._left, *(group for seat in self._seats for group in seat.groups)]
        moments = [*(seat.patience for seat in self._seats), *(group.until for group in groups)]
        return min((moment for moment in moments if moment is not None), default=None)

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
            self._clear(seat)

    def _clear(self, seat: Seat) -> None:
        seat.end()
        seat.channel.close()
        self._seats.remove(seat)
        self._left += seat.groups


if __name__ == "__main__":
    leave_the_terminal_to_the_run()
    Launching(Channel(socket.socket(fileno=int(sys.argv[1])))).serve()
