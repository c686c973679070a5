"""An experiment in the run's own process, so that a breakpoint in it works."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import replace

from rtbids.clock import CLOCK, SystemClock
from rtbids.errors import ExperimentFault, RtbidsError
from rtbids.run.console.call import Answer as DoAtConsole
from rtbids.run.console.call import nothing
from rtbids.run.console.console import Console
from rtbids.run.deadlines import Value
from rtbids.run.past.sent import Sent
from rtbids.run.process.errands import Errands
from rtbids.run.process.host import Alternate, Answer, Complaint, Connection, Ended, Heard, Mapped, Measured, Past, Reply, Stage
from rtbids.run.process.shared import Shared
from rtbids.run.recipe.recipe import Recipe
from rtbids.run.responses.responses import Response
from rtbids.run.script.experiment import Experiment
from rtbids.volume import Entities, run_key
from rtbids.wakeup import Wakeup


class ExperimentHere:
    """An experiment in the run's own process; it is never silent: who has a breakpoint may take his time."""

    is_here = True
    is_over = False
    is_behind = False
    is_full = False
    backlog = 0
    stage: Stage | None = None
    silent_since: float | None = None
    cut_since: float | None = None
    connection: Connection | None = None

    def __init__(self, recipe: Recipe, *, console: DoAtConsole = nothing, clock: SystemClock = CLOCK) -> None:
        self._clock = clock
        self._replies: list[Reply] = []
        self._ready = Wakeup()
        self.fetched = Wakeup()  # nothing: who asks waits
        self._errands = Errands(recipe.name, console)
        self._begun: set[tuple[tuple[str, str], ...]] = set()
        config = recipe.config
        say = (self._hand_over, self._complain)
        at_console = Console(self._errands.ask)
        self._experiment = Experiment(
            recipe.script, config.settings, config.rois, *say, config.analysis, recipe.events, lambda first: at_console
        )

    @property
    def at_console(self) -> Mapping[str, int]:
        return self._errands.counts

    @property
    def process(self) -> int:
        return os.getpid()

    def fileno(self) -> int:
        return self._ready.fileno()

    def was_cut(self, since: float) -> bool:
        return False

    def restart(self, why: str) -> list[Reply]:
        raise ExperimentFault("an experiment in the run's own process cannot be started again")

    def give_up(self, why: str) -> list[Reply]:
        self.is_over = True
        return []

    def wait_until_loaded(self) -> None:
        """It is."""

    def flush(self) -> None:
        """Nothing is on its way."""

    def offer(self, shared: Shared) -> None:
        volume = shared.volume
        key = run_key(volume.entities)
        if key not in self._begun:
            self._begun.add(key)
            self._experiment.begin(volume, shared.where)
        answer = Answer(volume.entities, volume.index, given=self._clock.now())
        try:
            if measures := self._experiment.analyse(volume, shared.where):
                self._say(Measured(volume.entities, volume.index, measures))
            if not shared.ask:
                return
            answer = replace(answer, analysed=self._clock.now())
            value = self._experiment.feedback(volume)
            answer = replace(answer, value=value, answered=self._clock.now())
        except RtbidsError as error:
            answer = replace(answer, error=str(error))
        self._say(answer)
        self._settle(volume.entities)

    def _settle(self, entities: Entities) -> None:
        try:
            self._experiment.settle(entities)
        except RtbidsError as error:
            self._complain(entities, str(error))

    def catch_up(self, past: Iterable[Past | Heard]) -> None:
        """Take nothing: no experiment in this process joins a run that is under way."""

    def respond(self, entities: Entities, response: Response) -> None:
        self._experiment.respond(entities, response)

    def end(self, entities: Entities) -> None:
        self._begun.discard(run_key(entities))
        try:
            for found in self._experiment.maps(entities):
                self._say(Mapped(entities, found))
            self._experiment.end(entities)
            self._say(Ended(entities))
        except RtbidsError as error:
            self._say(Ended(entities, str(error)))

    def tell(self, entities: Entities, sent: Sent) -> None:
        self._experiment.sent(entities, sent)

    def replies(self) -> list[Reply]:
        self._ready.clear()
        replies, self._replies = self._replies, []
        return replies

    def close(self) -> None:
        self._errands.close()

    def _hand_over(self, entities: Entities, value: Value) -> None:
        self._say(Alternate(entities, value))

    def _complain(self, entities: Entities, error: str) -> None:
        self._say(Complaint(entities, error))

    def _say(self, reply: Reply) -> None:
        self._replies.append(reply)
        self._ready.set()
