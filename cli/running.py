"""A run composed of its parts: source, archive, experiment, destinations, report."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

from rtbids.analysis import masks
from rtbids.archive.dataset import Archive
from rtbids.bids import events as bids_events
from rtbids.cli import archiving, console, sources, whole_session
from rtbids.cli.stopping import stopping
from rtbids.clock import CLOCK
from rtbids.errors import BadData, InputMissing
from rtbids.pipeline import Inbox, be_quick, first_volumes, pipe, with_events
from rtbids.replay.pacing import paced
from rtbids.run import destinations, recipe
from rtbids.run.host import ExperimentHere, ExperimentProcess, Host, IsOverdue, Recall
from rtbids.run.progress import Progress
from rtbids.run.reports import Reports
from rtbids.run.session import Plan, Session
from rtbids.volume import Entities, Item, RunEnd, run_key

NOT_WAITED = "the volumes are kept; the next rtbids run on this data set finishes the run"


@dataclass(frozen=True)
class Order:
    """What was asked for on the command line of ``rtbids run``, but for the source."""

    experiment: str
    assignments: tuple[str, ...] = ()
    overrides: Mapping[str, object] = field(default_factory=dict)
    bids_dir: Path | None = None
    destinations: tuple[str, ...] = ("-",)
    events: Path | None = None
    in_process: bool = False
    fill_gaps: Literal["previous", "zero"] | None = None
    overwrite: bool = False
    volumes: int | None = None
    others: whole_session.Choice = whole_session.ALL


def run(order: Order, request: sources.Request) -> Progress:
    """Do what was ordered until the source ends or a signal comes; return what there was."""
    experiment = recipe.read(order.experiment, order.assignments)
    experiment = replace(experiment, config=replace(experiment.config, **order.overrides))  # type: ignore[arg-type]
    events = _events(order.events or experiment.config.events)
    for path in experiment.config.rois.values():
        masks.read(path)  # is it there? Their grid is known with the first volume only
    kept = console.keep_warnings()
    progress = Progress()
    with stopping(NOT_WAITED if order.bids_dir else None) as stop, ExitStack() as stack:
        sources.kind(request.source)  # before anything is made: is it there?
        archive = stack.enter_context(archiving.opened(order.bids_dir, order.fill_gaps)) if order.bids_dir else None
        reports = Reports(order.bids_dir, experiment, kept.messages, request.faults) if order.bids_dir else None
        opened = destinations.open_all(order.destinations, request.open_timeout, say=console.say)
        session = Session(
            experiment,
            _host(order, experiment),
            archive,
            opened,
            plan=Plan(experiment.config.deadline, order.in_process),
            clock=CLOCK,
            stop=stop,
            progress=progress,
            on_end=reports.write if reports else lambda entities: None,
        )
        others = stack.enter_context(whole_session.placed(archive, order.others, request.entities, stop)) if archive else None
        request = replace(request, stop=stop, on_mode=console.watching(request.source), others=others)
        be_quick()
        with nullcontext() if order.in_process else console.live(progress):  # a debugger has the terminal to itself
            session.run(Inbox(_items(order, request, archive, events)))
        if reports:
            reports.close()
        stack.close()  # every run is compressed
        _say(progress, order, reports)
    return progress


def _host(order: Order, experiment: recipe.Recipe) -> Callable[[IsOverdue, Recall], Host]:
    if order.in_process:
        return lambda is_overdue, recall: ExperimentHere(experiment)
    return lambda is_overdue, recall: ExperimentProcess(experiment, is_overdue, recall)


def _items(order: Order, request: sources.Request, archive: Archive | None, events: str | None) -> Iterator[Item]:
    if archive is not None:
        request = replace(request, number=sources.numbering(request.entities.get("run"), archive.number))
    explicit = "run" in request.entities and sources.kind(request.source) != "bids"
    stages: list[Callable[[Iterator[Item]], Iterator[Item]]] = [lambda items: first_volumes(items, order.volumes)]
    if sources.is_recorded(request.source):
        stages.append(lambda items: paced(items, None))
    if events is not None:
        override = order.events is not None
        stages.append(lambda items: with_events(items, events, override=override))
    if archive is not None:
        stages.append(lambda items: _placed(items, archive, overwrite=order.overwrite, explicit=explicit))
    items: Iterator[Item] = pipe(sources.items(request), *stages)
    return items


def _placed(items: Iterator[Item], archive: Archive, *, overwrite: bool, explicit: bool) -> Iterator[Item]:
    """Give each run the entities that it is archived under."""
    places: dict[tuple[tuple[str, str], ...], Entities] = {}
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
    bids_events.read(text, str(path))
    return bids_events.in_order(text)


def _say(progress: Progress, order: Order, reports: Reports | None) -> None:
    if not progress.volumes:
        logging.getLogger("rtbids").warning("no functional volume came")
        return
    parts = [f"{progress.volumes} volumes", f"{progress.answers} answered in time", f"{progress.alternates} alternates"]
    if progress.missing:
        parts.append(f"{progress.missing} missing")
    console.say(f"{', '.join(progress.runs)}: {', '.join(parts)}")
    if order.bids_dir:
        console.say(f"data set: {order.bids_dir}")
    for path in reports.written if reports else ():
        console.say(f"report:   {path}")
