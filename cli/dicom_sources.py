"""DICOM images of a folder or from the network, and the volumes that they are converted to."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from rtbids import dicomnet
from rtbids.cli import far_sources
from rtbids.cli.request import Network, Request, is_complete, is_network, kind_of
from rtbids.clock import CLOCK
from rtbids.errors import BadData, NothingMatched, UsageFault
from rtbids.pipeline import Inbox
from rtbids.plural import counted
from rtbids.receipt import settle
from rtbids.stream import endpoints, wire
from rtbids.volume import Entities, Item, Volume

if TYPE_CHECKING:
    from rtbids.convert.beforehand import Foreseen
    from rtbids.convert.dicom import Instance
    from rtbids.convert.series import Assembler

OTHER: Mapping[str, tuple[str, str]] = {  # what is no DICOM: what it is, and what to do with it
    "bids": ("a BIDS data set or a run of one", "its volumes are given by rtbids replay, as DICOM files by --as dicom"),
    "stream": ("a stream", "its volumes are taken by rtbids run and rtbids convert"),
}
SAYS_NOTHING = "sidecars are written without identifiers anyway, but for --identified"


def instances(request: Request) -> Iterator[Instance]:
    """Return the whole DICOM files of a folder or from the network, those of the wanted series, de-identified where asked."""
    found = _instances(request)
    is_done = endpoints.is_far(request.source) or not request.deidentify
    return found if is_done or request.deidentify is None else request.deidentify.instances(found, request.faults)


def _instances(request: Request) -> Iterator[Instance]:
    if endpoints.is_far(request.source):
        return far_sources.files(request)
    if (form := kind_of(request.source)) != "dicom":
        found, hint = OTHER[form]
        raise UsageFault(f"{request.source}: expected a folder of DICOM files or dicom-scp://host:port, found {found}", hint)
    images = (_received if is_network(request.source) else _watched)(request)
    if request.live.series is None:
        return images
    return _of_series(images, request.live.series, request)


def _watched(request: Request) -> Iterator[Instance]:
    from rtbids.watch import directory

    live = request.live
    if live.network != Network():
        raise UsageFault("--allow-*, --tls-*, --spool and --fsync are of the DICOM network: expected dicom-scp://host:port")
    return directory.instances(
        Path(request.source),
        pattern=live.pattern,
        existing=live.existing,
        since=live.since,
        wait=live.wait,
        idle_timeout=live.idle_timeout,
        poll=live.poll,
        stop=request.stop,
        on_mode=request.on_mode,
        faults=request.faults,
    )


def _received(request: Request) -> Iterator[Instance]:
    from rtbids.watch import storage_scp

    live, network = request.live, request.live.network
    address = dicomnet.parse(request.source)
    return storage_scp.instances(
        address,
        spool=network.spool or _spool(address),
        existing=live.existing,
        wait=live.wait,
        idle_timeout=live.idle_timeout,
        allowed_aets=network.aets,
        allowed_hosts=network.hosts,
        tls=network.tls,
        fsync=network.fsync,
        stop=request.stop,
        on_mode=request.on_mode,
        faults=request.faults,
    )


def _spool(address: dicomnet.Address) -> Path:
    """Return where images of this address wait: the same place at the next start, and no memory that a restart empties."""
    state = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
    return Path(state) / "rtbids" / "spool" / str(address.port)


def _of_series(found: Iterator[Instance], wanted: frozenset[int], request: Request) -> Iterator[Instance]:
    """Pass on the files of the wanted series; raise NothingMatched where there were others only and no more will come."""
    numbers: set[int] = set()
    for instance in found:
        number = _number(instance)
        numbers.add(number)
        if number in wanted:
            yield instance
        else:
            settle(instance.receipts)
    if numbers and not request.live.wait and not request.stop.is_set() and not numbers & wanted:
        there = ", ".join(str(number) if number else "0 (without a number)" for number in sorted(numbers))
        raise NothingMatched(f"{request.source}: no series {', '.join(map(str, sorted(wanted)))}, there are: {there}")


def _number(instance: Instance) -> int:
    """Return the series number as people know it, 0 where there is none; a header can hold anything."""
    from rtbids.convert.one_series import number_of
    from rtbids.convert.stack import MALFORMED

    try:
        return number_of(instance.dataset)
    except MALFORMED:
        return 0


def first_files(found: Iterator[Instance], most: int | None) -> Iterator[Instance]:
    """Pass on the files of `most` functional volumes (None: all), and those between them."""
    if most is None:
        yield from found
        return
    from rtbids.convert import series

    assembler = series.Assembler({}, series.counter())
    count = 0
    for instance in found:
        yield instance
        seen = assembler.add(replace(instance, receipts=()), CLOCK.now())
        count += sum(isinstance(item, Volume) for item in seen)
        if count >= most:
            return


def member_of(image: Instance, number: int) -> wire.Member:
    """Return an image as the member of a stream, with a name that says nothing."""
    return wire.Member(f"{number:06d}.dcm", memoryview(image.content), image.received, image.receipts)


def look_ahead(request: Request) -> Foreseen | None:
    """Look through a folder that is read once, so that its runs are named rightly from the first on."""
    if not is_complete(request):
        return None
    from rtbids.cli import recordings

    return seen(recordings.folder(Path(request.source), request.live.pattern, request.stop.is_set), request)


def seen(foreseen: Foreseen, request: Request) -> Foreseen:
    return request.deidentify.seen(foreseen) if request.deidentify else foreseen


def converted(found: Iterable[Instance], request: Request, foreseen: Foreseen | None = None) -> Iterator[Item]:
    from rtbids.convert import beforehand, series

    _check_runs(request, foreseen)
    found = request.withheld.instances(found)
    assembler = series.Assembler(
        {entity: label for entity, label in request.entities.items() if entity != "run"},
        request.number or numbering(request.entities.get("run"), series.counter()),
        keep=request.keep,
        series=request.live.series,
        others=request.others,
        foreseen=foreseen or beforehand.NOTHING_KNOWN,
        hurry=request.hurry,
    )
    if is_complete(request):  # nothing comes late
        opened = CLOCK.now()
        return _not_in_vain(series.volumes(found, assembler, lambda: opened), assembler, request)
    inbox: Inbox[Instance] = Inbox(found, wake=lambda: assembler.wake)
    return _not_in_vain(series.volumes(inbox, assembler, on_held=request.on_held), assembler, request)


def _check_runs(request: Request, foreseen: Foreseen | None) -> None:
    """Refuse run labels that are fewer than the scans of the picked series, before the first is recorded."""
    runs = request.entities.get("run")
    if runs is None or foreseen is None or not request.live.series:
        return
    scans = foreseen.scans(request.live.series)
    if len(runs.split(",")) < scans:
        raise UsageFault(f"--run {runs} names fewer runs than the {scans} that the picked series are", "give one label a run")


def _not_in_vain(made: Iterable[Item], assembler: Assembler, request: Request) -> Iterator[Item]:
    """Pass on volumes; raise BadData where functional images came, not one could be used, and nobody keeps them."""
    some = False
    for item in made:
        some = some or isinstance(item, Volume)
        yield item
    if assembler.left_out and not some and request.others is None and not request.stop.is_set():
        raise BadData(f"not one volume could be made of {counted(assembler.left_out, 'image')} that were to be converted")


def numbering(runs: str | None, free: Callable[[Entities], str]) -> Callable[[Entities], str]:
    """Return how new series are numbered: by the labels of ``--run 1,2,3`` in turn, or by `free`."""
    if runs is None:
        return free
    given = iter(runs.split(","))

    def number(entities: Entities) -> str:
        label = next(given, None)
        if label is None:
            raise UsageFault(f"--run {runs} names fewer runs than there are functional series", "pick series by --series")
        return label.zfill(2) if label.isdigit() else label

    return number
