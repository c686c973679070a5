"""The launcher of scripts on another machine, with the interface of `rtbids.run.process.launcher`."""

from __future__ import annotations

import select
import socket
from collections import deque
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from rtbids.run.far.bridge import Bridge
from rtbids.run.far.manifest import Entry
from rtbids.run.far.place_here import Place
from rtbids.run.process.host import Connection, Stage
from rtbids.run.process.launcher import ENDING
from rtbids.run.resources import Resources
from rtbids.stream.link import Link
from rtbids.wakeup import Wakeup


class FarLauncher:
    """Has experiments' processes started at the other end of a link, on which `rtbids.run.far.scripts` serves.

    Parameters
    ----------
    link
        Which is closed with this object.
    stays
        Files and folders of this machine that are not copied, whichever experiment's folder they lie in.
    """

    def __init__(self, link: Link, stays: Collection[Path] = ()) -> None:
        self._bridge = Bridge(link, stays)
        self._bridge.start()
        self._seats = 0

    def seat(self) -> FarSeat:
        """Return a place for one experiment's processes."""
        self._seats += 1
        return FarSeat(self._bridge, self._seats)

    @property
    def resources(self) -> Resources | None:
        """Those of the scripts' machine, None until it has told."""
        return self._bridge.resources

    @property
    def copying(self) -> list[Entry]:
        """The files that are being copied, or were last, of scripts that are not loaded yet."""
        return self._bridge.copying

    def close(self) -> None:
        """End all that it has started."""
        self._bridge.close()


class FarSeat:
    """A place for one experiment's processes there. Nothing of it waits but `wait`."""

    def __init__(self, bridge: Bridge, seat: int) -> None:
        self._bridge = bridge
        self._farewells: deque[Mapping[str, Any]] = deque()
        self._ready = Wakeup()
        self._number = 0
        self._place = Place(seat, self._tell)

    def fileno(self) -> int:
        return self._ready.fileno()

    def start(self) -> socket.socket:
        """Start a process in place of the one before and return our end of its channel."""
        self._number += 1
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        self._bridge.start_process(self._place, self._number, theirs)
        return ours

    def let_go(self, seconds: float = ENDING) -> None:
        """Have the process end by itself within `seconds`, and by force after that; `farewell` tells."""
        self._bridge.let_go(self._place, self._number, seconds)

    def end(self) -> None:
        """End the process by force."""
        self._bridge.end(self._place, self._number)

    def farewell(self) -> Mapping[str, Any] | None:
        """Return how the process that was let go has ended: its exit ``code``, and ``why`` where that is known."""
        self._ready.clear()
        while self._farewells:
            told = self._farewells.popleft()
            if told["number"] == self._number:
                return told
        return None

    def wait(self, seconds: float) -> None:
        """Wait for the end of the process that was let go, `seconds` at the most."""
        select.select([self], [], [], seconds)

    def close(self) -> None:
        self._bridge.leave(self._place)

    def was_cut(self, since: float) -> bool:
        """Say whether what was given to the script since then (POSIX seconds) may not have come there, or not in time."""
        return self._bridge.way.was_cut(since, self._place.sent)

    @property
    def cut_since(self) -> float | None:
        """When the connection went down, None while it is up."""
        return self._bridge.way.cut_since

    def held_up(self, stage: Stage) -> float:
        """Return until when the connection is known to have kept the script from being heard, POSIX seconds."""
        return self._bridge.way.held_up(stage)

    @property
    def connection(self) -> Connection:
        return self._bridge.way.connection

    def _tell(self, farewell: Mapping[str, Any]) -> None:
        self._farewells.append(farewell)
        self._ready.set()
