"""Why answers miss their due times again and again, and what to change: told from what was measured meanwhile."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.util import find_spec
from typing import Literal, TypeAlias

from rtbids.run.progress import Linked
from rtbids.run.resources import Resources

LOOKED_AT = 20  # lines
ENOUGH = 10  # that had a due time; fewer tell nothing
OFTEN = 0.5  # of them missed: that is no slip
SELDOM = 0.25  # fewer, and what was said is over
FULL = 0.85  # of one core: what runs in one process and waits for nothing
IDLE = 0.5
QUICK = 0.5  # of the deadline
CROWDED = 1.25  # threads that want to run, for each core
SHORT = 0.05  # of the memory
SWAPS = 10e6  # bytes a second
BEHIND = 8  # volumes that wait for the disk
Cause: TypeAlias = Literal["link", "memory", "disk", "script", "load", "waiting", "late", "unknown"]


@dataclass(frozen=True)
class Lag:
    """What is known of an experiment whose answers miss their due times.

    Attributes
    ----------
    missed, had_due
        Of the latest lines.
    usual, usual_analysis
        Seconds a volume, and how many of them the analysis takes before the script is asked.
    unwritten
        Volumes that wait for the disk.
    resources
        Of the machine that the script runs on.
    held_up
        Of those missed: how many as the connection to that machine was too slow for them.
    link
        The connection, None where the script runs here.
    usual_crossing
        Seconds that a volume and its answer take to the script and back.
    """

    experiment: str
    missed: int
    had_due: int
    deadline: float | None
    usual: float | None
    usual_analysis: float | None
    unwritten: int
    resources: Resources
    held_up: int = 0
    link: Linked | None = None
    usual_crossing: float | None = None

    @property
    def is_often(self) -> bool:
        return self.had_due >= ENOUGH and self.missed >= OFTEN * self.had_due

    @property
    def is_over(self) -> bool:
        return self.missed < SELDOM * max(1, self.had_due)

    @property
    def is_quick(self) -> bool:
        """Whether the script takes so little of the deadline that what misses it has come too late."""
        return self.usual is not None and self.deadline is not None and self.usual < QUICK * self.deadline

    @property
    def used(self) -> float | None:
        """Cores that the script's process keeps busy."""
        return self.resources.scripts.get(self.experiment)

    @property
    def machine(self) -> str:
        return "the machine" if self.link is None else self.link.place


def cause(lag: Lag) -> Cause:
    """Return what most likely makes it slow: what would make everything slow comes first."""
    there, used = lag.resources, lag.used
    if lag.held_up > lag.missed / 2 or _is_crossing(lag):
        return "link"
    is_short = there.memory and there.memory_free is not None and there.memory_free < SHORT * there.memory
    if is_short or (there.swapped or 0.0) > SWAPS:
        return "memory"
    if lag.unwritten >= BEHIND:
        return "disk"
    if used is not None and used >= FULL:
        return "script"
    if lag.is_quick:
        return "late"
    if there.load is not None and there.load > CROWDED * there.cores:
        return "load"
    if used is None:
        return "unknown"
    return "waiting" if used < IDLE else "script"


def advice(lag: Lag) -> str:
    """Return one sentence: what was seen, and what to change."""
    limit = "" if lag.deadline is None else f" of {lag.deadline:.3g} s"
    seen = f"{lag.missed} of the latest {lag.had_due} answers missed the deadline{limit}"
    return f"{seen}: {_SENTENCES[cause(lag)](lag)}"


def _link(lag: Lag) -> str:
    return (
        f"the connection to {lag.machine} is too slow for volumes of this size; "
        "scan fewer voxels, give it a longer --deadline or a faster connection, or run the script here"
    )


def _memory(lag: Lag) -> str:
    there = lag.resources
    free = "" if there.memory_free is None else f" ({_size(there.memory_free)} of {_size(there.memory or 0)} free)"
    return f"{lag.machine} is short of memory{free}; end what else runs, or give it more memory"


def _disk(lag: Lag) -> str:
    return f"the disk is behind, {lag.unwritten} volumes wait to be written; put the data set on a local disk"


def _script(lag: Lag) -> str:
    used, took = lag.used or 0.0, "" if lag.usual is None else f" takes {lag.usual:.3g} s for a volume and"
    more = "more cores do not help one process" if used < 1.5 else f"it keeps {used:.1f} of {lag.resources.cores:g} cores busy"
    return (
        f"{_slow_part(lag)}{took} keeps a core busy ({100 * used:.0f} %); {more}: {_less(lag)}, or give it a longer --deadline"
    )


def _load(lag: Lag) -> str:
    there = lag.resources
    return (
        f"{lag.machine} has more to do (load {there.load:.1f}) than its {there.cores:g} cores can; "
        "end what else runs, or give it more cores"
    )


def _waiting(lag: Lag) -> str:
    return (
        f"the script waits more than it works ({100 * (lag.used or 0.0):.0f} % of a core); see what feedback() waits for "
        "(a file, the network, a sleep), or give it a longer --deadline"
    )


def _late(lag: Lag) -> str:
    return (
        f"the script takes {lag.usual:.3g} s, and volumes come here too late for that; see what holds them up (the scanner's "
        "export, a slow connection: scan fewer voxels), or give it a longer --deadline"
    )


def _unknown(lag: Lag) -> str:
    return f"{_less(lag)}, or give it a longer --deadline"


_SENTENCES = {
    "link": _link,
    "memory": _memory,
    "disk": _disk,
    "script": _script,
    "load": _load,
    "waiting": _waiting,
    "late": _late,
    "unknown": _unknown,
}


def _slow_part(lag: Lag) -> str:
    return "the analysis" if _is_analysis(lag) else "the script"


def _is_analysis(lag: Lag) -> bool:
    return lag.usual is not None and lag.usual_analysis is not None and lag.usual_analysis > lag.usual / 2


def _is_crossing(lag: Lag) -> bool:
    """Whether a volume is on its way to another machine and back for longer than it is there."""
    if lag.link is None or lag.usual is None or lag.usual_crossing is None:
        return False
    return lag.usual_crossing > lag.usual / 2


def _less(lag: Lag) -> str:
    if not _is_analysis(lag):
        return "do less in feedback()"
    faster = "" if find_spec("numba") else " or install rtbids[fast]"
    return f"ask for less preprocessing (analysis in its config){faster}"


def _size(count: float) -> str:
    return f"{count / 1e9:.1f} GB"
