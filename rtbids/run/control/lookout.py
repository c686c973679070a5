"""Looks after the machine while a run goes on, in a thread of its own: what it uses, and why answers are late."""

from __future__ import annotations

import logging
import threading
from collections import deque
from pathlib import Path
from types import TracebackType

from rtbids.clock import CLOCK, Clock
from rtbids.priority import first_in_line
from rtbids.run.control.advice import LOOKED_AT, Lag, advice, cause
from rtbids.run.control.design import Design
from rtbids.run.lanes import Lane
from rtbids.run.progress import Progress
from rtbids.run.resources import Counts, counted, looked
from rtbids.run.session import Session

EVERY = 1.0  # seconds between two looks: a disk that hangs holds up this thread and no other
OVER = 5  # looks, over which the use of processors is told: a script works in bursts
logger = logging.getLogger("rtbids")


class Lookout:
    """Look every second until the block ends; `folder` is on the disk whose free space is told."""

    def __init__(self, session: Session, folder: Path | None) -> None:
        self._session = session
        self._folder = folder
        self._over = threading.Event()
        self._said: set[tuple[str, str]] = set()
        self._design = Design()
        self._counts = deque([self._counted()], maxlen=OVER)

    def __enter__(self) -> Lookout:
        threading.Thread(target=self._go_on, name="lookout", daemon=True).start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._over.set()

    def look(self) -> None:
        """Take a look."""
        before, after = self._counts[0], self._counted()
        self._counts.append(after)
        self._session.progress.resources = looked(before, after, self._folder)
        for lane in list(self._session.lanes):
            self._advise(lane)
        if runs := list(self._session.runs):  # between runs the last is still shown
            self._session.progress.design = self._design.of(runs)

    def _go_on(self) -> None:
        with first_in_line():  # it holds the interpreter for a moment
            while not self._over.wait(EVERY):
                try:
                    self.look()
                except Exception:  # what is told beside the run ends nothing
                    logger.debug("a look at the machine failed", exc_info=True)

    def _counted(self) -> Counts:
        processes = ((lane.name, lane.host.process) for lane in list(self._session.lanes) if not lane.host.is_over)
        return counted({name: process for name, process in processes if process is not None})

    def _advise(self, lane: Lane) -> None:
        lag = self._lag(lane)
        if lag is None or lag.is_over:
            lane.tally.advice = None
        elif lag.is_often:
            lane.tally.advice = advice(lag)
            if (key := (lane.name, cause(lag))) not in self._said:
                self._said.add(key)
                logger.warning("%s: %s", lane.name, lane.tally.advice)

    def _lag(self, lane: Lane) -> Lag | None:
        link = self._session.progress.link
        resources = self._session.progress.resources if link is None else link.resources
        if resources is None:
            return None
        missed, had_due = lane.tally.recent.missed(LOOKED_AT)
        held_up = lane.tally.recent.held_up(LOOKED_AT, link.since) if link is not None and link.is_up else 0
        times = lane.deadline, lane.usual, lane.usual_analysis
        return Lag(
            lane.name, missed + held_up, had_due, *times, self._session.unwritten, resources, held_up, link, lane.usual_crossing
        )


class LatestWarnings(logging.Handler):
    """Keep the latest warnings of a run with their times, for who asks for its status."""

    def __init__(self, progress: Progress, clock: Clock = CLOCK) -> None:
        super().__init__(logging.WARNING)
        self._progress = progress
        self._clock = clock

    def emit(self, record: logging.LogRecord) -> None:
        self._progress.warn(self._clock.now(), record.getMessage())
