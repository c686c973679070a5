"""Which run a response belongs to, and when in that run it was."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import replace

from rtbids.run.lanes import Lane
from rtbids.run.open_run import OpenRun
from rtbids.run.responses.intake import Inbound
from rtbids.run.responses.responses import Response
from rtbids.volume import Volume

MOST_EARLY = 1000  # responses that wait for a run to begin
logger = logging.getLogger("rtbids")


class Hearing:
    """Give what comes in to every run that is open, to be recorded, and to the experiments on it.

    A run begins here with the last byte of its first volume, a repetition time after it began in the scanner. Until then its
    responses wait. Onsets are in the run's own time: in a replay ten times as fast, ten seconds to a second.
    """

    def __init__(self, inbound: Inbound) -> None:
        self._inbound = inbound
        self._early: deque[Response] = deque(maxlen=MOST_EARLY)
        self._came = self._given = 0

    def fileno(self) -> int:
        return self._inbound.fileno()

    def hear(self, runs: Sequence[OpenRun], lanes: Sequence[Lane]) -> None:
        """Take what has come."""
        for response in self._inbound.take():
            self._came += 1
            if runs:
                self._give(response, runs, lanes)
            else:
                self._early.append(response)

    def begin(self, run: OpenRun, lanes: Sequence[Lane]) -> None:
        """Give a run that has begun here what came since it began in the scanner, or up to one repetition time before."""
        since = earliest(run.first)
        early, self._early = self._early, deque(maxlen=MOST_EARLY)
        for response in early:
            if response.arrived >= since:
                self._give(response, [run], lanes)

    def close(self) -> None:
        """Say what came for no run."""
        if left := self._came - self._given:
            logger.warning("%d responses came while no run was in progress: they are in no table", left)

    def _give(self, response: Response, runs: Iterable[OpenRun], lanes: Sequence[Lane]) -> None:
        self._given += 1
        tables = set()
        for run in runs:
            onset = round(run.time.at(response.arrived), 6)
            placed = replace(response, onset=onset, after_volume=run.latest)
            run.heard.append(placed)
            if run.events_key not in tables:  # echoes and parts share one
                run.responded(placed)
                tables.add(run.events_key)
            for lane in lanes:
                lane.respond(run, placed)


def earliest(first: Volume) -> float:
    """Return the moment since which responses belong to a run (POSIX seconds): one repetition time before its beginning."""
    return first.times["received"] - (first.index + 2) * first.repetition_time / first.speed
