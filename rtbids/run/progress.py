"""What a run shows of itself while it goes on."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

from rtbids.run.deadlines import Line, Value

SHOWN = 40


@dataclass
class Progress:
    """The state of the latest run; counts are over all runs of the command. Written by the run, read by the console."""

    run: str = ""
    volumes: int = 0
    missing: int = 0
    answers: int = 0
    alternates: int = 0
    late: int = 0
    value: Value = None
    latency: float | None = None
    runs: list[str] = field(default_factory=list)
    values: deque[float | None] = field(default_factory=lambda: deque(maxlen=SHOWN))

    def begin(self, run: str) -> None:
        self.run = run
        self.runs.append(run)
        self.values.clear()

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
