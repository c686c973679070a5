"""The far end of a SOURCE ``ssh://host/PATH``: watch, de-identify and convert here, and give to the near side."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from rtbids.cli import deid_stage, dicom_sources, far_places, far_sources, sources
from rtbids.cli.request import Live, Request, kind_of
from rtbids.cli.withheld import withheld
from rtbids.clock import CLOCK
from rtbids.errors import UsageFault
from rtbids.pipeline import Inbox, be_quick
from rtbids.stream import linked, units
from rtbids.stream.branch import LOOK, Units
from rtbids.stream.far import keeper
from rtbids.stream.far.takeover import retire
from rtbids.stream.link import Arrived, Link
from rtbids.stream.units import Unit

_TEXTS = ("subject", "session", "task", "acquisition", "run")


def give(link: Link, arguments: Mapping[str, Any]) -> None:
    """Give what comes at the place that `arguments` name until it ends, or the near side says to stop."""
    path = far_places.path(arguments)
    far_places.check_leaving(arguments)
    keeper.tell(place=str(path), images=0)
    retire("give", str(path), arguments)
    request = _request(str(path), arguments)
    found = _files(request) if arguments.get("files") is True else sources.stream(request)

    def heard(arrived: Arrived) -> None:
        if arrived.member.name == far_sources.STOP:
            request.stop.set()

    be_quick()
    is_live = kind_of(str(path)) == "dicom"
    link.send(far_sources.READY, far_sources.ready(_what(request), request.live.since, is_live=is_live))
    linked.write_link(far_places.told(_until(found, request)), link, on_heard=heard)


def _what(request: Request) -> str:
    return "as it is" if request.deidentify is None else "de-identified"


def _request(path: str, arguments: Mapping[str, Any]) -> Request:
    form = kind_of(path)
    identified = arguments.get("identified") is True
    wish = deid_stage.Wish(deidentify=True if arguments.get("deidentify") is not False and not identified else None)
    stage = deid_stage.stage(wish, identified=identified, late=form == "stream")
    keep = arguments.get("keep")
    return Request(
        path,
        _entities(arguments),
        _live(arguments, path),
        keep if keep in ("original", "corrected", "both") else "original",
        None,
        open_timeout=far_places.timeout(arguments),
        withheld=withheld(identified=identified),
        deidentify=stage,
    )


def _entities(arguments: Mapping[str, Any]) -> dict[str, str]:
    from rtbids.cli.options import labels

    given = arguments.get("entities")
    found = {name: given.get(name) for name in _TEXTS} if isinstance(given, dict) else {}
    return labels({name: value for name, value in found.items() if isinstance(value, str)})


def _live(arguments: Mapping[str, Any], path: str) -> Live:
    series, idle = arguments.get("series"), arguments.get("idle_timeout")
    if series is not None and not (isinstance(series, list) and all(isinstance(number, int) for number in series)):
        raise UsageFault("expected numbers of series")
    pattern, poll = arguments.get("pattern"), arguments.get("poll")
    return Live(
        pattern if isinstance(pattern, str) else "*",
        arguments.get("existing") is not False,
        arguments.get("wait") is not False,
        float(idle) if isinstance(idle, int | float) and math.isfinite(idle) else None,
        poll if isinstance(poll, bool) else None,
        frozenset(series) if series is not None else None,
        since=None if arguments.get("existing") is not False else _since(arguments.get("since"), path),
    )


def _since(told: object, path: str) -> int:
    """Return after which moment files are new: now, or, after a keeper was killed, when that one began."""
    from rtbids.watch.directory import latest_change

    return told if isinstance(told, int) and not isinstance(told, bool) else latest_change(Path(path))


def _files(request: Request) -> Iterator[Unit]:
    """Give files of DICOM, of a folder or a stream of them."""
    if kind_of(request.source) == "stream":
        return sources.stream(request)
    images = dicom_sources.instances(request)
    return units.of_members(dicom_sources.member_of(image, number) for number, image in enumerate(images, 1))


def _until(found: Iterator[Unit], request: Request) -> Units:
    """Give units, and None while none comes; after a stop what is on its way."""
    inbox: Inbox[Unit] = Inbox(found, wake=lambda: CLOCK.now() + LOOK)
    stopped: float | None = None
    for unit in inbox:
        yield unit
        if request.stop.is_set():
            stopped = CLOCK.now() if stopped is None else stopped
            if unit is None and CLOCK.now() - stopped > 1.0:
                return
