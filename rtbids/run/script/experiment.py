"""The researcher's script: loaded, given volumes, asked for feedback."""

from __future__ import annotations

import bdb
import logging
import math
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rtbids.analysis import event_remarks
from rtbids.analysis.lifeless import has_a_number
from rtbids.analysis.roi import Roi
from rtbids.bids import entities as bids_entities
from rtbids.bids import events as bids_events
from rtbids.bids.events import Events, EventsSoFar
from rtbids.errors import ExperimentFault, RtbidsError
from rtbids.run.console.console import Console
from rtbids.run.deadlines import Value
from rtbids.run.one_line import short
from rtbids.run.past.sent import Sent
from rtbids.run.past.volumes_so_far import VolumesSoFar
from rtbids.run.past.where import NOWHERE, Where
from rtbids.run.recipe import region
from rtbids.run.recipe.analysis_config import Analysis
from rtbids.run.recipe.region import Region
from rtbids.run.responses import responses
from rtbids.run.responses.responses import Response
from rtbids.run.script import script_file
from rtbids.run.script.run import Run
from rtbids.run.script.values import checked
from rtbids.volume import Volume, run_key

if TYPE_CHECKING:
    from rtbids.run.chain.chain import Chain
    from rtbids.run.record.derived_tables import Measures
    from rtbids.run.record.statistical_maps import StatMap

logger = logging.getLogger("rtbids")


class Experiment:
    """A loaded script and the runs that it is in.

    Parameters
    ----------
    script, settings, rois
        As the recipe has them.
    hand_over
        Called with (run key, value) when the script sets an alternate.
    complain
        Called with (run key, what was wrong) when ``response(event, run)`` raises: that costs no feedback.
    analysis
        What is worked out of every volume before the script is asked.
    events
        The table of events that every run will have, where that is known.
    console
        Given a run's first volume, returns what the script sees of the console.
    """

    def __init__(
        self,
        script: Path,
        settings: Mapping[str, object],
        rois: Mapping[str, Path | Region],
        hand_over: Callable[[Mapping[str, str], Value], None],
        complain: Callable[[Mapping[str, str], str], None] = lambda entities, error: None,
        analysis: Analysis | None = None,
        events: Path | None = None,
        console: Callable[[Volume], Console] = lambda first: Console(),
    ) -> None:
        self._script = script
        self._module = script_file.load(script)
        self._settings = script_file.settings(self._module, settings, script)
        self._rois = rois
        self._hand_over = hand_over
        self._complain = complain
        self._console = console
        self._analysis = analysis
        if analysis is not None:
            from rtbids.run.chain import chain

            chain.prepare(analysis)
        self._told = None
        if analysis is not None and events is not None:
            from rtbids.run.chain import foreseen

            self._told = foreseen.say(analysis, events)
        self._runs: dict[tuple[tuple[str, str], ...], Run] = {}
        self._early: dict[tuple[tuple[str, str], ...], list[Sent]] = {}  # what left before its run began here

    def begin(self, first: Volume, where: Where = NOWHERE) -> None:
        """Begin a run, whose geometry, sidecar and events `first` carries: masks are read and ``start(run)`` is called."""
        with _as_faults("the beginning of the run"):
            run = self._new_run(first, where)
        for remark in self._remarks(run):
            logger.warning("%s", remark)
        self._runs[run_key(first.entities)] = run
        self._call("start", run)

    def _new_run(self, first: Volume, where: Where) -> Run:
        entities = dict(first.entities)
        name = bids_entities.stem(entities)
        known, came = responses.split(first.events) if first.events else (None, ())
        rows = bids_events.read(known, f"the events of {name}").rows if known else ()
        events = EventsSoFar(rows, (self._analysis.conditions if self._analysis else None) or ())
        regions = {}
        for roi, entry in self._rois.items():
            regions[roi] = region.of(entry).roi(roi, first, events)
        return Run(
            self._settings,
            entities,
            first.repetition_time,
            events,
            self._early.pop(run_key(entities), []),
            _rois=regions,
            _hand_over=lambda value: self._hand_over(entities, value),
            _to_come=deque(came),
            _chain=self._chain(first, events, regions, where),
            _so_far=VolumesSoFar(entities),
            _where=where,
            console=self._console(first),
            _is_open=lambda name: any(name == bids_entities.stem(run.entities) for run in self._runs.values()),
        )

    def _remarks(self, run: Run) -> Iterator[str]:
        """Return what is unusual about the events that are known."""
        planned = self._analysis.volumes if self._analysis else None
        modelled = run._chain is not None and run._chain.design is not None
        return event_remarks.beforehand(run.events.rows, planned and planned * run.repetition_time, modelled=modelled)

    def _chain(self, first: Volume, events: Events, regions: Mapping[str, Roi], where: Where) -> Chain | None:
        if self._analysis is None:
            return None
        from rtbids.run.chain.chain import Chain

        return Chain(self._analysis, first, events, regions, length=_length(first, where), told=self._told)

    def analyse(self, volume: Volume, where: Where = NOWHERE) -> Measures:
        """Bring the analysis up to `volume`; return its numbers, table by table of the run.

        Every volume comes here, also those whose feedback is not asked for.
        """
        run = self._runs[run_key(volume.entities)]
        self._replay_responses(run, volume.index)
        run._so_far.add(volume, where)
        self._look(run, volume)
        if run._chain is None:
            for roi in run._rois.values():
                roi.add(volume)
            return {}
        with _as_faults(f"the analysis of volume {volume.index}"):
            run._chain.add(volume)
        return run._chain.measures()

    def _look(self, run: Run, volume: Volume) -> None:
        """Say once what no brain gives, whatever analysis there is."""
        for roi in run._rois.values():
            roi.look(volume)
        if not run._is_blank and not has_a_number(volume):
            run._is_blank = True
            logger.warning("volume %d is all without a number: nothing can be said of it", volume.index)

    def settle(self, entities: Mapping[str, str]) -> None:
        """Do what of the analysis may wait until the script has answered."""
        run = self._runs.get(run_key(entities))
        if run is not None and run._chain is not None:
            with _as_faults("the analysis after an answer"):
                run._chain.settle()

    def maps(self, entities: Mapping[str, str]) -> Iterator[StatMap]:
        """Yield the maps of a run that is about to end."""
        run = self._runs[run_key(entities)]
        if run._chain is not None:
            yield from run._chain.maps()

    def feedback(self, volume: Volume) -> Value:
        """Ask the script; raise ExperimentFault, in one line with file and line number, where it raises."""
        return checked(self._call("feedback", volume, self._runs[run_key(volume.entities)]))

    def sent(self, entities: Mapping[str, str], sent: Sent) -> None:
        """Tell the script what has left."""
        run = self._runs.get(run_key(entities))
        told = run.feedback if run is not None else self._early.setdefault(run_key(entities), [])
        told.append(sent)

    def respond(self, entities: Mapping[str, str], response: Response, *, ask: bool = True) -> None:
        """Take a response into a run that has begun: ``response(event, run)`` is called, unless that was done before."""
        run = self._runs[run_key(entities)]
        run.responses.append(response)
        try:
            with _as_faults("an event that came"):
                self._learn(run, response)
            if ask:
                self._call("response", response, run)
        except RtbidsError as error:
            self._complain(entities, str(error))

    def _learn(self, run: Run, response: Response) -> None:
        run.events.add(responses.event(response))
        if run._chain is not None:
            run._chain.event(response.onset, response.duration, response.name)

    def end(self, entities: Mapping[str, str]) -> None:
        """End a run: ``end(run)`` is called."""
        run = self._runs[run_key(entities)]
        self._replay_responses(run, math.inf)
        self._call("end", self._runs.pop(run_key(entities)))

    def _replay_responses(self, run: Run, before: float) -> None:
        """Give the script the responses of a recorded run when it had them then: before the volume that came next."""
        while run._to_come and run._to_come[0].after_volume < before:
            self.respond(run.entities, run._to_come.popleft())

    def _call(self, function: str, *arguments: object) -> Any:
        if not hasattr(self._module, function):
            return None
        try:
            return getattr(self._module, function)(*arguments)
        except bdb.BdbQuit:
            raise KeyboardInterrupt from None  # who leaves the debugger wants to leave
        except Exception as error:
            raise ExperimentFault(f"{function}() {script_file.where(error, self._script)}") from error


def _length(first: Volume, where: Where) -> int | None:
    """Return how many volumes the data set has of a run that is replayed, None where it is none."""
    count = where.length
    if where.source is not None:
        from rtbids.convert.stored import Stored

        count = Stored(Path(where.source)).count
    return None if count is None else count + len(first.metadata.get("MissingVolumes") or ())


@contextmanager
def _as_faults(what: str) -> Iterator[None]:
    """Let what goes wrong cost one volume's feedback: the run and the volumes to come have no part in it."""
    try:
        yield
    except RtbidsError:
        raise
    except Exception as error:
        raise ExperimentFault(f"{what} failed: {short(error)}") from error
