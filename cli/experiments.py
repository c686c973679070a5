"""The experiments of a run, composed: recipe, process and destinations of each, and of one that is started meanwhile."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from rtbids.clock import CLOCK
from rtbids.errors import UsageFault
from rtbids.run.console import allowed
from rtbids.run.console.call import Answer
from rtbids.run.console.files import Files
from rtbids.run.feedback import destinations
from rtbids.run.feedback.deliveries import Confirming
from rtbids.run.feedback.feedback import Destination
from rtbids.run.feedback.line_server import LineServer
from rtbids.run.lanes import Lane, MakeHost
from rtbids.run.process.experiment_here import ExperimentHere
from rtbids.run.process.experiment_process import ExperimentProcess
from rtbids.run.process.host import Host, IsOverdue, Recall
from rtbids.run.process.starter import Starter
from rtbids.run.process.waiting import ROOM, Room
from rtbids.run.recipe import analysis_config, recipes
from rtbids.run.recipe.recipe import Recipe
from rtbids.run.recipe.recipes import Wishes

logger = logging.getLogger("rtbids")


def here(at_console: Answer) -> MakeHost:
    """Have the script in this process."""

    def make(recipe: Recipe, is_overdue: IsOverdue, recall: Recall) -> Host:
        return ExperimentHere(recipe, console=at_console)

    return make


def apart(launcher: Starter, at_console: Answer, room: Room = ROOM) -> MakeHost:
    """Have each script in a process of its own."""

    def make(recipe: Recipe, is_overdue: IsOverdue, recall: Recall) -> Host:
        return ExperimentProcess(recipe, is_overdue, recall, launcher=launcher, console=at_console, room=room)

    return make


def files(allow: Sequence[str]) -> Answer:
    """Return what does what scripts ask for at the console, where they may: each text is ``DIR[:.EXT,...]``."""
    return Files([allowed.parse(text) for text in allow]).answer


def check(recipe: Recipe) -> None:
    """Raise what is wrong with the masks; their grid is known with the first volume only."""
    for region in recipe.regions.values():
        region.check()


def with_known_events(recipe: Recipe, table: Path | None, *, has_rows: bool) -> Recipe:
    """Return an experiment whose runs will have the events of `table` and no others.

    Raises
    ------
    UsageFault
        Where its analysis depends on the run's length, and nothing tells that.
    """
    analysis = recipe.config.analysis
    if analysis is not None and analysis.drift != "none" and analysis.volumes is None and not has_rows:
        fault = analysis_config.without_length(analysis)
        raise UsageFault(f"{recipe.name}: {fault}", fault.hint)
    return replace(recipe, events=table)


def common_events(found: Sequence[Recipe]) -> Path | None:
    """Return the events that a config names: they are the stream's, so that of several experiments the first has its way."""
    named = [(recipe.name, recipe.config.events) for recipe in found if recipe.config.events is not None]
    for name, path in named[1:]:
        if path != named[0][1]:
            logger.warning("%s has events of its own (%s): those of %s are used", name, path, named[0][0])
    return named[0][1] if named else None


def say_whose_events(added: Recipe, used: Path | None) -> None:
    """Warn where an experiment that is added to a run has other events than those which the stream was given at its start."""
    own = added.config.events
    if own is not None and (used is None or own != used.resolve()):
        whose = "none: the stream began without" if used is None else f"{used}"
        logger.warning("%s has events of its own (%s): those of the stream are used, %s", added.name, own, whose)


class Destinations:
    """Where feedback goes: each place is opened once, however many experiments send to it; `far` opens what is elsewhere."""

    def __init__(self, texts: Sequence[str], names: Sequence[str], far: destinations.OpenFar | None = None) -> None:
        self._meant = [recipes.addressed(text, names, "--feedback") for text in texts]
        self.far = far
        self._opened: Mapping[str, Destination] = {}

    def open(self, timeout: float, say: Callable[[str], None], servers: Mapping[str, LineServer] | None = None) -> None:
        """Open all of them, or none; `servers` take responses already."""
        places = list(dict.fromkeys(place for _, place in self._meant))
        opened = destinations.open_all(places, timeout, servers=servers, say=say, far=self.far)
        self._opened = dict(zip(places, opened, strict=True))

    @contextmanager
    def opened(self, timeout: float, say: Callable[[str], None], servers: Mapping[str, LineServer]) -> Iterator[None]:
        """Open all of them; at the end what is on other machines is closed, which a run that was never begun has not done."""
        self.open(timeout, say, servers)
        try:
            yield
        finally:
            for destination in self._opened.values():
                if isinstance(destination, Confirming):
                    destination.close(0.0)

    @property
    def shared(self) -> Mapping[str, Destination]:
        """Those that are for every experiment."""
        return {place: self._opened[place] for name, place in self._meant if name is None}

    def of(self, name: str) -> Mapping[str, Destination]:
        """Those of one experiment."""
        return {place: self._opened[place] for meant, place in self._meant if meant in (None, name)}


def prepared(
    request: Mapping[str, Any],
    taken: Sequence[str],
    shared: Mapping[str, Destination],
    make_host: MakeHost,
    say: Callable[[str], None],
    far: destinations.OpenFar | None = None,
) -> Lane:
    """Make the lane that a request ``start`` describes; see docs/reference/control.rst."""
    experiment, deadline = request.get("experiment"), request.get("deadline")
    texts = {key: request.get(key) or [] for key in ("set", "feedback")}
    if not isinstance(experiment, str) or not all(_is_texts(value) for value in texts.values()):
        raise UsageFault("start takes an experiment (text), set and feedback (lists of texts) and a deadline (seconds)")
    if deadline is not None and not (isinstance(deadline, int | float) and 0 < deadline < float("inf")):
        raise UsageFault(f"deadline: expected seconds above 0, found {deadline!r}")
    overrides = {"deadline": [(None, float(deadline))]} if deadline is not None else {}
    (recipe,) = recipes.read([experiment], Wishes(texts["set"], overrides), taken)
    check(recipe)
    own = Destinations(texts["feedback"], [recipe.name], far)
    own.open(10.0, say)
    return Lane(recipe, make_host, own.of(recipe.name) or shared, CLOCK)


def _is_texts(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(text, str) for text in value)
