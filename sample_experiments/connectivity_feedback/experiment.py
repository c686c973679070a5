"""Feedback is the correlation of two regions over the latest volumes."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Settings:
    """window: over how many volumes; fewer are taken until there are so many."""

    window: int = 20


def feedback(volume, run):
    return run.roi("first").correlation(run.roi("second"), window=run.settings.window)
