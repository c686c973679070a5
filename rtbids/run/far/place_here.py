"""A seat on another machine as the run sees it, and the end of the channel that the run speaks to."""

from __future__ import annotations

import socket
from collections.abc import Callable, Mapping
from typing import Any

from rtbids.errors import RtbidsError
from rtbids.run.far import members
from rtbids.run.far.announcing import Announcing
from rtbids.run.far.passage import Passage
from rtbids.run.process.channel import encoded
from rtbids.run.process.host import Lost

Tell = Callable[[Mapping[str, Any]], None]


class Place:
    """A seat as the run's end of the bridge sees it. `tell` is called, from its thread, with how a process has ended."""

    def __init__(self, seat: int, tell: Tell) -> None:
        self.seat = seat
        self.tell = tell
        self.passage = Passage()
        self.announcing: Announcing | None = None  # of the files that its script needs, until that is loaded
        self.is_loaded = False
        self.lost = 0  # how often the far side was before that
        self.sent: tuple[int, float] | None = None  # number of the latest member, and when (POSIX seconds)

    def begin(self, number: int, end: socket.socket) -> None:
        """Begin with the next process; `end` is the one of its channel."""
        self.stop_announcing()
        self.is_loaded, self.lost = False, 0
        self.passage.open(end, number)

    def stop_announcing(self) -> None:
        if self.announcing is not None:
            self.announcing.stop()
            self.announcing = None

    def hang_up(self, why: str, lost: Lost | None = None) -> None:
        """Tell the run that the process is no more, or that its machine is lost."""
        if self.passage.number:
            self.passage.leave()
            self.tell({"number": self.passage.number, "code": None, "why": why, "lost": lost})

    def fail(self, error: RtbidsError) -> None:
        """Have the run think that the script cannot be loaded."""
        self.passage.deliver(encoded(members.fault(error)))
