"""Feedback that has left, as a script sees it."""

from __future__ import annotations

from dataclasses import dataclass

from rtbids.run.deadlines import Value


@dataclass(frozen=True)
class Sent:
    """Feedback that has left: `status` is ``ok``, ``alternate`` or ``late``."""

    volume: int
    value: Value
    status: str
