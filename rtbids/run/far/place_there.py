"""A seat on the machine of the scripts, and the end of the channel of its process."""

from __future__ import annotations

import socket

from rtbids.run.far.laying import Laying
from rtbids.run.far.passage import Passage
from rtbids.run.process.channel import MOST_LINE
from rtbids.run.process.launcher import Launcher, Seat


class Place:
    """One experiment's place: a process after the other, the latest of which is of the passage's number."""

    def __init__(self, launcher: Launcher) -> None:
        self._launcher = launcher
        self.seat: Seat = launcher.seat()
        self.passage = Passage(MOST_LINE)
        self.is_let_go = False
        self.laying: Laying | None = None  # of its files
        self.name = ""  # of the experiment
        self.process: int | None = None  # the latest that was loaded
        self.is_loaded = False

    def start(self, number: int) -> None:
        self.is_let_go = self.is_loaded = False
        self.stop_laying()
        self.passage.open(self._started(), number)

    def stop_laying(self) -> None:
        if self.laying is not None:
            self.laying.stop()
            self.laying = None

    def let_go(self, seconds: float) -> None:
        self.is_let_go = True
        self.seat.let_go(seconds)

    def end(self) -> None:
        self.is_let_go = False
        self.stop_laying()
        self.seat.end()
        self.passage.close()

    def close(self) -> None:
        self.stop_laying()
        self.passage.close()
        self.seat.close()

    def _started(self) -> socket.socket:
        try:
            return self.seat.start()
        except OSError:  # somebody has ended the launcher
            self.seat = self._launcher.seat()
            return self.seat.start()
