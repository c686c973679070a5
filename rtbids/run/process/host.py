"""The run's end of an experiment: what it is given and what it replies, be it in a process of its own or in the run's.

`offer` a volume, `tell` what has left, `end` a run; wait for `fileno`, take the `replies`. Nothing of it waits.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Literal, Protocol, TypeAlias

from rtbids.errors import RtbidsError
from rtbids.run.deadlines import Reason, Value
from rtbids.run.past.sent import Sent
from rtbids.run.process.shared import Shared
from rtbids.run.record.derived_tables import Measures
from rtbids.run.record.statistical_maps import StatMap
from rtbids.run.responses.responses import Response
from rtbids.volume import Entities
from rtbids.wakeup import Wakeup

Stage: TypeAlias = Literal["starting", "loading", "feedback", "response", "end"]
Lost: TypeAlias = Literal["anew", "for good"]


@dataclass(frozen=True)
class Past:
    """A volume that is to be read back when its turn comes: for the analysis alone, or to `ask` for its feedback too."""

    entities: Entities
    index: int
    ask: bool = False


@dataclass(frozen=True)
class Heard:
    """A response that the script is given when its turn comes: for its memory alone, or to `ask` its ``response`` too."""

    entities: Entities
    response: Response
    ask: bool = True


@dataclass(frozen=True)
class Connection:
    """The way to a script's machine: how often it was cut, and seconds there and back, and to which the clock is known."""

    cuts: int
    round_trip: float | None
    uncertainty: float | None

    def told_since(self, before: Connection) -> Mapping[str, object]:
        """Return what the results of a run say of it; a clock that is not known is null."""
        cuts = self.cuts - before.cuts
        return {"Connection": {"Cuts": cuts, "RoundTrip": self.round_trip, "ClockUncertainty": self.uncertainty}}


@dataclass(frozen=True)
class Loaded:
    """The script is there."""


@dataclass(frozen=True)
class Answer:
    """The script answered, or did not where `error` is not None, for that `reason`. Times in POSIX seconds."""

    entities: Entities
    volume: int
    value: Value = None
    given: float | None = None
    came: float | None = None  # to the script
    analysed: float | None = None
    answered: float | None = None
    error: str | None = None
    reason: Reason = "error"


@dataclass(frozen=True)
class Measured:
    """What the analysis found in a volume, whether or not the script was asked for its feedback."""

    entities: Entities
    volume: int
    measures: Measures


@dataclass(frozen=True)
class Mapped:
    """A map of a run that is about to end."""

    entities: Entities
    found: StatMap


@dataclass(frozen=True)
class Alternate:
    """The script set its alternate."""

    entities: Entities
    value: Value


@dataclass(frozen=True)
class Complaint:
    """What ``response(event, run)`` raised."""

    entities: Entities
    error: str


@dataclass(frozen=True)
class Ended:
    """The script has ended a run; `error` is what ``end(run)`` raised, `broken_off` why it did not return."""

    entities: Entities
    error: str | None = None
    broken_off: str | None = None


@dataclass(frozen=True)
class Faulted:
    """The script cannot be loaded, or failed at ``start``."""

    error: RtbidsError


@dataclass(frozen=True)
class Gone:
    """The experiment's process is no more: of itself, or as its machine was lost; that begins anew, or is lost for good."""

    why: str
    lost: Lost | None = None


IsOverdue: TypeAlias = Callable[[Entities, int], bool]
Recall: TypeAlias = Callable[[Entities, int], Shared | None]
Reply: TypeAlias = Loaded | Answer | Measured | Mapped | Alternate | Complaint | Ended | Faulted | Gone


class Host(Protocol):
    """An experiment as the run sees it."""

    def fileno(self) -> int: ...
    def offer(self, shared: Shared) -> None: ...
    def respond(self, entities: Entities, response: Response) -> None: ...
    def catch_up(self, past: Iterable[Past | Heard]) -> None: ...
    def end(self, entities: Entities) -> None: ...
    def tell(self, entities: Entities, sent: Sent) -> None: ...
    def replies(self) -> list[Reply]: ...
    def flush(self) -> None: ...

    @property
    def fetched(self) -> Wakeup:
        """Set when `replies` has to be called as something that the script asked for at the console is there."""
        ...

    @property
    def at_console(self) -> Mapping[str, int]:
        """How many files at the console the script has read and written, and how many calls were refused."""
        ...

    def wait_until_loaded(self) -> None:
        """Return when the script is loaded; raise what keeps it from that."""
        ...

    def restart(self, why: str) -> list[Reply]:
        """End the script where it still runs and start it again, with the analysis of what it had seen."""
        ...

    def give_up(self, why: str) -> list[Reply]:
        """End the script; what comes is remembered for a `restart`."""
        ...

    def close(self) -> None:
        """End the script for good; this may take a second."""
        ...

    @property
    def is_here(self) -> bool:
        """Whether the script runs in the run's own process, so that nothing can be on time."""
        ...

    @property
    def is_over(self) -> bool:
        """Whether the script has been given up."""
        ...

    @property
    def is_behind(self) -> bool:
        """Whether something is still to be sent to the script, for which `flush` is to be called when `fileno` takes it."""
        ...

    @property
    def backlog(self) -> int:
        """How many volumes wait for the script."""
        ...

    @property
    def is_full(self) -> bool:
        """Whether as much waits as may, so that the source is to be held."""
        ...

    @property
    def stage(self) -> Stage | None:
        """What the script is at; None where it is free. ``starting``: its process is to have its files and its first line;
        ``loading``: its import, or the beginning of a run.
        """
        ...

    @property
    def silent_since(self) -> float | None:
        """Since when the script has been at it, POSIX seconds."""
        ...

    @property
    def cut_since(self) -> float | None:
        """Since when nothing can come to the script, as the connection to its machine is down; None where all can."""
        ...

    @property
    def connection(self) -> Connection | None:
        """The way to the script's machine; None where it is this one."""
        ...

    def was_cut(self, since: float) -> bool:
        """Say whether what it was given since then (POSIX seconds) may not have come to the script in time for that reason."""
        ...

    @property
    def process(self) -> int | None:
        """The number of the process that the script runs in, None until it is there, or where it is on another machine."""
        ...
