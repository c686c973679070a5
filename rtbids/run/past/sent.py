"""Feedback that has left, as a script sees it."""

from __future__ import annotations

from dataclasses import dataclass

from rtbids.run.deadlines import Value


@dataclass(frozen=True)
class Sent:
    """Feedback that has left.

    Attributes
    ----------
    volume
        Index of the volume that it is of.
    value
        What was sent.
    status
        ``ok``, ``alternate`` or ``late``.
    """

    volume: int
    value: Value
    status: str
