"""How the promise was kept: what went out in place of an answer, how late it left, and what was foreseen."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from rtbids.run.report.findings import Answer
from rtbids.run.report.measures import Floats, Summary, summary


@dataclass(frozen=True)
class Promise:
    """What became of the deadlines of one experiment.

    Attributes
    ----------
    is_due
        Whether there was a due time at all.
    alternates
        The volumes of the alternates by reason, in order.
    ok, late
        The volumes that were answered in time, and those of which an answer came afterwards.
    overrun
        Seconds after its due time at which each alternate left that the deadline sent, by volume.
    early
        The volumes of those that left before their due time: nobody was to answer any more.
    late_by
        Seconds after its due time at which each late answer came, by volume.
    predicted
        The volumes whose answer was expected to miss; None where nobody noted it.
    restarts
        The newest volume, and why, of each restart of the script; `given_up` where it was started no more.
    failed
        What the script failed with, where it did so at every volume.
    broken_off
        What is to be said of an ``end(run)`` that did not return.
    """

    is_due: bool
    ok: tuple[int, ...]
    alternates: Mapping[str, tuple[int, ...]]
    late: tuple[int, ...]
    overrun: Mapping[int, float]
    late_by: Mapping[int, float]
    early: tuple[int, ...] = ()
    predicted: tuple[int, ...] | None = None
    restarts: tuple[tuple[int, str], ...] = ()
    given_up: tuple[int, str] | None = None
    failed: str | None = None
    broken_off: str | None = None

    @property
    def missed(self) -> tuple[int, ...]:
        """The volumes that had no answer at their due time."""
        return self.alternates.get("deadline", ())

    @property
    def came_true(self) -> tuple[int, ...]:
        return tuple(volume for volume in self.predicted or () if volume in set(self.missed))

    @property
    def lateness(self) -> Summary:
        """Seconds after the due time at which alternates left."""
        return summary(_array(self.overrun))


def promise(answers: Sequence[Answer], recorded: Mapping[str, Any] | None = None) -> Promise:
    """Read it from the lines of one experiment, and from what its sidecar says of it."""
    recorded = recorded or {}
    reasons = dict.fromkeys(answer.reason or "unknown" for answer in answers if answer.status == "alternate")
    expected = recorded.get("PredictedMisses")
    left = _after_due(a for a in answers if a.status == "alternate" and a.reason == "deadline")
    return Promise(
        is_due=any(np.isfinite(answer.due) for answer in answers if answer.reason != "missing"),
        ok=tuple(answer.volume for answer in answers if answer.status == "ok"),
        alternates={reason: _because_of(answers, reason) for reason in reasons},
        late=tuple(answer.volume for answer in answers if answer.status == "late"),
        overrun={volume: seconds for volume, seconds in left.items() if seconds >= 0},
        early=tuple(volume for volume, seconds in left.items() if seconds < 0),
        late_by=_after_due(a for a in answers if a.status == "late"),
        predicted=tuple(one for one in expected if isinstance(one, int)) if isinstance(expected, list) else None,
        restarts=tuple(_interruption(one) for one in _listed(recorded.get("Restarts"))),
        given_up=next((_interruption(one) for one in _listed([recorded.get("GivenUp")])), None),
        failed=_text(recorded.get("EveryVolumeFailed")),
        broken_off=_text(recorded.get("EndBrokenOff")),
    )


def _because_of(answers: Iterable[Answer], reason: str) -> tuple[int, ...]:
    return tuple(a.volume for a in answers if a.status == "alternate" and (a.reason or "unknown") == reason)


def _after_due(answers: Iterable[Answer]) -> dict[int, float]:
    spent = {answer.volume: answer.sent - answer.due for answer in answers}
    return {volume: seconds for volume, seconds in spent.items() if np.isfinite(seconds)}


def _listed(found: object) -> list[Mapping[str, Any]]:
    return [one for one in found if isinstance(one, Mapping)] if isinstance(found, list) else []


def _text(found: object) -> str | None:
    return found if isinstance(found, str) else None


def _interruption(one: Mapping[str, Any]) -> tuple[int, str]:
    volume = one.get("Volume")
    changed = "; the script had been changed" if "SHA256" in one else ""
    return (volume if isinstance(volume, int) else -1), f"{one.get('Reason', 'unknown')}{changed}"


def _array(values: Mapping[int, float]) -> Floats:
    return np.array(list(values.values()), dtype=np.float64)
