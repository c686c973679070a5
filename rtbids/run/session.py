"""A run as it happens: volumes in, feedback out on time, everything recorded.

One loop waits for whichever comes first: a volume, an answer, something written, a due time, a signal. What may take long is
done elsewhere: intake and conversion in a thread (`Inbox`), the script in its own process (`Host`), writing in a thread
(`Recorder`).

An ``ok`` line leaves only once its volume is safe in the archive, so that a feedback that was given never lacks its data; an
alternate waits for nothing.
"""

from __future__ import annotations

import logging
import select
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from rtbids.analysis import masks
from rtbids.bids import entities as bids_entities
from rtbids.clock import Clock
from rtbids.errors import BadData, RtbidsError
from rtbids.pipeline import Inbox
from rtbids.receipt import settle
from rtbids.run import feedback
from rtbids.run.deadlines import Deadlines, Line
from rtbids.run.experiment import Sent
from rtbids.run.feedback import Destination
from rtbids.run.host import LOADING, Alternate, Answer, Ended, Gone, Host, IsOverdue, Recall, Reply
from rtbids.run.progress import Progress
from rtbids.run.recipe import Recipe
from rtbids.run.record import Record
from rtbids.run.recorder import Recorder
from rtbids.volume import Entities, Item, RunEnd, Volume, difference, run_key
from rtbids.wakeup import Wakeup

PATIENCE = 10  # deadlines that a script may be silent before it is started again
SILENCE = 120.0  # seconds, where the source waits and nobody said how long a volume may take
MOST_WAITING = 32  # volumes that wait for the script or the disk before the source is held
GRACE = 1.0  # seconds that a source may take to end after a signal
LAST_WORDS = 5.0  # seconds that `end(run)` may take
MOST_RESTARTS = 3  # in a row without an answer
NAMED = 3  # volumes of a run at which the same error is said
logger = logging.getLogger("rtbids")


class Archive(Protocol):
    """What a session needs of `rtbids.archive`."""

    def begin(self, volume: Volume, events: str | None) -> Any: ...


@dataclass(frozen=True)
class Plan:
    """How the promise is kept: `deadline` in seconds after a volume's last byte, None for one TR."""

    deadline: float | None = None
    in_process: bool = False


@dataclass
class _RunState:
    name: str
    entities: Entities
    deadlines: Deadlines
    record: Record | None
    growing: Any
    first: Volume
    analysed: bool  # or recorded only
    deadline: float | None = None
    paced: bool = True
    latest: int = -1
    times: dict[int, dict[str, float]] = field(default_factory=dict)
    held: list[tuple[Answer, float]] = field(default_factory=list)
    errors: Counter[str] = field(default_factory=Counter)
    end: RunEnd | None = None
    ending: bool = False
    ended: bool = False


class Session:
    """One `rtbids run`: an experiment, its destinations, and the runs that the source brings."""

    def __init__(
        self,
        recipe: Recipe,
        make_host: Callable[[IsOverdue, Recall], Host],
        archive: Archive | None,
        destinations: Sequence[Destination],
        *,
        plan: Plan,
        clock: Clock,
        stop: Wakeup,
        progress: Progress,
        on_end: Callable[[Entities], None] = lambda entities: None,
    ) -> None:
        self._recipe = recipe
        self._archive = archive
        self._destinations = destinations
        self._plan = plan
        self._clock = clock
        self._stop = stop
        self._progress = progress
        self._on_end = on_end
        self._runs: dict[tuple[tuple[str, str], ...], _RunState] = {}
        self._recorder = Recorder()
        self._restarts = 0
        self._fitted = False  # whether the regions were on a run's grid
        self._stopped_at: float | None = None
        self._over = False
        self._broken: RtbidsError | None = None
        self._host: Host | None = make_host(self._is_overdue, self._recall)

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

    def _loop(self, inbox: Inbox[Item]) -> None:
        while not self._over:
            self._wait([inbox] if self._has_room() else [])
            self._over = self._take(inbox) or self._recorder.error is not None or self._is_out_of_time()
        for state in list(self._runs.values()):
            state.ending = True
            self._advance(state)
        while self._runs:
            self._wait([])

    def _is_out_of_time(self) -> bool:
        """Say whether a signal has asked for the end and the source, which may be blocked in a read, has had its time."""
        if not self._stop.is_set():
            return False
        now = self._clock.now()
        self._stopped_at = self._stopped_at or now
        return now >= self._stopped_at + GRACE

    def _wait(self, also: list[Inbox[Item]]) -> None:
        """Wait for the next thing to happen, and let it."""
        sources: list[Any] = [self._recorder.done, *also]
        if self._host is not None:
            sources.append(self._host)
        if not self._stop.is_set():
            sources.append(self._stop)
        moment = self._next_moment()
        timeout = None if moment is None else max(0.0, moment - self._clock.now())
        ready = select.select(sources, [], [], timeout)[0]
        if self._recorder.done in ready:
            self._recorder.done.clear()
        if self._host is not None and self._host in ready:
            for reply in self._host.replies():
                self._hear(reply)
        now = self._clock.now()
        for state in list(self._runs.values()):
            self._release(state, now)
            self._send(state, state.deadlines.tick(now))
            self._advance(state)
        self._wake_the_silent(now)

    def _take(self, inbox: Inbox[Item]) -> bool:
        """Take what has come, as far as there is room; say whether the source is over."""
        while self._has_room():
            try:
                item = inbox.take()
            except StopIteration:
                return True
            except RtbidsError as error:
                self._broken = error
                return True
            if item is None:
                return False
            if isinstance(item, Volume):
                self._volume(item)
            else:
                self._run_end(item)
        return False

    def _has_room(self) -> bool:
        """Hold the source where the script or the disk is far behind, or where it does not come at the scanner's pace."""
        backlog = self._host.backlog if self._host is not None else 0
        if backlog >= MOST_WAITING or self._recorder.backlog >= MOST_WAITING:
            return False
        return all(state.paced or not state.deadlines.outstanding for state in self._runs.values())

    def _volume(self, volume: Volume) -> None:
        key = run_key(volume.entities)
        state = self._runs.get(key)
        if state is not None and volume.index <= state.latest:
            logger.warning("%s: volume %d came after volume %d and is left out", state.name, volume.index, state.latest)
            return
        begins = state is None
        if state is None:
            state = self._runs[key] = self._begin(volume)
        if found := difference(state.first, volume):
            logger.warning("%s, volume %d is left out: %s", state.name, volume.index, found)
            return
        now = self._clock.now()
        received = volume.times.get("received", now)
        state.deadline, state.paced = self._deadline(volume), volume.paced and not self._plan.in_process
        since = received if volume.paced else now  # what does not come at the scanner's pace has waited for us
        for index in range(state.latest + 1, volume.index):
            self._send(state, state.deadlines.missing(index, now))
            self._progress.missing += 1
        state.latest = volume.index
        state.times[volume.index] = dict(volume.times)
        state.deadlines.arrived(volume.index, received, None if state.deadline is None else since + state.deadline)
        self._progress.volumes += 1
        if self._host is not None and state.analysed:
            self._host.offer(volume)  # first: the script works while the volume is written
        else:
            self._send(state, state.deadlines.failed(volume.index, now))
        if state.record is None:
            settle(volume.receipts)  # kept nowhere, and in the script's hands
        elif not begins:
            record = state.record
            self._recorder.do(lambda: record.append(volume))

    def _begin(self, volume: Volume) -> _RunState:
        name = bids_entities.stem(volume.entities)
        analysed = self._fits(volume, name)  # before anything of this run is written
        growing = record = None
        if self._archive is not None:
            growing = self._archive.begin(volume, volume.events)
            record = Record(self._recipe.name, name, growing)
            record.first(volume)
        self._progress.begin(name)
        deadlines = Deadlines(self._recipe.config.alternate)
        return _RunState(name, volume.entities, deadlines, record, growing, volume, analysed)

    def _fits(self, volume: Volume, name: str) -> bool:
        """Say whether the regions are on the volumes' grid; without a run that they fitted before, raise BadData.

        A series of another kind must not end the run that somebody in the scanner is in, nor may it be lost.
        """
        try:
            for path in self._recipe.config.rois.values():
                masks.check_grid(path, volume.shape, volume.affine)
        except BadData as error:
            if not self._fitted:
                raise
            logger.warning("%s is recorded without feedback: %s", name, error)
            return False
        self._fitted = True
        return True

    def _deadline(self, volume: Volume) -> float | None:
        """Return the deadline of a volume: the one that was asked for, else one TR where it came at the scanner's pace.

        Where somebody sits at a breakpoint there is none.
        """
        if self._plan.in_process:
            return None
        if self._plan.deadline is not None:
            return self._plan.deadline
        return volume.repetition_time if volume.paced else None

    def _is_overdue(self, entities: Entities, index: int) -> bool:
        state = self._runs.get(run_key(entities))
        return state is None or state.deadlines.is_overdue(index)

    def _hear(self, reply: Reply) -> None:
        if isinstance(reply, Gone):
            self._restart(reply.why)
            return
        state = self._runs.get(run_key(reply.entities))
        if state is None:
            return
        match reply:
            case Alternate():
                state.deadlines.hand_over(reply.value)
            case Ended():
                if reply.error:
                    logger.warning("%s: %s", self._recipe.name, reply.error)
                self._finish(state)
            case Answer():
                self._answer(state, reply)

    def _answer(self, state: _RunState, answer: Answer) -> None:
        now = self._clock.now()
        times = state.times.get(answer.volume, {})
        for stage, moment in (("analysed", answer.analysed), ("answered", answer.answered)):
            if moment is not None:
                times[stage] = moment
        if answer.error is not None:
            self._warn(state, answer.volume, answer.error)
            self._send(state, state.deadlines.failed(answer.volume, now))
            return
        self._restarts = 0
        state.held.append((answer, now))

    def _warn(self, state: _RunState, volume: int, error: str) -> None:
        """Say what the script failed with, not volume after volume where it is always the same."""
        state.errors[error] += 1
        if state.errors[error] <= NAMED:
            logger.warning("%s, volume %d: %s", self._recipe.name, volume, error)

    def _release(self, state: _RunState, now: float) -> None:
        """Send the answers whose volumes are safe; at its due time an answer waits no longer.

        Where writing has failed, the volumes that wait will never be safe: an alternate goes out in place of the answer.
        """
        written = state.record.written if state.record is not None else None
        due = state.deadlines.next_due
        for answer, came in list(state.held):
            if written is None or answer.volume <= written or (due is not None and due <= now):
                state.held.remove((answer, came))
                self._send(state, state.deadlines.answered(answer.volume, answer.value, now, came))
            elif self._recorder.error is not None:
                state.held.remove((answer, came))
                self._send(state, state.deadlines.failed(answer.volume, now))

    def _send(self, state: _RunState, lines: list[Line]) -> None:
        for line in lines:
            row = feedback.fields(self._recipe.name, state.name, line)
            for destination in self._destinations:
                destination.send(row)
            self._progress.sent(line)
            if self._host is not None and state.analysed:
                self._host.sent(state.entities, Sent(line.volume, line.value, line.status))
            self._keep(state, line)

    def _keep(self, state: _RunState, line: Line) -> None:
        times = state.times.get(line.volume, {}) if line.status == "late" else state.times.pop(line.volume, {})
        if state.record is not None:
            record, row = state.record, {**times, "sent": line.sent}
            self._recorder.do(lambda: record.sent(line, row))

    def _run_end(self, end: RunEnd) -> None:
        state = self._runs.get(run_key(end.entities))
        if state is None:
            logger.warning("%s: the run ended without a volume", bids_entities.stem(end.entities))
        else:
            now = self._clock.now()
            for index in [index for index in end.missing if index > state.latest]:
                self._send(state, state.deadlines.missing(index, now))
                self._progress.missing += 1
            state.end = end
            state.ending = True
            self._advance(state)

    def _advance(self, state: _RunState) -> None:
        """Let a run that is ending call ``end(run)`` once every volume has its line."""
        if state.ending and not state.ended and not state.deadlines.outstanding:
            state.ended = True
            if self._host is None or not state.analysed:
                self._finish(state)
            else:
                self._host.end(state.entities)

    def _finish(self, state: _RunState) -> None:
        self._runs.pop(run_key(state.entities), None)
        for error, count in state.errors.items():
            if count > NAMED:
                logger.warning("%s, %d more volumes: %s", self._recipe.name, count - NAMED, error)
        if state.record is not None:
            record, end = state.record, state.end
            self._recorder.do(lambda: record.end(end))
            self._recorder.do(lambda: self._on_end(state.entities))

    def _next_moment(self) -> float | None:
        moments = [state.deadlines.next_due for state in self._runs.values()]
        if self._stopped_at is not None and not self._over:
            moments.append(self._stopped_at + GRACE)
        if self._host is not None and self._host.silent_since is not None:
            moments.append(self._host.silent_since + self._patience())
        return min((moment for moment in moments if moment is not None), default=None)

    def _patience(self) -> float:
        """Return how long the script may be silent, in seconds."""
        if self._stop.is_set():
            return LAST_WORDS
        if self._host is not None and self._host.is_loading:
            return LOADING
        if any(state.ended for state in self._runs.values()):
            return LAST_WORDS
        deadlines = [state.deadline for state in self._runs.values() if state.deadline is not None]
        return PATIENCE * max(deadlines) if deadlines else SILENCE

    def _wake_the_silent(self, now: float) -> None:
        host = self._host
        if host is None or host.silent_since is None or now < host.silent_since + self._patience():
            return
        self._restart(f"it was silent for {self._patience():.0f} s")

    def _restart(self, why: str) -> None:
        """Start the experiment again with the analysis of what it had seen; give it up at the end, or after several times."""
        host = self._host
        assert host is not None
        self._restarts += 1
        ends = self._stop.is_set() or (self._over and all(state.ended for state in self._runs.values()))
        if ends or self._restarts > MOST_RESTARTS:
            logger.warning("%s: %s; its feedback is alternates from here on", self._recipe.name, why)
            self._host = None
            host.close()
            for state in list(self._runs.values()):
                self._send(state, state.deadlines.close(self._clock.now(), "error"))
                if state.ended:
                    self._finish(state)
            return
        if self._archive is None:
            why += "; without --bids-dir its analysis begins anew"
        for reply in host.restart(why):
            self._hear(reply)
        logger.warning("%s is started again: %s", self._recipe.name, why)

    def _recall(self, entities: Entities, index: int) -> Volume | None:
        """Read a volume back that is in the archive."""
        state = self._runs.get(run_key(entities))
        if state is None or state.growing is None or state.record is None or index > state.record.written:
            return None
        volume: Volume = state.growing.volume(index)
        return volume

    def _close(self) -> None:
        now = self._clock.now()
        for state in list(self._runs.values()):
            self._send(state, state.deadlines.close(now, "error"))  # the run is broken off: nobody will answer
            self._finish(state)
        self._recorder.close()
        if self._host is not None:
            self._host.close()
        for destination in self._destinations:
            destination.close()
