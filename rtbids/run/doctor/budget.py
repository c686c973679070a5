"""What the measured parts add up to: how soon feedback can be there, at this TR and at the smallest."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from rtbids.errors import RtbidsError
from rtbids.run.doctor.row import Cost, Mark, Row, cannot, look, ok
from rtbids.run.doctor.spread import span

WAYS_IN = ("folder", "network")  # costs of a volume's coming in
FULL = 0.8  # share of a link that volumes may take for good


@dataclass(frozen=True)
class Budget:
    """Seconds after a volume is whole: `median` and `p99` until its feedback can leave, without what the script itself takes.

    Attributes
    ----------
    parts
        What they are made of.
    left
        What a script may take at this TR.
    smallest
        The TR below which the deadline of one TR, or the link, does not hold.
    """

    repetition_time: float
    parts: tuple[Cost, ...]
    median: float
    p99: float
    left: float
    smallest: float


def budget(costs: Sequence[Cost], repetition_time: float, transfer: float = 0.0) -> Budget:
    """Add up; `transfer` is how long one volume keeps the link busy.

    Sums of 99th percentiles are above the 99th percentile of the sum, and so on the safe side.
    """
    late = sum(cost.p99 for cost in costs)
    smallest = _rounded_up(max(late, transfer / FULL))
    return Budget(repetition_time, tuple(costs), sum(cost.median for cost in costs), late, repetition_time - late, smallest)


def _rounded_up(seconds: float) -> float:
    """Hundredths: more would promise what a measurement cannot."""
    return math.ceil(round(100 * seconds, 6)) / 100


def judge(budget: Budget) -> tuple[Row, ...]:
    parts = " + ".join(f"{cost.name} {_digits(cost.p99)}" for cost in budget.parts)
    whole = ok("feedback", f"{parts} = {_digits(budget.p99)} s after a volume (p99)")
    return whole, _deadline(budget)


def _deadline(budget: Budget) -> Row:
    time = budget.repetition_time
    of_all = f"the smallest TR is {budget.smallest:g} s"
    text = f"of one TR ({time:g} s) leaves {time - _rounded_up(budget.p99):.2f} s for the script and its analysis; {of_all}"
    if budget.smallest > time:
        text = f"of one TR ({time:g} s) cannot be held; {of_all}"
        return cannot("deadline", text, "see what takes longest above", code=RtbidsError.exit_code)
    if budget.left < time / 2:
        return look("deadline", text, "less than half a TR is left", "a longer --deadline lets answers come, one volume later")
    return ok("deadline", text)


def _digits(seconds: float) -> str:
    return f"{seconds:.3f}" if seconds < 0.1 else f"{seconds:.2f}"


def sentence(budget: Budget | None, rows: Sequence[Row]) -> str:
    """Say in one sentence what follows from all."""
    broken = [row.name for row in rows if row.mark is Mark.CANNOT and row.name != "deadline"]
    if broken:
        return f"It cannot work like this: look at {' and '.join(dict.fromkeys(broken))} above."
    if budget is None:
        return "What was looked at will do; name a folder to learn how soon feedback can be there."
    if budget.smallest > budget.repetition_time:
        return (
            f"Feedback comes {span(budget.p99)} after a volume, and a TR of {budget.repetition_time:g} s is too short for this "
            f"machine: {budget.smallest:g} s is the smallest."
        )
    late = _rounded_up(budget.p99)
    return (
        f"This machine can give feedback {late:.2f} s after a volume{_since(budget)}; at a TR of {budget.repetition_time:g} s "
        f"that leaves {budget.repetition_time - late:.2f} s for your script."
    )


def _since(budget: Budget) -> str:
    """Say from when on it counts where no way in was measured."""
    return "" if any(cost.name in WAYS_IN for cost in budget.parts) else " is here"
