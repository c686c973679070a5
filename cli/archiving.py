"""Into a data set from the command line: numbering, unfinished runs, and what was done, in words."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Literal

from rtbids.archive.dataset import Archive, add
from rtbids.bids import entities as bids_entities
from rtbids.cli import console, dicom_sources, sources, whole_session
from rtbids.cli.request import Request
from rtbids.errors import RtbidsError
from rtbids.pipeline import Inbox, first_volumes
from rtbids.plural import counted
from rtbids.run.record import record
from rtbids.run.report import report, reports
from rtbids.volume import Item

logger = logging.getLogger("rtbids")


@contextmanager
def opened(
    bids_dir: Path, fill_gaps: Literal["previous", "zero"] | None = None, *, identified: bool = False
) -> Iterator[Archive]:
    """Open a data set and finish what a killed run left; on leaving, wait until every run is compressed."""
    with Archive(bids_dir, fill_gaps=fill_gaps, identified=identified) as archive:
        for name in archive.recover():
            _complete(bids_dir, name)
            console.say(f"finished {name}, which an earlier rtbids left when it was killed")
        yield archive


def _complete(bids_dir: Path, name: str) -> None:
    """Write what a killed run had no time for: rows of its tables, and its report."""
    entities = bids_entities.parse(f"{name}_bold.nii")[0]
    note = "The rtbids that recorded this run was killed; the run was finished later."
    try:
        if record.complete(bids_dir, entities):
            report.write(bids_dir, entities, reports.destination(bids_dir, entities), warnings=(note,))
    except (RtbidsError, OSError, ValueError) as error:  # a report of the past is not worth a run of now
        logger.warning("the tables or the report of %s could not be finished: %s", name, error)


def convert(
    request: Request,
    bids_dir: Path,
    volumes: int | None,
    *,
    overwrite: bool,
    others: whole_session.Choice = whole_session.ALL,
) -> None:
    """Grow a data set from a source until the source ends, and say what there is."""
    grow(request, bids_dir, lambda placed: first_volumes(sources.items(placed), volumes), overwrite=overwrite, others=others)


def grow(
    request: Request,
    bids_dir: Path,
    items_of: Callable[[Request], Iterator[Item]],
    *,
    overwrite: bool = False,
    others: whole_session.Choice = whole_session.ALL,
) -> None:
    """Grow a data set from what `items_of` gives for a request that knows of the data set, and say what there is."""
    withheld = request.withheld
    with (
        opened(bids_dir, identified=withheld.identified) as archive,
        whole_session.placed(archive, others, request.entities, request.stop, withheld) as placing,
    ):
        number = dicom_sources.numbering(request.entities.get("run"), archive.number)
        request = replace(request, number=number, others=placing, hurry=False)
        inbox: Inbox[Item] = Inbox(items_of(request))
        explicit = "run" in request.entities
        summary(add(inbox.until(request.stop), archive, explicit=explicit, overwrite=overwrite), bids_dir)


def summary(counts: Mapping[str, int], bids_dir: Path) -> None:
    """Say what was added."""
    for name, count in counts.items():
        console.say(f"{name}: {counted(count, 'volume')} in {bids_dir}")
    if not counts:
        console.say("no functional volume came")
