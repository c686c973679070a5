"""What starts experiments' processes: on this machine (`rtbids.run.process.launcher`) or another (`rtbids.run.far.seats`)."""

from __future__ import annotations

import socket
from collections.abc import Mapping
from typing import Any, Protocol

from rtbids.run.process.host import Connection, Stage


class Seating(Protocol):
    """A place for one experiment's processes, one after another; see `rtbids.run.process.launcher.Seat`."""

    def fileno(self) -> int: ...
    def start(self) -> socket.socket: ...
    def let_go(self, seconds: float = ...) -> None: ...
    def end(self) -> None: ...
    def farewell(self) -> Mapping[str, Any] | None: ...
    def wait(self, seconds: float) -> None: ...
    def close(self) -> None: ...

    def was_cut(self, since: float) -> bool:
        """Say whether what was given to the script since then (POSIX seconds) may not have come to it, or not in time."""
        ...

    @property
    def cut_since(self) -> float | None:
        """Since when nothing can come to the script, POSIX seconds; None where all can."""
        ...

    def held_up(self, stage: Stage) -> float:
        """Return until when the way to the script is known to have kept it from being heard, POSIX seconds; 0: it has not."""
        ...

    @property
    def connection(self) -> Connection | None:
        """The way to another machine; None where there is none."""
        ...


class Starter(Protocol):
    def seat(self) -> Seating:
        """Return a place for one experiment's processes."""
        ...

    def close(self) -> None:
        """End all processes that it has started."""
        ...
