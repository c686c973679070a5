"""A run as it happens: volumes in, feedback out on time, everything recorded.

One loop waits for whichever comes first: a volume, an answer, something written, a due time, a signal, a command. What may
take long is done elsewhere: intake and conversion in a thread (`Inbox`), each script in its own process (`Host`), writing in a
thread (`Recorder`).

An ``ok`` line leaves only once its volume is safe in the archive, so that a feedback that was given never lacks its data; an
alternate waits for nothing.
"""

from __future__ import annotations

import logging
import select
import threading
from collections.abc import Callable, Sequence
from typing import Any

from rtbids.clock import Clock
from rtbids.errors import RtbidsError
from rtbids.pipeline import Inbox
from rtbids.run.ahead import Ahead
from rtbids.run.control.control import Control
from rtbids.run.feedback.feedback import Destination
from rtbids.run.hearing import Hearing
from rtbids.run.lanes import Lane
from rtbids.run.open_runs import OpenRuns
from rtbids.run.openings import Archive
from rtbids.run.progress import Progress
from rtbids.run.record.recorder import Recorder
from rtbids.volume import Entities, Item, Volume
from rtbids.wakeup import Wakeup

MOST_UNWRITTEN = 512 * 2**20  # bytes of volumes that wait for the disk before the source, and with it feedback, is held
FEW_UNWRITTEN = 64  # volumes that wait for the disk before a source that can wait is held
MOST_WAITING = 32  # volumes that wait for a script before a source that can wait is held
GRACE = 1.0  # seconds that a source may take to end after a signal
logger = logging.getLogger("rtbids")


class Session:
    """One `rtbids run`: a stream of volumes, its record, and the experiments on it, each in a lane of its own.

    Attributes
    ----------
    lanes
        The experiments, in the order in which they were named.
    paused
        Whether nobody is asked for feedback.
    control
        Where commands come from while it runs.
    runs
        Those that are open.

    Parameters
    ----------
    destinations
        Those that stay open whoever comes or goes; what one experiment alone sends to is closed when it leaves.
    ahead
        Tells of volumes that are here and wait for one before them.
    is_live
        Whether the source is watched: what a scanner sends may be behind what was there before, and is not to wait for it.
    """

    def __init__(
        self,
        lanes: Sequence[Lane],
        archive: Archive | None,
        *,
        clock: Clock,
        stop: Wakeup,
        progress: Progress,
        destinations: Sequence[Destination] = (),
        hearing: Hearing | None = None,
        ahead: Ahead | None = None,
        is_live: bool = False,
        on_end: Callable[[Entities], None] = lambda entities: None,
    ) -> None:
        self.lanes = list(lanes)
        self.stop = stop
        self.progress = progress
        self.paused = False
        self._clock = clock
        self.control: Control | None = None
        self._destinations = destinations
        self._hearing = hearing
        self._ahead = ahead
        self._is_live, self._is_archived = is_live, archive is not None
        self._recorder = Recorder()
        self.runs = OpenRuns(self.lanes, archive, self._recorder, progress, clock, on_end)
        self._stopped_at: float | None = None
        self._over = False
        self._broken: BaseException | None = None
        self._aborted = False
        self._begin_lanes()

    @property
    def unwritten(self) -> int:
        """About how many volumes wait for the disk: each has a line of every experiment, and a row of latencies."""
        return self._recorder.backlog // (2 + len(self.lanes))

    def add(self, lane: Lane) -> None:
        """Take one more experiment in: it has a line for each volume from the next on, once its script is loaded."""
        lane.came_cut = self._came_cut
        lane.start_late(lambda: self.runs)
        self.lanes.append(lane)
        self._order()

    def _came_cut(self, since: float) -> bool:
        link = self.progress.link
        return link is not None and link.was_cut(since)

    def stop_lane(self, lane: Lane) -> None:
        """Let an experiment leave: it has no more lines, and another leads."""
        lane.stop()
        self._order()

    def abort(self, error: RtbidsError) -> None:
        """End at once, with `error`: alternates for what is outstanding, and nobody is waited for."""
        self._aborted, self._broken = True, error

    def run(self, inbox: Inbox[Item]) -> None:
        """Take the inbox to its end, and close everything whatever happens.

        What the source raises is raised again once every volume that came has its line and is recorded.
        """
        try:
            self._loop(inbox)
        finally:
            self._close()
        for error in (self._recorder.error, self._broken):
            if error is not None:
                raise error

    def _begin_lanes(self) -> None:
        """Start all scripts, then wait for them: what cannot be begun is known before the first volume."""
        begun = []
        try:
            for lane in self.lanes:
                lane.came_cut = self._came_cut
                lane.start()
                begun.append(lane)
            for lane in self.lanes:
                lane.host.wait_until_loaded()
                lane.tally.state = "running"
        except BaseException:
            for lane in begun:
                lane.host.close()
            raise
        self._order()

    def _order(self) -> None:
        staying = [lane for lane in self.lanes if not lane.is_leaving]
        for lane in self.lanes:
            lane.leads = lane in staying[:1]
        self.progress.tallies = [lane.tally for lane in self.lanes]

    def _loop(self, inbox: Inbox[Item]) -> None:
        while not self._over and not self._aborted:
            self._wait([inbox] if self._has_room() else [])
            self._over = self._take(inbox) or self._recorder.error is not None or self._is_out_of_time()
        for run in self.runs:
            run.is_ending = True
        self._advance()
        while self.runs and not self._aborted:
            self._wait([])

    def _is_out_of_time(self) -> bool:
        """Say whether a signal has asked for the end and the source, which may be blocked in a read, has had its time."""
        if not self.stop.is_set():
            return False
        now = self._clock.now()
        self._stopped_at = self._stopped_at or now
        return now >= self._stopped_at + GRACE

    def _wait(self, also: list[Inbox[Item]]) -> None:
        """Wait for the next thing to happen, and let it: first what may be due, last what may take a moment."""
        lanes = [lane for lane in self.lanes if not lane.host.is_over]
        readers, writers = self._sides(lanes)
        moment = self._next_moment()
        timeout = None if moment is None else max(0.0, moment - self._clock.now())
        ready, takes, _ = select.select([*readers, *also], writers, [], timeout)
        for lane in lanes:
            if lane.host in takes:
                lane.host.flush()
            if lane.host in ready or lane.host.fetched in ready:
                lane.hear()
        self._hear(ready)
        self._advance()
        self._look_after()
        if self.control is not None:
            self.control.step(ready, takes)
        self._advance()  # what was given up or stopped may have been all that a run waited for

    def _sides(self, lanes: list[Lane]) -> tuple[list[Any], list[Any]]:
        """Return what may have something to say, and what may be told something."""
        readers: list[Any] = [self._recorder.done, *(side for lane in lanes for side in (lane.host, lane.host.fetched))]
        readers += [side for side in (self._hearing, self._ahead) if side is not None]
        writers: list[Any] = [lane.host for lane in lanes if lane.host.is_behind]
        if not self.stop.is_set():
            readers.append(self.stop)
        if self.control is not None:
            readers += self.control.readers
            writers += self.control.writers
        return readers, writers

    def _hear(self, ready: list[Any]) -> None:
        if self._recorder.done in ready:
            self._recorder.done.clear()
        if self._hearing is not None and self._hearing in ready:
            self._hearing.hear(list(self.runs), self.runs.staying)
        if self._ahead is not None and self._ahead in ready:
            for early in self._ahead.heard():
                self.runs.expect(*early)

    def _advance(self) -> None:
        """Send what is due, and end the runs of which every experiment has taken leave."""
        for lane in self.lanes:
            lane.pass_time(self._clock.now(), is_broken=self._recorder.error is not None)
        self.runs.finish_ended()

    def _look_after(self) -> None:
        faults = [lane.fault for lane in self.lanes if lane.fault is not None and not lane.is_added]
        if faults and len(faults) == len(self.lanes):
            raise faults[0]
        now, hurry = self._clock.now(), self.stop.is_set()
        for lane in list(self.lanes):
            lane.look_after(now, hurry=hurry, over=self._over)
            if lane.is_added and lane.fault is not None and not lane.is_leaving:
                self.stop_lane(lane)
            if lane.has_left:
                self._part_with(lane)

    def _part_with(self, lane: Lane) -> None:
        """Let an experiment that has left go; its process and its reader may take a moment to understand."""
        self.lanes.remove(lane)
        if lane.has_joined:
            self.progress.left.append(lane.tally)
        self._order()
        others = {*self._destinations, *(destination for other in self.lanes for destination in other.destinations.values())}
        own = [destination for destination in lane.destinations.values() if destination not in others]
        for close in (lane.host.close, *(destination.close for destination in own)):
            threading.Thread(target=close, name="parting", daemon=True).start()

    def _take(self, inbox: Inbox[Item]) -> bool:
        """Take what has come, as far as there is room; say whether the source is over."""
        while self._has_room():
            try:
                item = inbox.take()
            except StopIteration:
                return True
            except RtbidsError as error:
                self._broken = self._broken or error
                return True
            if item is None:
                return False
            if isinstance(item, Volume):
                self._volume(item)
            else:
                self.runs.end(item)
                self._advance()
        return False

    def _volume(self, volume: Volume) -> None:
        begun = self.runs.take(volume, ask=not self.paused)
        if begun is not None and self._hearing is not None:
            self._hearing.begin(begun, self.runs.staying)

    def _has_room(self) -> bool:
        """Hold the source where the disk is far behind, or where it can wait and a script is not done.

        A scanner cannot wait: what an experiment does not keep up with delays no other, unless somebody wants it to.
        """
        unwritten, size = self.unwritten, max((run.first.data.nbytes for run in self.runs), default=0)
        if unwritten * size >= MOST_UNWRITTEN:
            return False
        if any(run.is_ending for run in self.runs) and any(lane.host.is_here for lane in self.lanes):
            return False  # a script in this process that asks for the run before would wait for it, and we for the script
        if any(lane.host.is_full for lane in self.lanes):
            return False
        if all(run.paced for run in self.runs):
            return True
        is_behind = any(lane.host.backlog >= MOST_WAITING for lane in self.lanes)
        if self._is_live and not any(lane.host.is_here for lane in self.lanes):
            return self._is_archived or not is_behind  # what is archived nowhere and was there before is not to be dropped
        return unwritten < FEW_UNWRITTEN and not is_behind and not any(lane.outstanding for lane in self.lanes)

    def _next_moment(self) -> float | None:
        hurry = self.stop.is_set()
        moments = [lane.next_moment(hurry=hurry, over=self._over) for lane in self.lanes]
        if self._stopped_at is not None and not self._over:
            moments.append(self._stopped_at + GRACE)
        return min((moment for moment in moments if moment is not None), default=None)

    def _close(self) -> None:
        if self.control is not None:
            self.control.close()
        for lane in self.lanes:
            lane.break_off()  # the run is broken off: nobody will answer
        for lane in self.lanes:
            lane.await_deliveries()
        self.runs.close()
        self._recorder.close()
        if self._hearing is not None:
            self._hearing.close()
        for lane in self.lanes:
            lane.host.close()
        everywhere = [*self._destinations, *(destination for lane in self.lanes for destination in lane.destinations.values())]
        for destination in dict.fromkeys(everywhere):
            destination.close()
