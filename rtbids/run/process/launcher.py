"""Starting the experiments' processes without standing still: a process of its own does it (`rtbids.run.process.launching`).

A fork holds the interpreter, all threads of it, until the child runs. On a busy machine that was up to 0.4 s, in which no
alternate left.
"""

from __future__ import annotations

import errno
import select
import socket
import subprocess
import sys
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from rtbids.errors import ExperimentFault
from rtbids.run.process.channel import Channel
from rtbids.run.process.host import Connection, Stage

ENDING = 0.05  # seconds that a process may take to end after it has closed its channel


class Launcher:
    """The run's end of the launcher, which is started here, where nothing is due yet.

    `output` is a descriptor for what its processes print, by default standard error.
    """

    def __init__(self, output: int | None = None) -> None:
        self._output = output
        self._start()

    def seat(self) -> Seat:
        """Return a place for one experiment's processes."""
        ours, theirs = socket.socketpair()
        with theirs:
            try:
                self._pass(theirs)
            except OSError:  # somebody ended it: that costs time, once
                self._start()
                self._pass(theirs)
        return Seat(ours)

    def close(self) -> None:
        """End it, and with it all processes that it has started, and all that these have."""
        self._end.close()
        self._process.wait()

    def _start(self) -> None:
        self._end, theirs = socket.socketpair()
        command = [sys.executable, "-P", "-m", "rtbids.run.process.launching", str(theirs.fileno())]
        with theirs:  # a session of its own: what ends the run from the terminal leaves it the time to end the others
            try:
                self._process = subprocess.Popen(
                    command,
                    pass_fds=[theirs.fileno()],
                    stdin=subprocess.DEVNULL,
                    stderr=self._output,
                    start_new_session=True,
                )
            except OSError as error:
                raise _not_started(error) from error

    def _pass(self, theirs: socket.socket) -> None:
        Channel(self._end).send({"do": "seat"}, theirs.fileno())


class Seat:
    """A place for one experiment's processes, one after another. Nothing of it waits but `wait`.

    `fileno` is readable once `farewell` has something to say.
    """

    cut_since: float | None = None  # nothing stands between us and the script
    connection: Connection | None = None

    def __init__(self, end: socket.socket) -> None:
        end.setblocking(False)
        self._channel = Channel(end)
        self._number = 0

    def fileno(self) -> int:
        return self._channel.fileno()

    def start(self) -> socket.socket:
        """Start a process in place of the one before and return our end of its channel.

        Raises
        ------
        OSError
            The launcher is gone.
        """
        self._number += 1
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        with theirs:
            self._channel.send({"do": "start", "number": self._number}, theirs.fileno())
        return ours

    def let_go(self, seconds: float = ENDING) -> None:
        """Have the process end by itself within `seconds`, and by force after that; `farewell` tells."""
        self._tell({"do": "let go", "number": self._number, "seconds": seconds})

    def end(self) -> None:
        """End the process by force."""
        self._tell({"do": "end"})

    def farewell(self) -> Mapping[str, Any] | None:
        """Return how the process that was let go has ended: its exit ``code``, None where it was forced. None: not yet."""
        try:
            is_there = self._channel.poll()
        except OSError:
            is_there = False
        while (message := self._channel.receive(wait=False)) is not None:
            if message["number"] == self._number:
                return message
        return None if is_there else {"code": None}

    def wait(self, seconds: float) -> None:
        """Wait for the end of the process that was let go, `seconds` at the most."""
        select.select([self], [], [], seconds)

    def close(self) -> None:
        self._channel.close()

    def was_cut(self, since: float) -> bool:
        return False

    def held_up(self, stage: Stage) -> float:
        return 0.0

    def _tell(self, message: Mapping[str, Any]) -> None:
        with suppress(OSError):  # the launcher is gone, and so is all that it had started
            self._channel.send(message)


def _not_started(error: OSError) -> ExperimentFault:
    hint = "who runs rtbids must be allowed to run the Python that it is installed in" if error.errno == errno.EACCES else None
    return ExperimentFault(f"no process can be started for experiments: {sys.executable}: {error.strerror or error}", hint)
