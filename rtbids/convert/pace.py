"""The repetition time that a header states, held against the steps between volumes as they were acquired."""

from __future__ import annotations

from statistics import median

ENOUGH = 8  # steps after which the verdict is given: one wrong acquisition time does not move a median
TOLERANCE = 0.05  # of the repetition time; sequences run slower than they say by some tenths of a percent


class Pace:
    """Takes when volumes were acquired and says once where the steps contradict the header.

    Parameters
    ----------
    repetition_time
        Seconds, as the header states it; None where it does not.
    """

    def __init__(self, repetition_time: float | None) -> None:
        self._stated = repetition_time
        self._last: tuple[int, float] | None = None
        self._steps: list[float] = []

    def acquired(self, index: int, moment: float) -> str | None:
        """Note that volume `index` was acquired at `moment` (s, on any clock); return what is to be said, if anything."""
        if not self._stated or len(self._steps) >= ENOUGH:
            return None
        last, self._last = self._last, (index, moment)
        if last is None or index <= last[0]:
            return None
        self._steps.append((moment - last[1]) / (index - last[0]))
        return self._verdict(self._stated) if len(self._steps) == ENOUGH else None

    def _verdict(self, stated: float) -> str | None:
        observed = median(self._steps)
        if observed <= 0 or abs(observed - stated) <= TOLERANCE * stated:
            return None  # a clock that stands still says nothing: some scanners write one time for the whole run
        return f"the header says a repetition time of {stated:g} s and is believed, but volumes came every {observed:.3g} s"
