"""What became of each line that went to a place on another machine: whether it was delivered there, and when."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from rtbids.run.feedback.feedback import Destination, Row

COLUMNS = ("experiment", "volume", "status", "destination", "sent", "delivered")
AWAITED = 1.0  # seconds for which the end of a run waits to hear of its last lines


@dataclass(frozen=True)
class Delivery:
    """A line, and when it was delivered, in POSIX seconds on this machine's clock; None where it was not."""

    row: Row
    destination: str
    delivered: float | None

    @property
    def cells(self) -> list[object]:
        """What the table has of it, in the order of its columns."""
        row = self.row
        return [row["experiment"], row["volume"], row["status"], self.destination, row["sent"], self.delivered]


class Deliveries:
    """The lines of one destination, noted by its thread, asked for by the run's loop.

    Parameters
    ----------
    destination
        What the tables call it: no path and no host, which may name somebody.
    connection
        Gives what the results say of the connection.
    """

    def __init__(self, destination: str, connection: Callable[[], Mapping[str, object]] = dict) -> None:
        self.destination = destination
        self.connection = connection
        self.delivered = self.left_out = 0
        self._lock = threading.Lock()
        self._next = 0
        self._open: dict[int, Row] = {}
        self._known: list[Delivery] = []

    def hand(self, row: Row) -> int:
        """Note a line that is on its way; return its number."""
        with self._lock:
            self._next += 1
            self._open[self._next] = row
            return self._next

    def settle(self, number: int, delivered: float | None) -> None:
        """Note what became of a line."""
        with self._lock:
            if (row := self._open.pop(number, None)) is not None:
                self.delivered += delivered is not None
                self.left_out += delivered is None
                self._known.append(Delivery(row, self.destination, delivered))

    @property
    def outstanding(self) -> int:
        """How many lines it is not known of."""
        with self._lock:
            return len(self._open)

    def is_awaited(self, experiment: str, run: str, now: float) -> bool:
        """Say whether one of the latest lines of a run may be delivered any moment."""
        with self._lock:
            return any(_is_of(row, experiment, run) and now - _sent(row) < AWAITED for row in self._open.values())

    def take(self, experiment: str) -> list[Delivery]:
        """Return what is known by now of the lines of an experiment, each once."""
        with self._lock:
            found = [one for one in self._known if one.row["experiment"] == experiment]
            self._known = [one for one in self._known if one.row["experiment"] != experiment]
            return found

    def unknown(self, experiment: str, run: str) -> list[Delivery]:
        """Return the lines of a run of which nothing is known."""
        with self._lock:
            return [Delivery(row, self.destination, None) for row in self._open.values() if _is_of(row, experiment, run)]


@runtime_checkable
class Confirming(Destination, Protocol):
    """A destination that learns what became of its lines."""

    deliveries: Deliveries


def _is_of(row: Row, experiment: str, run: str) -> bool:
    return row["experiment"] == experiment and row["run"] == run


def _sent(row: Row) -> float:
    sent = row["sent"]
    return sent if isinstance(sent, float) else 0.0
