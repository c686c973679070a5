"""One source and several destinations, composed: each has its queue and its thread."""

from __future__ import annotations

import logging
import os
import platform
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import chain
from pathlib import Path

from rtbids.cli import archiving, console, far_ends, sources, stream_sources
from rtbids.cli.far_ends import Far
from rtbids.cli.request import Request, kind_of
from rtbids.cli.stream_line import shown
from rtbids.clock import CLOCK
from rtbids.errors import RtbidsError, UsageFault, internal_fault
from rtbids.pipeline import Inbox, be_quick
from rtbids.receipt import hold, settle
from rtbids.stream import branch, endpoints, fifo, linked, sinks
from rtbids.stream.branch import Branch, Sink, Units, WhenFull
from rtbids.stream.far import held
from rtbids.stream.units import Unit, of_items
from rtbids.wakeup import Wakeup

_NOBODY_READS = 10.0  # seconds without one more image safe, after which a source that was connected is left
logger = logging.getLogger("rtbids")


@dataclass(frozen=True)
class Order:
    """Where a stream goes, and how; see the options of the same names."""

    destinations: tuple[str, ...]
    when_full: WhenFull = "block"
    room: int = branch.ROOM
    open_timeout: float = fifo.OPEN_TIMEOUT
    far: Far = field(default_factory=Far)
    stays: bool = False


def check(source: str, destinations: Sequence[str], *, stays: bool = False) -> None:
    """Raise what is wrong with the places, before anything is opened."""
    kind_of(source)
    seen: dict[object, str] = {}
    for one in [source, *destinations]:
        place = _identity(one)
        if place in seen and (one != endpoints.STANDARD or destinations.count(one) > 1):
            raise UsageFault(f"{one}: named twice, as {seen[place]} and as {one}", "each place once")
        seen[place] = one
    if stays and not any(map(endpoints.is_far, destinations)):
        raise UsageFault("--keep is for a name on another machine", "ssh://host/NAME")
    for one in destinations:
        if endpoints.is_far(one):
            _check_far(one, stays=stays)
        else:
            is_folder(one)  # or says what is wrong with it


def _check_far(place: str, *, stays: bool) -> None:
    path = far_ends.address(place).path
    if stays and not held.is_name(path.removeprefix("/")):
        raise UsageFault(f"{place}: expected a name of letters and digits with --keep", "ssh://host/NAME")


def _identity(place: str) -> object:
    if place == endpoints.STANDARD or endpoints.scheme(place):
        return place
    return os.path.realpath(place)


def is_folder(destination: str) -> bool:
    """Say whether a destination is a data set; raise UsageFault where it is nothing that a stream can go to."""
    if scheme := endpoints.scheme(destination):
        raise UsageFault(
            f"{destination}: expected -, a named pipe, a .tar file, a folder or ssh://host/PATH, found {scheme}://"
        )
    return destination != endpoints.STANDARD and endpoints.sort_of(Path(destination)) == "folder"


def stream(request: Request, order: Order) -> None:
    """Move all that comes to every destination; raise what went wrong with the source, else with the first destination."""
    unfinished = _Unfinished(len(order.destinations))
    branches = [_branch(one, request, order, unfinished) for one in order.destinations]
    be_quick()
    with shown(branches):
        _flow(request, branches, unfinished)
    _raise_first(branches)


def rehearse(request: Request, order: Order, take: Callable[[str, Units], None]) -> None:
    """Do all of that but bring it there: `take` is told a destination, and gets the units that would go there."""
    unfinished = _Unfinished(len(order.destinations))

    def sink(destination: str, units: Units) -> None:
        take(destination, _converted(units, destination, request) if _gets_volumes(destination, order) else units)

    branches = [Branch(one, partial(sink, one), failed=partial(unfinished.failed, one)) for one in order.destinations]
    _flow(request, branches, unfinished)
    _raise_first(branches)


def _gets_volumes(destination: str, order: Order) -> bool:
    """Say whether DICOM files are converted on their way there, as far as the name of a place on another machine says."""
    if endpoints.is_far(destination):
        return not (order.stays or destination.endswith(".tar"))
    return is_folder(destination)


def _flow(request: Request, branches: Sequence[Branch], unfinished: _Unfinished) -> None:
    unfinished.inbox = inbox = Inbox(sources.stream(request))
    for one in branches:
        one.start()
    _move(inbox.until(request.stop), branches)


class _Unfinished:
    """Ends the source when no destination is left."""

    def __init__(self, count: int) -> None:
        self._count = count
        self._counting = threading.Lock()
        self.inbox: Inbox[Unit] | None = None

    def failed(self, name: str, error: BaseException) -> None:
        if isinstance(error, RtbidsError):
            logger.warning("nothing more goes to %s: %s", name, error)
        with self._counting:
            self._count -= 1
            is_last = self._count == 0
        if is_last and self.inbox is not None:
            self.inbox.fail(error)


def _move(units: Iterator[Unit], branches: Sequence[Branch]) -> None:
    """Hand every unit to all; when the source ends, however, wait until each has brought out what waits for it."""
    error: BaseException | None = None
    try:
        for unit in units:
            for one in branches:
                hold(unit.receipts)
                one.put(unit)
            settle(unit.receipts)
    except RtbidsError as found:
        error = found
    for one in branches:
        one.end(error)
    for one in branches:
        one.join()
    if error is not None:
        raise error


def _raise_first(branches: Sequence[Branch]) -> None:
    for one in branches:
        if isinstance(one.error, RtbidsError):
            raise one.error
        if one.error is not None:
            raise RtbidsError(f"{one.name}: {internal_fault(one.error)}", "please report it") from one.error


def _branch(destination: str, request: Request, order: Order, unfinished: _Unfinished) -> Branch:
    if endpoints.is_far(destination):
        return _far_branch(destination, request, order, unfinished)
    name = "standard output" if destination == endpoints.STANDARD else destination
    is_kept = destination != endpoints.STANDARD and not fifo.is_fifo(Path(destination))
    return Branch(
        name,
        _sink(destination, name, request, order.open_timeout),
        when_full="block" if is_kept else order.when_full,
        room=order.room,
        failed=partial(unfinished.failed, name),
    )


def _far_branch(destination: str, request: Request, order: Order, unfinished: _Unfinished) -> Branch:
    """Connect and hear what sort of place it is: nothing is dropped on the way to one that keeps; a data set gets volumes."""
    place = far_ends.address(destination)
    told: dict[str, object] = {
        "sender": far_ends.sender(request.source),
        "identified": request.withheld.identified,
        "open_timeout": order.open_timeout,
        "keep": order.stays,
        "from": platform.node(),
    }
    if request.source == endpoints.STANDARD:
        told["began"] = 0.0  # two of a user's pipes are told apart by nothing: neither takes the other's place while that is up
    link = far_ends.dial("receive", place, order.far, told, order.when_full)
    ready = far_ends.ready(link, "receive/ready.json")
    kind = ready.get("kind")
    may_drop = order.when_full == "drop" and kind == "pipe"
    if kind == "folder" and ready.get("is_new"):
        console.say(f"{place} is a new data set; where a named pipe is meant: mkfifo it there first")

    def send(units: Units) -> None:
        there = _converted(units, str(place), request) if kind == "folder" else units
        patience = _NOBODY_READS if order.stays else None
        linked.write_link(there, link, may_drop=may_drop, patience=patience, tells_why=False)

    when_full: WhenFull = "drop" if may_drop else "block"
    failed, says = partial(unfinished.failed, str(place)), partial(far_ends.says, link)
    return Branch(str(place), send, when_full=when_full, room=order.room, failed=failed, says=says)


def _converted(units: Units, name: str, request: Request) -> Units:
    """Turn the files of a stream of DICOM into volumes, with None while none comes; units of BIDS-I pass."""
    for first in units:
        if first is not None:
            break
        yield None
    else:
        return
    whole = chain([first], units)
    if not first.is_file:
        yield from whole
        return
    members = (member for unit in whole if unit is not None for member in unit.members())
    withheld = request.withheld.anew()
    done = replace(request, stop=Wakeup(), deidentify=None, withheld=withheld)
    volumes = of_items(withheld.items(stream_sources.of_members(members, name, done)))
    yield from Inbox(volumes, wake=lambda: CLOCK.now() + branch.LOOK)


def _sink(destination: str, name: str, request: Request, timeout: float) -> Sink:
    """Return what brings units to a destination; files are opened now, a pipe by its thread, which waits for its reader."""
    path = Path(destination)
    if is_folder(destination):
        return grown(path, request)
    if fifo.is_fifo(path):
        return lambda units: sinks.write_pipe(units, path, timeout)
    file = endpoints.open_destination(destination, timeout)
    write = sinks.write_file if destination == endpoints.STANDARD else sinks.write_tar
    return lambda units: write(units, file, name)


def grown(bids_dir: Path, request: Request) -> Sink:
    """Return what grows a data set from units; DICOM files are converted, all that was asked for on their way is done."""
    withheld = request.withheld.anew()
    done = replace(request, stop=Wakeup(), deidentify=None, withheld=withheld)  # it ends when the source has

    def grow(units: Units) -> None:
        members = (member for unit in units if unit is not None for member in unit.members())
        archiving.grow(done, bids_dir, lambda placed: withheld.items(stream_sources.of_members(members, str(bids_dir), placed)))

    return grow
