"""What a run shows of itself while it goes on. Written by the run, read by the console and by who asks for its status."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from rtbids.run.deadlines import Line, Value

SHOWN = 40
State: TypeAlias = Literal["loading", "running", "failed", "stopping"]


@dataclass
class Tally:
    """What one experiment has sent, over all runs of the command.

    Attributes
    ----------
    predicted
        How often an answer was expected to miss its due time; `expects_miss` says whether the next is.
    latency
        Seconds from the latest volume's last byte to its line.
    """

    experiment: str
    state: State = "loading"
    answers: int = 0
    alternates: int = 0
    late: int = 0
    predicted: int = 0
    expects_miss: bool = False
    restarts: int = 0
    value: Value = None
    latency: float | None = None
    values: deque[float | None] = field(default_factory=lambda: deque(maxlen=SHOWN))

    @property
    def in_time(self) -> float | None:
        """The share of volumes that were answered in time, None before the first."""
        given = self.answers + self.alternates
        return self.answers / given if given else None

    def sent(self, line: Line) -> None:
        """Count a line that has left."""
        if line.status == "late":
            self.late += 1
            return
        self.answers += line.status == "ok"
        self.alternates += line.status == "alternate"
        self.value = line.value
        if line.received is not None:
            self.latency = line.sent - line.received
        self.values.append(float(line.value) if isinstance(line.value, int | float) else None)


@dataclass
class Progress:
    """The state of the latest run; counts are over all runs of the command. `left` is of experiments that were stopped."""

    run: str = ""
    volumes: int = 0
    missing: int = 0
    paused: bool = False
    runs: list[str] = field(default_factory=list)
    tallies: list[Tally] = field(default_factory=list)
    left: list[Tally] = field(default_factory=list)

    def begin(self, run: str) -> None:
        self.run = run
        self.runs.append(run)
        for tally in self.tallies:
            tally.values.clear()
