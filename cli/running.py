"""A run composed of its parts: source, archive, experiment, destinations, report."""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, closing, nullcontext
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, Literal

from rtbids import __version__, private
from rtbids.archive.dataset import Archive
from rtbids.bids import events as bids_events
from rtbids.cli import archiving, console, dicom_sources, experiments, far_ends, mirroring, on, sources, whole_session
from rtbids.cli.experiments import Destinations
from rtbids.cli.far_feedback import Opener
from rtbids.cli.live import live
from rtbids.cli.request import Request, is_recorded, kind_of
from rtbids.cli.stopping import stopping
from rtbids.clock import CLOCK
from rtbids.errors import BadData, InputMissing, UsageFault
from rtbids.pipeline import Inbox, be_quick, first_volumes, pipe, with_events
from rtbids.plural import counted
from rtbids.priority import first_in_line
from rtbids.replay.pacing import paced
from rtbids.run.ahead import Ahead
from rtbids.run.control.control import Control
from rtbids.run.control.lookout import LatestWarnings, Lookout
from rtbids.run.control.orders import Orders
from rtbids.run.control.status import described
from rtbids.run.hearing import Hearing
from rtbids.run.lanes import Lane, MakeHost
from rtbids.run.process.launcher import Launcher
from rtbids.run.process.starter import Starter
from rtbids.run.process.waiting import ROOM, Room
from rtbids.run.progress import Progress
from rtbids.run.recipe import recipes
from rtbids.run.recipe.recipe import Recipe
from rtbids.run.recipe.recipes import Wishes
from rtbids.run.report.reports import Reports
from rtbids.run.responses.listeners import listening
from rtbids.run.session import Session
from rtbids.stream import endpoints
from rtbids.stream.clocks import on_our_clock
from rtbids.stream.ssh.settings import SshOptions
from rtbids.volume import Entities, Item, RunEnd, run_key

logger = logging.getLogger("rtbids")
NOT_WAITED = "the volumes are kept; what is not finished, the next rtbids run on this data set finishes"


@dataclass(frozen=True)
class Order:
    """What was asked for on the command line of ``rtbids run``, but for the source."""

    experiments: tuple[str, ...]
    wishes: Wishes = field(default_factory=Wishes)
    bids_dir: Path | None = None
    destinations: tuple[str, ...] = ("-",)
    responses: tuple[str, ...] = ()
    events: Path | None = None
    allow: tuple[str, ...] = ()
    in_process: bool = False
    fill_gaps: Literal["previous", "zero"] | None = None
    room: Room = ROOM
    overwrite: bool = False
    volumes: int | None = None
    others: whole_session.Choice = whole_session.ALL
    on: str | None = None
    ssh: SshOptions = field(default_factory=SshOptions)
    copying: mirroring.Copying | None = None


def run(order: Order, request: Request) -> Progress:
    """Do what was ordered until the source ends or a signal comes; return what there was."""
    kept = console.keep_warnings()
    found = recipes.read(order.experiments, order.wishes)
    if order.in_process and len(found) > 1:
        raise UsageFault("--in-process is for one experiment: a debugger has one terminal")
    if order.in_process and order.on:
        raise UsageFault("--in-process is for a script on this machine, not for --on")
    used = order.events or experiments.common_events(found)
    events = _events(used)
    for recipe in found:
        experiments.check(recipe)
    at_console = experiments.files(order.allow)
    found = _knowing(found, used, events, request.source, override=order.events is not None)
    places = Destinations(order.destinations, [recipe.name for recipe in found], Opener(request.far))
    progress = Progress()
    logger.addHandler(LatestWarnings(progress))
    on_screen, has_begun = threading.Event(), threading.Event()
    with (
        stopping(NOT_WAITED if order.bids_dir else None, on_screen.is_set, has_begun.is_set) as stop,
        ExitStack() as last,
        ExitStack() as stack,
    ):
        kind_of(request.source)  # before anything is made: is it there?
        identified = request.withheld.identified
        told = (kept.messages, request.faults)  # reports are closed last: what comes up when the others close is in them
        reports = stack.enter_context(Reports(order.bids_dir, found, *told)) if order.bids_dir else None
        data_set = archiving.opened(order.bids_dir, order.fill_gaps, identified=identified) if order.bids_dir else None
        archive = stack.enter_context(data_set) if data_set else None
        if order.on and order.bids_dir and order.copying:  # once the archive has closed
            last.enter_context(mirroring.mirrored(order.on, order.ssh, order.bids_dir, order.copying, request.far.typed))
        listens = stack.enter_context(listening(order.responses, request.open_timeout, console.say))
        stack.enter_context(places.opened(request.open_timeout, console.say, listens.servers))
        if order.in_process:
            make_host = experiments.here(at_console)
        elif order.on:
            make_host = experiments.apart(
                stack.enter_context(_elsewhere(order.on, order, request, progress)), at_console, order.room
            )
        else:
            make_host = experiments.apart(stack.enter_context(closing(Launcher())), at_console, order.room)
        session = Session(
            [Lane(recipe, make_host, places.of(recipe.name), CLOCK) for recipe in found],
            archive,
            clock=CLOCK,
            stop=stop,
            progress=progress,
            destinations=list(places.shared.values()),
            hearing=Hearing(listens.inbound) if order.responses else None,
            ahead=(ahead := Ahead()),
            is_live=request.live.wait and (kind_of(request.source) == "dicom" or endpoints.is_far(request.source)),
            on_end=reports.write if reports else lambda entities: None,
        )
        has_begun.set()  # until here nothing has come, and a script may take long to be brought to its machine and loaded
        placing = whole_session.placed(archive, order.others, request.entities, stop, request.withheld) if archive else None
        others = stack.enter_context(placing) if placing else None
        about = {
            "process": os.getpid(),
            "version": __version__,
            "began": CLOCK.now(),
            "source": str(Path(request.source).resolve()) if Path(request.source).exists() else request.source,
            "data_set": str(order.bids_dir.resolve()) if order.bids_dir else None,
        }
        session.control = _control(session, make_host, places, found, used, about)
        request = replace(
            request,
            stop=stop,
            on_mode=console.watching(request.source),
            on_link=request.on_link if order.on else partial(on.show_source, progress),
            others=others,
        )
        be_quick()
        stack.enter_context(Lookout(session, order.bids_dir))
        has_stdout = any(one.rpartition("=")[2] == "-" for one in order.destinations)
        shown = live(progress, lambda: described(session, about), on_screen, has_stdout=has_stdout)
        with nullcontext() if order.in_process else shown:  # a debugger has the terminal to itself
            inbox = Inbox(session.runs.opened(_items(order, request, archive, events, ahead)), around=first_in_line)
            with nullcontext() if order.in_process else first_in_line(2):  # a script in this process may do anything
                session.run(inbox)
        stack.close()  # every run is compressed, every report written
        _say(progress, order, reports)
    return progress


def _elsewhere(place: str, order: Order, request: Request, progress: Progress) -> AbstractContextManager[Starter]:
    """Give what starts scripts at `place`, where nothing is copied to that this command reads or writes itself."""
    written = [word.rpartition("=")[2] for word in order.destinations]
    stays = [Path(each) for each in (request.source, order.bids_dir, request.wish.key, *written) if each]
    sender = far_ends.sender(" ".join(os.path.realpath(one) for one in order.experiments))
    return on.launcher(place, order.ssh, progress, stays, sender, request.far.typed)


def _control(
    session: Session,
    make_host: MakeHost,
    places: Destinations,
    found: list[Recipe],
    events: Path | None,
    about: Mapping[str, object],
) -> Control | None:
    """Open the run's control socket, where there is a place for one: `found` grows by what is started through it."""

    def prepare(request: Mapping[str, Any], taken: Sequence[str]) -> Lane:
        lane = experiments.prepared(request, taken, places.shared, make_host, console.say, places.far)
        experiments.say_whose_events(lane.recipe, events)
        found.append(lane.recipe)
        return lane

    orders = Orders(session, prepare, about)
    try:
        orders.control = Control(*private.listening(), orders.take)
    except OSError as error:
        logger.info("rtbids status will not see this run: no control socket (%s)", error)
        return None
    return orders.control


def _items(order: Order, request: Request, archive: Archive | None, events: str | None, ahead: Ahead) -> Iterator[Item]:
    places: dict[tuple[tuple[str, str], ...], Entities] = {}

    def on_held(entities: Entities, index: int, received: float) -> None:
        ahead.tell(places.get(run_key(entities), entities), index, received)

    request = replace(request, on_held=on_held)
    if archive is not None:
        request = replace(request, number=dicom_sources.numbering(request.entities.get("run"), archive.number))
    explicit = "run" in request.entities and kind_of(request.source) != "bids"
    stages: list[Callable[[Iterator[Item]], Iterator[Item]]] = [lambda items: first_volumes(items, order.volumes)]
    if is_recorded(request.source):
        stages.append(lambda items: paced(items, None))
    elif kind_of(request.source) == "stream" and not endpoints.is_far(request.source):  # whose times are ours already
        stages.append(lambda items: on_our_clock(items, CLOCK))
    if events is not None:
        override = order.events is not None
        stages.append(lambda items: with_events(items, events, override=override))
    if archive is not None:
        stages.append(lambda items: _placed(items, archive, places, overwrite=order.overwrite, explicit=explicit))
    items: Iterator[Item] = pipe(sources.items(request), *stages)
    return items


def _placed(
    items: Iterator[Item],
    archive: Archive,
    places: dict[tuple[tuple[str, str], ...], Entities],
    *,
    overwrite: bool,
    explicit: bool,
) -> Iterator[Item]:
    """Give each run the entities that it is archived under, and note them in `places`."""
    for item in items:
        key = run_key(item.entities)
        if isinstance(item, RunEnd) and key not in places:  # a run without a volume
            yield item
            continue
        if key not in places:
            places[key] = archive.place(item.entities, overwrite=overwrite, explicit=explicit)
        yield item if places[key] is item.entities else replace(item, entities=places[key])


def _events(path: Path | None) -> str | None:
    if path is None:
        return None
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise InputMissing(f"{path}: the events cannot be read ({error.strerror})") from None
    except UnicodeDecodeError:
        raise BadData(f"{path}: expected a table in UTF-8") from None
    for event in bids_events.read(text, str(path)).rows:
        if event.duration < 0:
            raise BadData(f"{path}: the event at {event.onset:g} s has a duration of {event.duration:g} s: expected 0 or more")
    return bids_events.in_order(text)


def _knowing(found: list[Recipe], table: Path | None, events: str | None, source: str, *, override: bool) -> list[Recipe]:
    """Tell the experiments which events there will be, where the source cannot bring others."""
    is_live = kind_of(source) == "dicom"
    if not (is_live or override):
        return found
    has_rows = not is_live or bool(events and bids_events.read(events, f"{table}").rows)
    return [experiments.with_known_events(recipe, table, has_rows=has_rows) for recipe in found]


def _say(progress: Progress, order: Order, reports: Reports | None) -> None:
    if not progress.volumes:
        logger.warning("no functional volume came")
        return
    missing = [f"{progress.missing} missing"] if progress.missing else []
    tallies = [*progress.left, *progress.tallies]
    counts = [[f"{tally.answers} answered in time", counted(tally.alternates, "alternate")] for tally in tallies]
    alone = counts[0] if len(counts) == 1 else []
    console.say(f"{', '.join(progress.runs)}: {', '.join([counted(progress.volumes, 'volume'), *alone, *missing])}")
    for tally, parts in zip(tallies, counts, strict=True) if not alone else ():
        console.say(f"{tally.experiment}: {', '.join(parts)}")
    if order.bids_dir:
        console.say(f"data set: {order.bids_dir}")
    for path in reports.written if reports else ():
        console.say(f"report:   {path}")
