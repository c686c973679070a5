"""A run's own time: what a moment is in seconds from the beginning of its first volume, whatever its pace here."""

from __future__ import annotations

from dataclasses import dataclass

from rtbids.volume import Volume

EARLY = 0.5  # repetition times by which a volume is here before its time, where the run must have begun earlier


@dataclass(frozen=True)
class OwnTime:
    """A moment of which it is known where in the run it is, and how fast the run goes on from there.

    Attributes
    ----------
    moment
        POSIX seconds.
    place
        Seconds from the beginning of the run's first volume.
    speed
        Seconds of the run in a second: 1 at the scanner, 10 in a replay ten times as fast, 0 where volumes come as fast as
        they are taken.
    """

    moment: float
    place: float
    speed: float

    def at(self, moment: float) -> float:
        """Return where in the run `moment` is."""
        return self.place + (moment - self.moment) * self.speed


def own_time(volume: Volume, before: OwnTime | None = None) -> OwnTime:
    """Return the time of a run of which a volume is here, whose last byte came when its repetition time was over.

    It is counted from the first volume, so that all onsets have one zero, and anew from one that is here well before its time:
    the run has begun earlier than it seemed, or a scanner is played faster than it was.
    """
    speed = volume.speed if volume.paced else 0.0
    here = OwnTime(volume.times["received"], (volume.index + 1) * volume.repetition_time, speed)
    if before is None or before.speed != speed or not speed:
        return here
    return here if here.place - before.at(here.moment) > EARLY * volume.repetition_time else before
