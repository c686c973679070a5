"""The runs that volumes come for: a volume goes to the experiments first, and then to the archive."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial

from rtbids.bids import entities as bids_entities
from rtbids.clock import Clock
from rtbids.run.lanes import Lane
from rtbids.run.open_run import OpenRun
from rtbids.run.openings import Archive, Openings
from rtbids.run.process.shared import Shared
from rtbids.run.progress import Progress
from rtbids.run.record.recorder import Recorder
from rtbids.volume import Entities, Item, RunEnd, Volume, difference, run_key

logger = logging.getLogger("rtbids")


class OpenRuns:
    """Iterating gives those that are open now.

    Parameters
    ----------
    lanes
        The experiments, which come and go; those that are leaving get no more volumes.
    on_end
        Called when all of a run is written.
    """

    def __init__(
        self,
        lanes: Sequence[Lane],
        archive: Archive | None,
        recorder: Recorder,
        progress: Progress,
        clock: Clock,
        on_end: Callable[[Entities], None] = lambda entities: None,
    ) -> None:
        self._lanes = lanes
        self._recorder = recorder
        self._progress = progress
        self._clock = clock
        self._on_end = on_end
        self._openings = Openings(archive, self._about, self._is_wanted) if archive is not None else None
        self._runs: dict[tuple[tuple[str, str], ...], OpenRun] = {}

    def __iter__(self) -> Iterator[OpenRun]:
        return iter(list(self._runs.values()))

    def __len__(self) -> int:
        return len(self._runs)

    @property
    def staying(self) -> list[Lane]:
        """The experiments that take part: they are loaded, and not about to leave."""
        return [lane for lane in self._lanes if lane.has_joined and not lane.is_leaving]

    def opened(self, items: Iterator[Item]) -> Iterator[Item]:
        """Have the runs begun before their first volumes come here: a stage for the thread that takes volumes in."""
        return items if self._openings is None else self._openings.before(items)

    def take(self, volume: Volume, *, ask: bool) -> OpenRun | None:
        """Take a volume; return the run that it has begun, if it has."""
        run = self._runs.get(run_key(volume.entities))
        if run is not None and volume.index <= run.latest:
            logger.warning("%s: volume %d came after volume %d and is left out", run.name, volume.index, run.latest)
            return None
        begun = None if run is not None else self._begin(volume)
        run = run or begun
        assert run is not None, "it was there, or has begun"
        if found := difference(run.first, volume):
            logger.warning("%s, volume %d is left out: %s", run.name, volume.index, found)
        else:
            self._pass_on(run, volume, ask=ask)
        return begun

    def expect(self, entities: Entities, index: int, received: float) -> None:
        """Note a volume that is here and waits for one before it."""
        run = self._runs.get(run_key(entities))
        if run is not None and run.paced and index > run.latest:
            for lane in self.staying:
                lane.expect(run, index, received)

    def end(self, end: RunEnd) -> None:
        """Note that no more volumes of a run come; it is finished when every experiment has ended it."""
        run = self._runs.get(run_key(end.entities))
        if run is None:
            logger.warning("%s: the run ended without a volume", bids_entities.stem(end.entities))
            return
        self._miss(run, [index for index in end.missing if index > run.latest])
        run.ends(end)

    def finish_ended(self) -> None:
        """Finish the runs of which every experiment has taken leave."""
        for run in self:
            for lane in self._lanes:
                if lane.is_leaving and lane.has_ended(run):
                    lane.leave(run)
            if run.is_ending and all(lane.has_ended(run) for lane in self._lanes):
                self._finish(run)

    def close(self) -> None:
        """Finish all of them, however far they are."""
        for run in self:
            self._finish(run)
        for record in self._openings.left if self._openings is not None else ():
            self._recorder.do(partial(record.end, None))

    def _pass_on(self, run: OpenRun, volume: Volume, *, ask: bool) -> None:
        now = self._clock.now()
        run.paced = volume.paced and not any(lane.host.is_here for lane in self._lanes)
        self._miss(run, range(run.latest + 1, volume.index))
        run.takes(volume)
        self._progress.volumes += 1
        shared = Shared(volume, ask=ask, where=run.where(volume))
        for lane in self.staying:
            lane.take(run, shared, now)  # first: the scripts work while the volume is written
        if not self.staying:
            run.passed(volume.index, {})
        run.write(volume)

    def _begin(self, first: Volume) -> OpenRun:
        misfits = [lane.fitting.misfit(first) for lane in self.staying]  # before anything of this run is written
        if not self._is_wanted(first):
            raise next(misfit for misfit in misfits if misfit is not None)
        record = self._openings.record(first) if self._openings is not None else None
        run = self._runs[run_key(first.entities)] = OpenRun(first, record, self._recorder)
        for lane, misfit in zip(self.staying, misfits, strict=True):
            lane.begin(run, misfit)
        self._progress.begin(run.name)
        return run

    def _is_wanted(self, first: Volume) -> bool:
        """Say whether to begin a run: not where its first volume shows that no experiment has regions on this grid.

        Once one was under way that is no reason to lose the run, and somebody may be in the scanner.
        """
        misfits = [lane.fitting.misfit(first) for lane in self.staying]
        return not misfits or not all(misfits) or any(lane.fitting.has_fitted for lane in self._lanes)

    def _about(self) -> dict[str, Mapping[str, object]]:
        """Return what the results are to say of each experiment, by its name."""
        return {lane.name: lane.about for lane in self.staying}

    def _miss(self, run: OpenRun, indices: Sequence[int]) -> None:
        for index in indices:
            run.lacks(index)
            self._progress.missing += 1
            for lane in self.staying:
                lane.miss(run, index, self._clock.now())

    def _finish(self, run: OpenRun) -> None:
        self._runs.pop(run_key(run.entities), None)
        if any(_has_no_length(lane) for lane in self._lanes):  # the others were told at the beginning
            for remark in run.never_came_to():
                logger.warning("%s: %s", run.name, remark)
        for lane in self._lanes:
            lane.leave(run)
        run.close(self._on_end)


def _has_no_length(lane: Lane) -> bool:
    """Say whether the config of an experiment leaves open how long a run is to be."""
    analysis = lane.recipe.config.analysis
    return analysis is None or analysis.volumes is None
