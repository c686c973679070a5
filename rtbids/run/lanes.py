"""One experiment on the stream: its script, its deadlines, its destinations. What it does to itself it does to no other."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import TypeAlias

from rtbids.clock import Clock
from rtbids.errors import BadData, RtbidsError
from rtbids.run.deadlines import Line, Reason, WasCut
from rtbids.run.feedback import feedback
from rtbids.run.feedback.deliveries import Confirming, Delivery
from rtbids.run.feedback.feedback import Destination
from rtbids.run.fitting import Fitting
from rtbids.run.one_line import short
from rtbids.run.open_run import OpenRun
from rtbids.run.part import Part
from rtbids.run.past.sent import Sent
from rtbids.run.prediction import Pace
from rtbids.run.process.host import (
    Alternate,
    Answer,
    Complaint,
    Ended,
    Faulted,
    Gone,
    Host,
    IsOverdue,
    Loaded,
    Mapped,
    Measured,
    Recall,
    Reply,
)
from rtbids.run.process.patience import CUT, MOST_RESTARTS, patience
from rtbids.run.process.shared import Shared
from rtbids.run.progress import Tally
from rtbids.run.recipe.recipe import Recipe
from rtbids.run.record import provenance
from rtbids.run.responses.responses import Response
from rtbids.volume import Entities, Volume, run_key

CONFIRMING = 0.02  # seconds after which it is asked again whether the latest lines were delivered
logger = logging.getLogger("rtbids")
MakeHost: TypeAlias = Callable[[Recipe, IsOverdue, Recall], Host]


class Lane:
    """An experiment, the process that it runs in, and its part in each run that is open.

    Attributes
    ----------
    destinations
        Where its feedback goes, by the words that they were asked for with.
    leads
        Whether the table of latencies tells of this experiment: there is one row a volume, and the first has it.
    about
        What the results say of it: its script, settings and regions.
    fitting
        Whether the regions are on a run's grid.
    fault
        What kept the script from being loaded or from starting.
    is_added
        Whether it came while the run went on: its fault is no reason to end the run.
    has_joined
        Whether it takes part in runs: one that is added does so from the moment at which its script is loaded.
    deadline
        Of the latest volume, in seconds.
    on_begun
        Called once it is known whether the script could be loaded, with what kept it from that.
    """

    def __init__(self, recipe: Recipe, make_host: MakeHost, destinations: Mapping[str, Destination], clock: Clock) -> None:
        self.recipe = recipe
        self.destinations = destinations
        self._confirming = [one.deliveries for one in destinations.values() if isinstance(one, Confirming)]
        self.about: Mapping[str, object] = provenance.of(recipe)  # before the script runs: it may be changed meanwhile
        self.tally = Tally(recipe.name)
        self.fitting = Fitting(recipe)
        self.leads = False
        self.fault: RtbidsError | None = None
        self.is_added = False
        self.has_joined = True
        self.deadline: float | None = None
        self.on_begun: Callable[[RtbidsError | None], None] = lambda error: None
        self.came_cut: WasCut = lambda since: False  # of the connection to the source
        self._make_host = make_host
        self._open_runs: Callable[[], Iterable[OpenRun]] = tuple
        self._clock = clock
        self._parts: dict[tuple[tuple[str, str], ...], Part] = {}
        self._pace = Pace()
        self._analysis = Pace()
        self._crossing = Pace()
        self._wrong: Gone | None = None  # why it is to be started again
        self._restarts = 0  # in a row

    @property
    def name(self) -> str:
        return self.recipe.name

    @property
    def is_leaving(self) -> bool:
        return self.tally.state == "stopping"

    @property
    def has_left(self) -> bool:
        return self.is_leaving and not self._parts

    @property
    def usual(self) -> float | None:
        """How many seconds the script takes for a volume, None as long as too little is known."""
        return self._pace.usual

    @property
    def usual_analysis(self) -> float | None:
        """How many of them go by before the script is asked, None as long as too little is known."""
        return self._analysis.usual

    @property
    def usual_crossing(self) -> float | None:
        """How many seconds a volume and its answer take to the script and back, None as long as too little is known."""
        return self._crossing.usual

    @property
    def outstanding(self) -> int:
        """How many volumes have no line yet."""
        return sum(len(part.deadlines.outstanding) for part in self._parts.values())

    def start(self) -> None:
        """Start the script."""
        self.host = self._make_host(self.recipe, self._is_overdue, self._recall)

    def start_late(self, open_runs: Callable[[], Iterable[OpenRun]]) -> None:
        """Start the script while runs go on; until it is loaded they know nothing of it."""
        self.has_joined, self._open_runs = False, open_runs
        self.start()

    def begin(self, run: OpenRun, misfit: BadData | None) -> None:
        """Take part in a run; one on another grid than the regions costs its feedback and no more."""
        if misfit is not None:
            logger.warning("%s is recorded without feedback: %s", run.name, misfit)
        self._parts[run_key(run.entities)] = self._part(run, analysed=misfit is None)

    def take(self, run: OpenRun, shared: Shared, now: float) -> None:
        """Take a volume: it has a due time from here on."""
        part, volume = self._parts[run_key(run.entities)], shared.volume
        received = volume.times.get("received", now)
        # What does not come at the scanner's pace has waited for us, and has its time after those before it.
        since = received if volume.paced else max(now, part.deadlines.latest_due or now)
        part.deadline = self._deadline(volume)
        due = None if part.deadline is None else since + part.deadline
        part.deadlines.arrived(volume.index, received, due, gives_way=not volume.paced)
        self.deadline = part.deadline
        if not shared.ask:
            self._send(part, part.withhold(volume.index, now))
        elif not part.analysed or self.host.is_over:
            self._send(part, part.deadlines.failed(volume.index, now, self._no_answer))
        else:
            self._predict(part, volume.index, due, now)
        if part.analysed:
            with self._on_its_own():
                self.host.offer(shared)

    def expect(self, run: OpenRun, index: int, received: float) -> None:
        """Note a volume that is here and waits for one before it: its line does not wait."""
        part = self._parts.get(run_key(run.entities))
        if part is not None and part.deadline is not None:
            part.deadlines.expect(index, received, received + part.deadline)

    def respond(self, run: OpenRun, response: Response) -> None:
        """Give the script a response, if it has a part in the run."""
        part = self._parts.get(run_key(run.entities))
        if part is not None and part.analysed and not part.ended:
            with self._on_its_own():
                self.host.respond(run.entities, response)

    def miss(self, run: OpenRun, index: int, now: float) -> None:
        """Note that a volume will never come."""
        part = self._parts[run_key(run.entities)]
        self._send(part, part.deadlines.missing(index, now))

    def hear(self) -> None:
        """Take what the script has said."""
        with self._on_its_own():
            for reply in self.host.replies():
                self._take_in(reply)

    def pass_time(self, now: float, *, is_broken: bool) -> None:
        """Send what is due, and the answers whose volumes are safe."""
        self._note_deliveries()
        for part in list(self._parts.values()):
            with self._on_its_own():
                self._send(part, part.released(now, is_broken=is_broken))
                self._send(part, part.deadlines.tick(now))
            if part.run.is_ending:
                self._end(part)

    def look_after(self, now: float, *, hurry: bool, over: bool) -> None:
        """Start the script again where it has gone or was silent for too long; for good where everything is to end."""
        moment = self._too_long(hurry=hurry, over=over)
        if self._wrong is None and moment is not None and now >= moment:
            self._wrong = Gone(self._silence(self._patience(hurry=hurry, over=over)))
        if self._wrong is None:
            return
        gone, self._wrong = self._wrong, None
        is_last = self._is_last(hurry=hurry, over=over)
        self._restarts += gone.lost is None  # what its machine does is no fault of the script
        if not self.has_joined:
            self._stay_out(gone.why)
        elif is_last or gone.lost == "for good" or self._restarts > MOST_RESTARTS or self.fault is not None:
            self._give_up(gone.why, is_last=is_last)
        else:
            self._try_again(gone.why)

    def restart(self) -> None:
        """Start the script again because somebody wants it, whatever it was at."""
        self._restarts, self.fault, self._wrong = 0, None, None
        self._try_again("it was asked for")

    def stop(self) -> None:
        """Leave the runs: alternates for what is outstanding, then ``end(run)``."""
        self.tally.state = "stopping"
        if not self.has_joined:
            self._begun(RtbidsError("it was stopped before its script was loaded"))
        self.break_off()
        for part in self._parts.values():
            self._end(part)

    def break_off(self) -> None:
        """Send alternates for what is outstanding: nobody will answer any more."""
        for part in self._parts.values():
            self._send(part, part.deadlines.close(self._clock.now(), self._no_answer))

    def await_deliveries(self) -> None:
        """Wait a moment to hear of the latest lines."""
        while any(self._is_awaiting(part) for part in self._parts.values()):
            self._clock.wait_until(self._clock.now() + CONFIRMING)

    def has_ended(self, run: OpenRun) -> bool:
        """Say whether the script has ended a run, or has no part in it; a moment is left to hear of its latest lines."""
        part = self._parts.get(run_key(run.entities))
        return part is None or (part.over and not self._is_awaiting(part))

    def leave(self, run: OpenRun) -> None:
        """Forget a run that has ended."""
        self.fitting.forget(run.entities)
        if (part := self._parts.pop(run_key(run.entities), None)) is not None:
            part.close(self.name)
            self._note_deliveries()
            for delivery in self._unknown(part):
                part.run.delivered(delivery)
            connected = part.connected(self.host.connection)
            part.run.left(self.name, {**self.about, **part.outcome, **connected, **self._delivered})

    def next_moment(self, *, hurry: bool, over: bool) -> float | None:
        """Return when `pass_time` or `look_after` has something to do."""
        moments = [part.deadlines.next_due for part in self._parts.values()]
        moments.append(self._too_long(hurry=hurry, over=over))
        if any(part.over and self._is_awaiting(part) for part in self._parts.values()):
            moments.append(self._clock.now() + CONFIRMING)
        return min((moment for moment in moments if moment is not None), default=None)

    def _part(self, run: OpenRun, *, analysed: bool) -> Part:
        host, policy = self.host, self.recipe.config.alternate
        return Part(
            run,
            policy,
            analysed=analysed,
            at_console=host.at_console,
            was_cut=lambda since: host.was_cut(since) or self.came_cut(since),
            connection=host.connection,
        )

    def _deadline(self, volume: Volume) -> float | None:
        """Return the deadline of a volume: the one that was asked for, else one TR where it came at the scanner's pace.

        Where somebody sits at a breakpoint there is none.
        """
        if self.host.is_here:
            return None
        if self.recipe.config.deadline is not None:
            return self.recipe.config.deadline
        return volume.repetition_time if volume.paced else None

    def _predict(self, part: Part, index: int, due: float | None, now: float) -> None:
        """Count an answer that will not be there in time, as far as the latest tell, and say when that begins."""
        self.tally.expects_miss = self._pace.misses(due, now, self.host.silent_since)
        if self.tally.expects_miss:
            self.tally.predicted += 1
            part.predicted.append(index)
        if self._pace.is_new_that_it_takes_longer_than(self.deadline):
            text = "%s takes %.3g s for a volume, of the %.3g s it has: answers will be late"
            logger.warning(text, self.name, self._pace.usual, self.deadline)

    def _is_overdue(self, entities: Entities, index: int) -> bool:
        part = self._parts.get(run_key(entities))
        return part is None or part.deadlines.is_overdue(index)

    def _recall(self, entities: Entities, index: int) -> Shared | None:
        part = self._parts.get(run_key(entities))
        return part.run.recall(index) if part is not None else None

    def _take_in(self, reply: Reply) -> None:
        match reply:
            case Loaded():
                if not self.has_joined and not self.is_leaving:
                    self._join()
                self.tally.state = self.tally.state if self.is_leaving else "running"
                self._begun(None)
            case Faulted():
                self._fault(reply.error)
            case Gone():
                self._wrong = reply
                self._begun(RtbidsError(reply.why))
            case _:
                if (part := self._parts.get(run_key(reply.entities))) is not None:
                    self._take_of_run(part, reply)

    def _take_of_run(self, part: Part, reply: Measured | Mapped | Alternate | Complaint | Ended | Answer) -> None:
        match reply:
            case Measured() if reply.volume > part.measured:  # a script that was started again is given them anew
                part.measured = reply.volume
                part.run.measured(self.name, reply.volume, reply.measures)
                self.tally.measured(reply.measures)
            case Mapped():
                part.run.mapped(self.name, reply.found)
            case Alternate():
                part.deadlines.hand_over(reply.value)
            case Complaint():
                part.warn(self.name, part.run.latest, reply.error)
            case Ended():
                if reply.error:
                    logger.warning("%s: %s", self.name, reply.error)
                if reply.broken_off:
                    part.broken_off = provenance.without_folders(reply.broken_off)
                part.over = True
            case Answer():
                self._answer(part, reply)

    def _answer(self, part: Part, answer: Answer) -> None:
        now = self._clock.now()
        if answer.error is not None and answer.reason == "link":  # the script has not failed
            self._send(part, part.deadlines.failed(answer.volume, now, answer.reason))
            return
        part.note(answer)
        if answer.error is not None:
            part.fail(self.name, answer.volume, answer.error)
            self._send(part, part.deadlines.failed(answer.volume, now))
            return
        self._restarts = 0
        if answer.given is not None and answer.answered is not None:
            self._pace.took(answer.answered - answer.given)
            if answer.came is not None:  # both of the script's clock, however well that is known
                self._crossing.took(now - answer.given - (answer.answered - answer.came))
        if answer.given is not None and answer.analysed is not None:
            self._analysis.took(answer.analysed - answer.given)
        part.hold(answer, now)

    def _join(self) -> None:
        """Take part from the next volume on; of runs that are open the analysis is given what is kept, and the responses."""
        self.has_joined = True
        for run in self._open_runs():
            self._parts[run_key(run.entities)] = self._part(run, analysed=not run.is_ending)
            if not run.is_ending:
                self.host.catch_up(run.past)

    def _begun(self, error: RtbidsError | None) -> None:
        told, self.on_begun = self.on_begun, lambda error: None
        told(error)

    def _fault(self, error: RtbidsError) -> None:
        """A script that could be begun before may be begun again; one that could not has failed."""
        if self.tally.restarts == 0:
            self.fault = error
        self._wrong = Gone(str(error))
        self._begun(error)

    def _send(self, part: Part, lines: list[Line]) -> None:
        for line in lines:
            row = feedback.fields(self.name, part.run.name, line)
            for destination in self.destinations.values():
                destination.send(row)
            self.tally.sent(line, withheld=part.was_withheld(line))
            if part.analysed:
                self.host.tell(part.run.entities, Sent(line.volume, line.value, line.status))
            part.run.sent(self.name, line)
            stages = part.stages(line)
            if self.leads and line.status != "late":
                part.run.passed(line.volume, stages)

    def _note_deliveries(self) -> None:
        """Record what is known by now of lines that went to other machines."""
        if not self._confirming:
            return
        runs = {part.run.name: part.run for part in self._parts.values()}
        for deliveries in self._confirming:
            for delivery in deliveries.take(self.name):
                if (run := runs.get(str(delivery.row["run"]))) is not None:
                    run.delivered(delivery)

    def _is_awaiting(self, part: Part) -> bool:
        now = self._clock.now()
        return any(deliveries.is_awaited(self.name, part.run.name, now) for deliveries in self._confirming)

    def _unknown(self, part: Part) -> Iterator[Delivery]:
        for deliveries in self._confirming:
            yield from deliveries.unknown(self.name, part.run.name)

    @property
    def _delivered(self) -> Mapping[str, object]:
        """What the results say of the ways to other machines."""
        ways = {deliveries.destination: deliveries.connection() for deliveries in self._confirming}
        return {"Delivery": ways} if ways else {}

    def _end(self, part: Part) -> None:
        """Let a run that is ending call ``end(run)`` once every volume has its line."""
        if not part.ended and not part.deadlines.outstanding:
            part.ended = True
            if self.host.is_over or not part.analysed:
                part.over = True
            else:
                self.host.end(part.run.entities)

    @contextmanager
    def _on_its_own(self) -> Iterator[None]:
        """Let what goes wrong with this experiment be no other's fault: it is started again. Who debugs it sees it himself."""
        try:
            yield
        except Exception as error:
            if self.host.is_here:
                raise
            logger.debug("%s", self.name, exc_info=True)
            self._wrong = Gone(f"what came of it could not be taken ({short(error)})")
            with suppress(Exception):  # it may be the sending that goes wrong
                self.break_off()

    def _is_last(self, *, hurry: bool, over: bool) -> bool:
        """Say whether the script has nothing left to do but to end."""
        return hurry or self.is_leaving or (over and all(part.ended for part in self._parts.values()))

    def _patience(self, *, hurry: bool, over: bool) -> float:
        """Return how long the script may be silent, in seconds."""
        parts = self._parts.values()
        return patience(
            self.host.stage,
            [part.deadline for part in parts if part.deadline is not None],
            is_last=self._is_last(hurry=hurry, over=over),
            is_ending=any(part.ended for part in parts),
        )

    def _too_long(self, *, hurry: bool, over: bool) -> float | None:
        """Return when the script will have been silent for too long; None where that is not in sight.

        What a cut connection keeps from it does not count, unless it is all that a run waits for.
        """
        silent, cut = self.host.silent_since, self.host.cut_since
        if silent is None:
            return None
        seconds = self._patience(hurry=hurry, over=over)
        if cut is None or hurry or self.is_leaving:
            return silent + seconds
        is_last = over or any(part.ended for part in self._parts.values())
        return max(silent, cut) + CUT + seconds if is_last else None

    @property
    def _no_answer(self) -> Reason:
        """Why nobody will answer."""
        return "error" if self.host.cut_since is None else "link"

    def _stay_out(self, why: str) -> None:
        """Give up a script that could not be loaded while runs go on; they have lost nothing by it."""
        logger.warning("%s is not started: %s", self.name, why)
        self.tally.state = "failed"
        self.fault = self.fault or RtbidsError(why)
        self.host.give_up(why)
        self._begun(self.fault)

    def _silence(self, seconds: float) -> str:
        """Say what it is ended for that was silent for so long."""
        if self.host.cut_since is not None:
            return f"it could not be reached for {self._clock.now() - self.host.cut_since:.0f} s"
        after = f"{round(seconds, 1):g} s"
        return f"end() was broken off after {after}" if self.host.stage == "end" else f"it was silent for {after}"

    def _try_again(self, why: str) -> None:
        try:
            self._start_again(why)
        except OSError as error:  # no process, no memory
            self._give_up(f"{why}, and it cannot be started again ({short(error)})")

    def _start_again(self, why: str) -> None:
        if not all(part.run.is_kept for part in self._parts.values()):
            why += "; without --bids-dir its analysis begins anew"
        self.tally.restarts += 1
        self.tally.state = "loading"
        changed = provenance.changed_script(self.recipe, self.about)
        for part in self._parts.values():
            part.restarts.append({**part.interruption(why), **changed})
        for reply in self.host.restart(why):
            self._take_in(reply)
        logger.warning("%s is started again: %s", self.name, why)

    def _give_up(self, why: str, *, is_last: bool = False) -> None:
        is_done, in_end = is_last and all(part.ended for part in self._parts.values()), self.host.stage == "end"
        logger.warning("%s: %s%s", self.name, why, "" if is_done else "; its feedback is alternates from here on")
        if not self.is_leaving:
            self.tally.state = "failed"
        for part in self._parts.values():
            part.give_up(why, in_end=in_end)
        for reply in self.host.give_up(why):
            self._take_in(reply)
        self.break_off()
        for part in self._parts.values():
            part.over = part.over or part.ended
