"""The promise that feedback keeps: one line for every volume, in order, at its due time at the latest.

A pure machine: what happened and when go in, the lines to send come out. Nothing here waits, and nothing reads a clock.

======================  ==========================================================================
what happens            what leaves
======================  ==========================================================================
answered before due     ``ok``, and an alternate for every earlier volume that was passed over
failed                  ``alternate``, reason ``error``, at once
due, no answer yet      ``alternate``, reason ``deadline``, or ``link`` where the connection was cut
the volume never came   ``alternate``, reason ``missing``, when it is known and its turn has come
one behind it is due    the same, though the volume may come: then its answer is ``late``
withheld                ``alternate``, value null, reason ``deadline``, when its turn has come
answered after due      one more line, ``late``
======================  ==========================================================================
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal, TypeAlias

Value: TypeAlias = float | int | Mapping[str, object] | None
Policy: TypeAlias = Literal["last", "none"] | float
Reason: TypeAlias = Literal["deadline", "error", "missing", "link"]
WasCut: TypeAlias = Callable[[float], bool]


@dataclass(frozen=True)
class Line:
    """One line of feedback; times in POSIX seconds, `received` and `due` None where there is none."""

    volume: int
    value: Value
    status: Literal["ok", "alternate", "late"]
    reason: Reason | None
    received: float | None
    due: float | None
    sent: float


@dataclass
class _Waiting:
    received: float | None
    due: float | None
    reason: Reason | None = None  # set once it is settled that an alternate goes out
    withheld: bool = False
    gives_way: bool = False

    def lapse(self, was_cut: WasCut) -> None:
        """Settle that it has no answer in time."""
        if self.reason is None and self.received is not None:
            self.reason = "link" if was_cut(self.received) else "deadline"
        self.reason = self.reason or "missing"


class Deadlines:
    """Decide what leaves when, for one experiment and one run.

    Parameters
    ----------
    policy
        What an alternate is: the ``last`` value sent, ``none`` (null) or a number. `hand_over` replaces it.
    was_cut
        Says whether a volume that was received at a moment may have come to the script too late for want of a connection.
    """

    def __init__(self, policy: Policy = "last", was_cut: WasCut = lambda since: False) -> None:
        self._policy = policy
        self._was_cut = was_cut
        self._last: Value = None
        self._handed: tuple[Value] | None = None
        self._waiting: dict[int, _Waiting] = {}
        self._missed: dict[int, _Waiting] = {}
        self._known = -1  # the highest index that was heard of
        self._left = -1  # the highest index that has a line

    @property
    def outstanding(self) -> tuple[int, ...]:
        """The volumes that have no line yet, in order."""
        return tuple(self._waiting)

    @property
    def next_due(self) -> float | None:
        """When `tick` must be called next."""
        return min((w.due for w in self._waiting.values() if w.due is not None and w.reason is None), default=None)

    @property
    def latest_due(self) -> float | None:
        """When the last of the lines that are outstanding is due, as far as they are."""
        return max((w.due for w in self._waiting.values() if w.due is not None), default=None)

    def is_due(self, index: int, now: float) -> bool:
        """Say whether a volume that has no line yet has to have one by `now`."""
        waiting = self._waiting.get(index)
        return waiting is not None and waiting.due is not None and waiting.due <= now

    def arrived(self, index: int, received: float, due: float | None, *, gives_way: bool = False) -> None:
        """Note that a volume is here: its line is due at `due`; None waits for the answer.

        One that `gives_way` did not come at the scanner's pace: its line is due when that of one behind it is that does.
        """
        self._known = max(self._known, index)
        if due is not None and not gives_way:
            self._hurry(index, due)
        if index <= self._left:
            self._missed[index] = _Waiting(received, due)
        elif (expected := self._waiting.get(index)) is not None:
            dues = [moment for moment in (expected.due, due) if moment is not None]
            expected.received, expected.due = received, min(dues, default=None)
        else:
            self._waiting[index] = _Waiting(received, due, gives_way=gives_way)

    def expect(self, index: int, received: float, due: float) -> None:
        """Note that a volume is here which waits for others before it: no line of theirs may hold up its own."""
        for earlier in range(self._known + 1, index):
            self._waiting[earlier] = _Waiting(None, due)
        if index > self._known:
            self._waiting[index] = _Waiting(received, due)
            self._known = index

    def is_overdue(self, index: int) -> bool:
        """Say whether the line of a volume has left without the script."""
        return index not in self._waiting

    def missing(self, index: int, now: float) -> list[Line]:
        """Note that a volume will never come."""
        self._known = max(self._known, index)
        if index > self._left:
            self._waiting[index] = _Waiting(None, None, "missing")
        return self._drain(now)

    def withheld(self, index: int, now: float) -> list[Line]:
        """Note that nobody is to be asked about a volume: feedback is paused."""
        if (waiting := self._waiting.get(index)) is not None:
            waiting.reason, waiting.withheld = waiting.reason or "deadline", True
        return self._drain(now)

    def hand_over(self, value: Value) -> None:
        """Take the alternate that the script has set, in place of the policy's."""
        self._handed = (value,)

    def answered(self, index: int, value: Value, now: float, came: float | None = None) -> list[Line]:
        """Take the script's answer, which came at `came` (by default now) and may leave now."""
        waiting = self._waiting.get(index)
        if waiting is None:
            return self._late(index, value, now)
        if waiting.due is not None and (now if came is None else came) > waiting.due:
            lines = self.tick(now)
        else:
            lines = self._pass_over(index, now)
        if waiting.reason is not None:
            return lines + self._late(index, value, now)
        del self._waiting[index]
        self._last, self._left = value, index
        lines.append(Line(index, value, "ok", None, waiting.received, waiting.due, now))
        return lines + self._drain(now)

    def failed(self, index: int, now: float, reason: Reason = "error") -> list[Line]:
        """Note that the script raised, or ended, on this volume, or that nobody can ask it."""
        self._missed.pop(index, None)
        waiting = self._waiting.get(index)
        lines = self._pass_over(index, now)
        if waiting is not None:
            waiting.reason = waiting.reason or reason
        return lines + self._drain(now)

    def tick(self, now: float) -> list[Line]:
        """Let the time be `now`."""
        for waiting in self._waiting.values():
            if waiting.due is not None and waiting.due <= now:
                waiting.lapse(self._was_cut)
        return self._drain(now)

    def close(self, now: float, reason: Reason = "deadline") -> list[Line]:
        """Send alternates for all that is outstanding: nobody will answer any more."""
        for waiting in self._waiting.values():
            waiting.reason = waiting.reason or reason
        return self._drain(now)

    def _hurry(self, index: int, due: float) -> None:
        for earlier, waiting in self._waiting.items():
            if earlier < index and waiting.gives_way and (waiting.due is None or waiting.due > due):
                waiting.due = due

    def _pass_over(self, index: int, now: float) -> list[Line]:
        """Settle the volumes before `index`: the script took a later one, so they will have no answer."""
        for earlier, waiting in self._waiting.items():
            if earlier < index:
                waiting.lapse(self._was_cut)
        return self._drain(now)

    def _drain(self, now: float) -> list[Line]:
        """Send the settled alternates that stand at the head of the queue."""
        lines = []
        while self._waiting:
            index = min(self._waiting)
            waiting = self._waiting[index]
            if waiting.reason is None:
                break
            del self._waiting[index]
            self._left = index
            if waiting.reason in ("deadline", "link") and not waiting.withheld:
                self._missed[index] = waiting
            value = None if waiting.withheld else self._alternate()
            due = waiting.due if waiting.received is not None else None
            lines.append(Line(index, value, "alternate", waiting.reason, waiting.received, due, now))
        return lines

    def _late(self, index: int, value: Value, now: float) -> list[Line]:
        missed = self._missed.pop(index, None)
        if missed is None:
            return []
        return [Line(index, value, "late", None, missed.received, missed.due, now)]

    def _alternate(self) -> Value:
        if self._handed is not None:
            self._last = self._handed[0]
        elif self._policy != "last":
            self._last = None if self._policy == "none" else float(self._policy)
        return self._last
