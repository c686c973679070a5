"""What a run shows of itself while it goes on. Written by the run, read by the console and by who asks for its status."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from rtbids.run.deadlines import Line, Value
from rtbids.run.recent import Recent, Why
from rtbids.run.record.derived_tables import Measure, Measures
from rtbids.run.resources import Resources

SHOWN = 40
WARNED = 5
State: TypeAlias = Literal["loading", "running", "failed", "stopping"]


@dataclass
class Tally:
    """What one experiment has sent, over all runs of the command.

    Attributes
    ----------
    predicted
        How often an answer was expected to miss its due time; `expects_miss` says whether the next is.
    latency
        Seconds from the latest volume's last byte to its line; `is_due` says whether that has a limit. Without one volumes
        come before their turn, and most of it is waiting.
    displacement, dvars, tsnr
        How far the head moved at the latest volume (mm, Power), how much the signal changed (percent), and the signal-to-noise
        ratio so far, where they are worked out; `spikes` counts the volumes that are any.
    good_minutes, minutes_to_criterion
        Good data of the run so far, and how long it would take until there are enough.
    reasons
        How many alternates there were of each reason; those sent while feedback was paused are ``paused``.
    advice
        What to change where answers miss their due times again and again.
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
    is_due: bool = False
    values: deque[float | None] = field(default_factory=lambda: deque(maxlen=SHOWN))
    displacement: float | None = None
    dvars: float | None = None
    tsnr: float | None = None
    spikes: int = 0
    good_minutes: float | None = None
    minutes_to_criterion: float | None = None
    reasons: Counter[Why] = field(default_factory=Counter)
    recent: Recent = field(default_factory=Recent)
    advice: str | None = None

    @property
    def in_time(self) -> float | None:
        """The share of volumes that were answered in time, None before the first."""
        given = self.answers + self.alternates
        return self.answers / given if given else None

    def measured(self, measures: Measures) -> None:
        """Take what the analysis found in the latest volume."""
        motion, quality = measures.get("motion", {}), measures.get("quality", {})
        self.displacement = _number(motion.get("framewise_displacement"))
        self.recent.moved(self.displacement)
        self.dvars, self.tsnr = _number(quality.get("dvars")), _number(quality.get("tsnr"))
        self.good_minutes = _number(quality.get("good_minutes"))
        self.minutes_to_criterion = _number(quality.get("minutes_to_criterion"))
        self.spikes += quality.get("spike", "none") != "none"

    def sent(self, line: Line, *, withheld: bool = False) -> None:
        """Count a line that has left; `withheld` where nobody was asked, as feedback was paused."""
        if line.status == "late":
            self.late += 1
            return
        reason: Why | None = "paused" if withheld else line.reason
        if reason is not None:
            self.reasons[reason] += 1
        self.recent.sent(line, reason)
        self.answers += line.status == "ok"
        self.alternates += line.status == "alternate"
        self.value, self.is_due = line.value, line.due is not None
        if line.received is not None:
            self.latency = line.sent - line.received
        self.values.append(float(line.value) if isinstance(line.value, int | float) else None)


@dataclass(frozen=True)
class Warned:
    """A warning, and when it came, POSIX seconds."""

    time: float
    message: str


@dataclass(frozen=True)
class Linked:
    """How the connection to another machine stands.

    Attributes
    ----------
    place
        What it is with.
    since
        POSIX seconds, of the latest change of `is_up`.
    cuts
        How often it was cut.
    waiting_members, waiting_bytes
        What is not safe at the other side yet.
    dropped
        Members that were given up because the spool was full.
    round_trip, offset, uncertainty
        Seconds: there and back, how far the other clock is ahead, and how well that is known.
    resources
        Those of the other machine.
    """

    place: str
    is_up: bool
    since: float
    cuts: int = 0
    waiting_members: int = 0
    waiting_bytes: int = 0
    dropped: int = 0
    round_trip: float | None = None
    offset: float | None = None
    uncertainty: float | None = None
    resources: Resources | None = None

    def was_cut(self, since: float) -> bool:
        """Say whether what left one side at `since`, POSIX seconds, may have come late for want of the connection."""
        return self.cuts > 0 and (not self.is_up or self.since > since)


@dataclass
class Progress:
    """The state of the latest run; counts are over all runs of the command.

    Attributes
    ----------
    left
        Of experiments that were stopped.
    warnings, warned
        The latest, and how many there were.
    resources
        Those of this machine, None until it was looked at.
    link
        To another machine, where there is one.
    design
        The conditions that the latest volumes were in, by their indices; empty where the run has no events.
    """

    run: str = ""
    volumes: int = 0
    missing: int = 0
    paused: bool = False
    runs: list[str] = field(default_factory=list)
    tallies: list[Tally] = field(default_factory=list)
    left: list[Tally] = field(default_factory=list)
    warnings: deque[Warned] = field(default_factory=lambda: deque(maxlen=WARNED))
    warned: int = 0
    resources: Resources | None = None
    link: Linked | None = None
    design: Mapping[int, str | None] = field(default_factory=dict)

    def warn(self, time: float, message: str) -> None:
        self.warned += 1
        self.warnings.append(Warned(time, message))

    def begin(self, run: str) -> None:
        self.run = run
        self.runs.append(run)
        for tally in self.tallies:
            tally.values.clear()
            tally.recent.clear()


def _number(value: Measure) -> float | None:
    return value if isinstance(value, float) else None
