"""Feedback is a score of how still the head is: 100 is still, 0 is a movement of the limit or more."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Settings:
    """limit: mm from one volume to the next that score 0; volumes: over how many the score is the mean."""

    limit: float = 0.5
    volumes: int = 1

    def __post_init__(self):
        if not self.limit > 0 or self.volumes < 1:
            raise ValueError(f"expected a limit above 0 mm and 1 volume or more, found {self.limit} and {self.volumes}")


def feedback(volume, run):
    if not run.motion.converged:
        return 0.0  # moved so far that nobody can say how far
    moved = run.motion.displacements[-run.settings.volumes :]
    moved = moved[np.isfinite(moved)]
    return float(np.mean(score(moved, run.settings.limit))) if moved.size else None


def score(moved, limit):
    """Return the score of displacements in mm."""
    return 100 * (1 - np.minimum(moved / limit, 1))
