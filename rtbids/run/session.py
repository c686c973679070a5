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
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

from rtbids.bids import entities as bids_entities
from rtbids.clock import Clock
from rtbids.errors import RtbidsError
from rtbids.pipeline import Inbox
from rtbids.run.ahead import Ahead
from rtbids.run.control import Control
from rtbids.run.feedback import Destination
from rtbids.run.hearing import Hearing
from rtbids.run.lanes import Lane
from rtbids.run.open_run import OpenRun
from rtbids.run.openings import Archive, Openings
from rtbids.run.progress import Progress
from rtbids.run.recorder import Recorder
from rtbids.run.shared import Shared
from rtbids.volume import Entities, Item, RunEnd, Volume, difference, run_key
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

    Parameters
    ----------
    destinations
        Those that stay open whoever comes or goes; what one experiment alone sends to is closed when it leaves.
    ahead
        Tells of volumes that are here and wait for one before them.
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
        on_end: Callable[[Entities], None] = lambda entities: None,
    ) -> None:
        self.lanes = list(lanes)
        self.stop = stop
        self.progress = progress
        self.paused = False
        self._openings = Openings(archive, self._about, self._is_wanted) if archive is not None else None
        self._clock = clock
        self.control: Control | None = None
        self._destinations = destinations
        self._hearing = hearing
        self._ahead = ahead
        self._on_end = on_end
        self._runs: dict[tuple[tuple[str, str], ...], OpenRun] = {}
        self._recorder = Recorder()
        self._stopped_at: float | None = None
        self._over = False
        self._broken: BaseException | None = None
        self._aborted = False
        self._begin_lanes()

    @property
    def unwritten(self) -> int:
        """About how many volumes wait for the disk: each has a line of every experiment, and a row of latencies."""
        return self._recorder.backlog // (2 + len(self.lanes))

    @property
    def open_runs(self) -> list[OpenRun]:
        return list(self._runs.values())

    def add(self, lane: Lane) -> None:
        """Take one more experiment in: it has a line for each volume from the next on."""
        lane.start(self.open_runs)
        self.lanes.append(lane)
        self._order()

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
        for run in self.open_runs:
            run.is_ending = True
        self._advance()
        while self._runs and not self._aborted:
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
        readers: list[Any] = [self._recorder.done, *also, *(lane.host for lane in lanes)]
        if not self.stop.is_set():
            readers.append(self.stop)
        writers: list[Any] = [lane.host for lane in lanes if lane.host.is_behind]
        if self._hearing is not None:
            readers.append(self._hearing)
        if self._ahead is not None:
            readers.append(self._ahead)
        if self.control is not None:
            readers += self.control.readers
            writers += self.control.writers
        moment = self._next_moment()
        timeout = None if moment is None else max(0.0, moment - self._clock.now())
        ready, takes, _ = select.select(readers, writers, [], timeout)
        if self._recorder.done in ready:
            self._recorder.done.clear()
        for lane in lanes:
            if lane.host in takes:
                lane.host.flush()
            if lane.host in ready:
                lane.hear()
        if self._hearing is not None and self._hearing in ready:
            self._hearing.hear(self.open_runs, self._staying)
        if self._ahead is not None and self._ahead in ready:
            self._expect(self._ahead)
        self._advance()
        self._look_after()
        if self.control is not None:
            self.control.step(ready, takes)
        self._advance()  # what was given up or stopped may have been all that a run waited for

    def _advance(self) -> None:
        """Send what is due, and end the runs of which every experiment has taken leave."""
        for lane in self.lanes:
            lane.pass_time(self._clock.now(), is_broken=self._recorder.error is not None)
        for run in self.open_runs:
            for lane in self.lanes:
                if lane.is_leaving and lane.has_ended(run):
                    lane.leave(run)
            if run.is_ending and all(lane.has_ended(run) for lane in self.lanes):
                self._finish(run)

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
                self._run_end(item)
        return False

    def _has_room(self) -> bool:
        """Hold the source where the disk is far behind, or where it can wait and a script is not done.

        A scanner cannot wait: what an experiment does not keep up with delays no other.
        """
        unwritten, size = self.unwritten, max((run.first.data.nbytes for run in self.open_runs), default=0)
        if unwritten * size >= MOST_UNWRITTEN:
            return False
        if any(run.is_ending for run in self.open_runs) and any(lane.host.is_here for lane in self.lanes):
            return False  # a script in this process that asks for the run before would wait for it, and we for the script
        if all(run.paced for run in self.open_runs):
            return True
        return unwritten < FEW_UNWRITTEN and not any(
            lane.outstanding or lane.host.backlog >= MOST_WAITING for lane in self.lanes
        )

    def _volume(self, volume: Volume) -> None:
        run = self._runs.get(run_key(volume.entities))
        if run is not None and volume.index <= run.latest:
            logger.warning("%s: volume %d came after volume %d and is left out", run.name, volume.index, run.latest)
            return
        begins = run is None
        run = run or self._begin(volume)
        if found := difference(run.first, volume):
            logger.warning("%s, volume %d is left out: %s", run.name, volume.index, found)
            return
        now = self._clock.now()
        run.paced = volume.paced and not any(lane.host.is_here for lane in self.lanes)
        self._miss(run, range(run.latest + 1, volume.index))
        run.takes(volume)
        self.progress.volumes += 1
        shared = Shared(volume, ask=not self.paused, where=run.where(volume))
        for lane in self._staying:
            lane.take(run, shared, now)  # first: the scripts work while the volume is written
        if begins and self._hearing is not None:
            self._hearing.begin(run, self._staying)
        if not self._staying:
            run.passed(volume.index, {})
        run.write(volume)

    @property
    def _staying(self) -> list[Lane]:
        return [lane for lane in self.lanes if not lane.is_leaving]

    def opened(self, items: Iterator[Item]) -> Iterator[Item]:
        """Have the runs begun before their first volumes come here: a stage for the thread that takes volumes in."""
        return items if self._openings is None else self._openings.before(items)

    def _begin(self, volume: Volume) -> OpenRun:
        misfits = [lane.fitting.misfit(volume) for lane in self._staying]  # before anything of this run is written
        if not self._is_wanted(volume):
            raise next(misfit for misfit in misfits if misfit is not None)
        record = self._openings.record(volume) if self._openings is not None else None
        run = self._runs[run_key(volume.entities)] = OpenRun(volume, record, self._recorder)
        for lane, misfit in zip(self._staying, misfits, strict=True):
            lane.begin(run, misfit)
        self.progress.begin(run.name)
        return run

    def _is_wanted(self, first: Volume) -> bool:
        """Say whether to begin a run: not where its first volume shows that no experiment has regions on this grid.

        Once one was under way that is no reason to lose the run, and somebody may be in the scanner.
        """
        misfits = [lane.fitting.misfit(first) for lane in self._staying]
        return not misfits or not all(misfits) or any(lane.fitting.has_fitted for lane in self.lanes)

    def _about(self) -> dict[str, Mapping[str, object]]:
        """Return what the results are to say of each experiment, by its name."""
        return {lane.name: lane.about for lane in self._staying}

    def _expect(self, ahead: Ahead) -> None:
        for entities, index, received in ahead.heard():
            run = self._runs.get(run_key(entities))
            if run is not None and run.paced and index > run.latest:
                for lane in self._staying:
                    lane.expect(run, index, received)

    def _miss(self, run: OpenRun, indices: Sequence[int]) -> None:
        for index in indices:
            run.lacks(index)
            self.progress.missing += 1
            for lane in self._staying:
                lane.miss(run, index, self._clock.now())

    def _run_end(self, end: RunEnd) -> None:
        run = self._runs.get(run_key(end.entities))
        if run is None:
            logger.warning("%s: the run ended without a volume", bids_entities.stem(end.entities))
            return
        self._miss(run, [index for index in end.missing if index > run.latest])
        run.ends(end)
        self._advance()

    def _finish(self, run: OpenRun) -> None:
        self._runs.pop(run_key(run.entities), None)
        for lane in self.lanes:
            lane.leave(run)
        run.close(self._on_end)

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
        for run in self.open_runs:
            self._finish(run)
        for record in self._openings.left if self._openings is not None else ():
            self._recorder.do(partial(record.end, None))
        self._recorder.close()
        if self._hearing is not None:
            self._hearing.close()
        for lane in self.lanes:
            lane.host.close()
        everywhere = [*self._destinations, *(destination for lane in self.lanes for destination in lane.destinations.values())]
        for destination in dict.fromkeys(everywhere):
            destination.close()
