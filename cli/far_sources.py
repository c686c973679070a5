"""A SOURCE on another machine, ``ssh://host/PATH``: what is watched, de-identified and converted there comes here."""

from __future__ import annotations

import json
import logging
from collections.abc import Generator, Iterator, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from rtbids.cli import far_ends
from rtbids.clock import CLOCK
from rtbids.errors import BadData, StreamBroken, UsageFault
from rtbids.receipt import abandon, settle
from rtbids.stream import bidsi, carried, clocks, linked
from rtbids.stream.link import Link
from rtbids.stream.standing import Standing
from rtbids.stream.taken import Taken
from rtbids.stream.units import Unit
from rtbids.volume import Item

if TYPE_CHECKING:
    from rtbids.cli.request import Request
    from rtbids.convert.dicom import Instance

READY, STOP = "give/ready.json", "give/stop.json"
ENDING = 60.0  # seconds for the far side to have ended
logger = logging.getLogger("rtbids")


def units(request: Request, *, as_files: bool = False) -> Iterator[Unit]:
    """Connect now, and give what comes there: each volume once, though either side's connection or process was killed.

    Its times are by this machine's clock.
    """
    link, place, _ = _dialled(request, as_files=as_files)
    return _units(link, place, request)


def items(request: Request) -> Iterator[Item]:
    """Connect now, and give the volumes that come there, those of a stream there as if they were received now."""
    link, place, is_live = _dialled(request, as_files=False)
    members = (member for unit in _units(link, place, request) for member in unit.members())
    found = bidsi.decode(members, place)
    return found if is_live else clocks.on_our_clock(found, CLOCK)


def files(request: Request) -> Iterator[Instance]:
    """Connect now, and give the DICOM files that come there."""
    link, place, _ = _dialled(request, as_files=True)
    return _files(_units(link, place, request), request)


def _dialled(request: Request, *, as_files: bool) -> tuple[Link, str, bool]:
    """Return the link, its place, and whether images become volumes there, which are received by the clock there."""
    place = far_ends.address(request.source)
    if request.wish.key or request.wish.recipe:
        raise UsageFault(f"--key and --recipe are files here, and {place.host} de-identifies by its own", "set them up there")
    link = far_ends.dial("give", place, request.far, _asked(request, as_files=as_files))
    request.on_link(link, place.host)
    told = far_ends.ready(link, READY)
    link.begin_anew_with(since=told.get("since"))
    request.on_mode(f"there, {told.get('what', 'as it is')}")
    return link, str(place), told.get("is_live") is True


def _asked(request: Request, *, as_files: bool) -> Mapping[str, Any]:
    """Return how the source is to be taken there, as far as it is not said here."""
    live = request.live
    return {
        "sender": far_ends.sender(request.source),
        "files": as_files,
        "entities": dict(request.entities),
        "keep": request.keep,
        "identified": request.withheld.identified,
        "deidentify": request.wish.deidentify is not False and not request.withheld.identified,
        "pattern": live.pattern,
        "existing": live.existing,
        "wait": live.wait,
        "idle_timeout": live.idle_timeout,
        "poll": live.poll,
        "series": sorted(live.series) if live.series is not None else None,
        "open_timeout": request.open_timeout,
        "spool": {"memory": request.far.held.memory, "disk": request.far.held.disk},
    }


def _units(link: Link, place: str, request: Request) -> Generator[Unit]:
    taken = Taken(Standing())  # a keeper that was killed begins anew
    is_told = False
    try:
        for unit in taken.new(carried.on_our_clock(linked.arriving(link, place, READY), link)):
            if not is_told and request.stop.is_set():
                link.send(STOP, b"{}")
                is_told = True
            if unit is not None:
                yield _kept(unit)
        link.finish(ENDING)
    finally:
        link.close()


def _kept(unit: Unit) -> Unit:
    """Return a unit with its receipts where it is an image: the rest is said anew after a kill."""
    if unit.is_image:
        return unit
    settle(unit.receipts)
    return replace(unit, receipts=())


def _files(found: Iterator[Unit], request: Request) -> Iterator[Instance]:
    from rtbids.convert import dicom

    for unit in found:
        if not unit.is_file:
            raise StreamBroken(f"{request.source}: expected files of DICOM, found volumes")
        (member,) = unit.members()
        try:
            yield replace(dicom.read(member.content, member.name, member.modified), receipts=unit.receipts)
        except BadData as error:
            abandon(unit.receipts)
            request.faults.append(str(error))
            logger.warning("%s", error)


def ready(what: str, since: int | None, *, is_live: bool) -> bytes:
    return json.dumps({"what": what, "since": since, "is_live": is_live}).encode()
