"""Streams of either sort, BIDS-I and DICOM files, as the volumes that are in them, and as members on their way."""

from __future__ import annotations

import itertools
import logging
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from rtbids.cli import dicom_sources
from rtbids.cli.request import Request, is_recorded, place
from rtbids.clock import CLOCK
from rtbids.errors import BadData
from rtbids.plural import counted
from rtbids.receipt import abandon
from rtbids.stream import bidsi, endpoints, folder, wire
from rtbids.stream.far import held
from rtbids.volume import Entities, Item

if TYPE_CHECKING:
    from rtbids.convert.dicom import Instance

logger = logging.getLogger("rtbids")


def items(request: Request) -> Iterator[Item]:
    """Open a stream now, so that its writer can go on, and read it when its items are asked for: nothing may come for long."""
    if held.found(request.source):
        request.on_mode("a connected source")
    if Path(request.source).is_dir():
        return of_members(folder.members(Path(request.source)), request.source, request)
    return _decoded(endpoints.open_source(place(request.source), request.open_timeout), _name(request), request)


def _decoded(file: BinaryIO, name: str, request: Request) -> Iterator[Item]:
    """Read a stream of either sort; one of DICOM files that was recorded is looked through before."""
    found = wire.members(file, name)
    first = _first(found, name)
    whole = itertools.chain([first], found)
    if first.name.endswith(".json") or not is_recorded(request.source):
        yield from of_members(whole, name, request)
        return
    from rtbids.cli import recordings

    recording = recordings.recording(whole, file, request.stop.is_set)
    yield from dicom_sources.converted(
        _read(recording.members(), request), request, dicom_sources.seen(recording.foreseen, request)
    )
    if recording.broken is not None:  # said when all that is there has been given
        raise recording.broken


def _name(request: Request) -> str:
    return "standard input" if request.source == endpoints.STANDARD else request.source


def _first(members: Iterator[wire.Member], name: str) -> wire.Member:
    first = next(members, None)
    if first is None:
        raise BadData(f"{name}: the stream is empty")
    return first


def of_members(found: Iterator[wire.Member], name: str, request: Request) -> Iterator[Item]:
    """Read a stream of either sort: BIDS-I, which begins with the data set's description, or DICOM files to be converted."""
    first = _first(found, name)
    whole = itertools.chain([first], found)
    if not first.name.endswith(".json"):
        yield from dicom_sources.converted(_read(whole, request), request)
        return
    yield from _renamed(
        bidsi.decode(request.withheld.known_members(whole) if request.deidentify else whole, name), request.entities
    )


def members(request: Request) -> Iterator[wire.Member]:
    """Give the members of a stream; images de-identified where asked, sidecars without identifiers."""
    name = _name(request)
    if Path(request.source).is_dir():
        found = folder.members(Path(request.source))
    else:
        found = wire.members(endpoints.open_source(place(request.source), request.open_timeout), name)
    return _cleaned(found, name, request)


def _cleaned(found: Iterator[wire.Member], name: str, request: Request) -> Iterator[wire.Member]:
    first = _first(found, name)
    whole = itertools.chain([first], found)
    if first.name.endswith(".json"):
        yield from (request.withheld.known_members if request.deidentify else request.withheld.members)(whole)
    elif request.deidentify is None:
        yield from whole
    else:
        for number, image in enumerate(_read(whole, request), 1):
            yield dicom_sources.member_of(image, number)


def _read(found: Iterable[wire.Member], request: Request) -> Iterator[Instance]:
    """Read the files of a stream, and de-identify them where asked."""
    images = _as_they_are(found, request.faults)
    return request.deidentify.instances(images, request.faults) if request.deidentify else images


def _as_they_are(found: Iterable[wire.Member], faults: list[str]) -> Iterator[Instance]:
    """Read the files of a stream; raise BadData at its end where not one of them could be used."""
    from rtbids.convert import dicom

    good, bad = 0, 0
    for member in found:
        now = CLOCK.now()
        received = min(member.modified or now, now)  # the writer's clock may be ahead of ours
        try:
            instance = dicom.read(member.content, dicom.shown(member.name), received)
        except BadData as error:
            bad += 1
            abandon(member.receipts)
            faults.append(str(error))
            logger.warning("%s", error)
            continue
        good += 1
        yield replace(instance, receipts=member.receipts)
    if bad and not good:
        raise BadData(f"expected DICOM images in the stream, found none among {counted(bad, 'file')}")


def _renamed(source: Iterable[Item], entities: Entities) -> Iterator[Item]:
    """Let what the user says of subject, session and so on override what the stream says."""
    if not entities:
        yield from source
        return
    known: dict[tuple[tuple[str, str], ...], Entities] = {}
    for item in source:
        key = tuple(sorted(item.entities.items()))
        if key not in known:
            known[key] = {**item.entities, **entities}
        yield replace(item, entities=known[key])
