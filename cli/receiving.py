"""The far end of ``rtbids stream SOURCE ssh://host/PATH``: what comes over a link goes to a pipe, a .tar or a data set here."""

from __future__ import annotations

import json
import logging
import math
import os
import zlib
from collections.abc import Collection, Iterator, Mapping
from contextlib import ExitStack, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, BinaryIO

from rtbids.archive.dataset import Archive, add
from rtbids.bids import entities as bids_entities
from rtbids.cli import far_places
from rtbids.convert import bids
from rtbids.errors import BadData, CannotWrite, RtbidsError, StreamBroken, cannot_write
from rtbids.pipeline import be_quick
from rtbids.receipt import Receipt, settle
from rtbids.stream import bidsi, carried, endpoints, fifo, linked, sinks, units, wire
from rtbids.stream.branch import Units
from rtbids.stream.far import held, keeper
from rtbids.stream.far.ledger import Ledger
from rtbids.stream.link import Link
from rtbids.stream.standing import Standing
from rtbids.stream.taken import Digests, Taken, digest
from rtbids.stream.units import Unit
from rtbids.volume import Entities, Item, RunEnd, Volume, voxels

logger = logging.getLogger("rtbids")
READY = "receive/ready.json"
WHERE = "the near side"


def receive(link: Link, arguments: Mapping[str, Any]) -> None:
    """Bring what comes to the place that `arguments` name; each volume once, though a sender or a keeper was killed."""
    is_kept = arguments.get("keep") is True
    path = _source(arguments) if is_kept else far_places.path(arguments)
    kind = endpoints.sort_of(path)
    keeper.tell(place=str(path), kind=kind, images=0)
    be_quick()
    with ExitStack() as last:
        ledger, opened = _taken_over(path, kind, arguments)
        last.callback(ledger.close)
        link.send(READY, json.dumps({"kind": kind, "is_new": not path.exists()}).encode())
        coming = far_places.told(carried.on_our_clock(linked.arriving(link, WHERE), link))
        match kind:
            case "pipe":
                _to_pipe(coming, path, math.inf if is_kept else far_places.timeout(arguments), ledger, opened)
            case "tar":
                _to_tar(coming, path, ledger)
            case _:
                _to_folder(coming, path, ledger, identified=arguments.get("identified") is True)
        link.finish()
        ledger.forget()


def _taken_over(path: Path, kind: str, arguments: Mapping[str, Any]) -> tuple[Ledger, int | None]:
    """Return the notes on a place, and a pipe opened before whoever writes there lets go: its reader sees no end between."""
    opened = fifo.reach(path) if kind == "pipe" else None
    try:
        return Ledger("receive", str(path), arguments), opened
    except BaseException:
        if opened is not None:
            os.close(opened)
        raise


def _source(arguments: Mapping[str, Any]) -> Path:
    """Return the pipe of a connected source, which stays when nobody reads it."""
    name = str(arguments.get("path")).removeprefix("/")
    far_places.check_name(name)
    keeper.tell(name=name)
    return held.make(name)


def _to_pipe(coming: Units, path: Path, timeout: float, ledger: Ledger, opened: int | None) -> None:
    ledger.begin()
    before = ledger.journal.noted()
    taken = Taken(ledger.standing, lambda run: before.runs.pop(run, {}), before.ended, before.files)

    def written(unit: Unit) -> None:
        ledger.journal.note(unit, taken.digest(unit))
        settle(unit.receipts)

    sinks.write_pipe(taken.new(coming), path, timeout, ledger.standing, written, opened)


def _to_tar(coming: Units, path: Path, ledger: Ledger) -> None:
    if ledger.is_of_another and path.exists():
        raise CannotWrite(f"{path} is an unfinished stream of another source", "move it away, or name another place")
    file = _opened(path)
    taken, number = Taken(Standing()), 0
    if ledger.is_left:
        number = _read_back(file, str(path), taken)
        logger.warning("%s: goes on behind what a stream left there that did not end", path)
    file.truncate(file.tell())
    ledger.begin()
    sinks.write_tar(_numbered(taken.new(coming), number), file, str(path))


def _opened(path: Path) -> BinaryIO:
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise cannot_write(path, error) from None
    return os.fdopen(descriptor, "r+b", buffering=0)


def _read_back(file: BinaryIO, where: str, taken: Taken) -> int:
    """Note what a tar has, and go behind its last whole unit; return the count of its files.

    An end mark is left out, to be written anew: the sender may not know of it.
    """
    end = 0

    def whole() -> Iterator[Unit]:
        nonlocal end
        with suppress(StreamBroken):  # it has no end mark
            for unit in units.of_members(wire.members(file, where)):
                end = file.tell()
                yield unit

    number = sum(unit is not None and unit.is_file for unit in taken.new(whole()))
    file.seek(end)
    return number


def _numbered(coming: Units, number: int) -> Units:
    """Number the files of a stream of DICOM anew: senders that were started again number from 1."""
    for unit in coming:
        if unit is not None and unit.is_file:
            number += 1
            unit = replace(unit, pieces=(replace(unit.pieces[0], name=f"{number:06d}.dcm"),))
        yield unit


def _to_folder(coming: Units, path: Path, ledger: Ledger, *, identified: bool) -> None:
    ledger.begin()
    archive = Archive(path, identified=identified)
    try:
        goes_on = archive.take_up(ledger.names_left())
        for name in [*archive.recover(), *goes_on]:
            logger.info("found %s, which a killed rtbids left%s", name, ", and goes on with it" if name in goes_on else "")
        ended = [run for run, entry in ledger.placed.items() if entry["ended"]]
        taken = Taken(ledger.standing, lambda run: _there(path, ledger.placed.get(run)), ended)
        before = [wire.Member(piece.name, piece.content(), piece.modified) for piece in ledger.standing.pieces()]
        items = _placed(_items(before, taken.new(coming), str(path)), archive, ledger, goes_on)
        add(items, archive, leaves_open=True)
    except BaseException:
        archive.leave()
        raise
    archive.close()


def _there(root: Path, entry: Mapping[str, Any] | None) -> Digests:
    """Return the digests of the volumes that a run has in the data set; of none where it never began, or was moved away."""
    if entry is None:
        return {}
    with suppress(RtbidsError, OSError, EOFError, zlib.error):
        subject = _entities(entry["as"])["subject"]
        for run in bids.runs_of(root, {"subject": subject}):
            if _stem(run.entities) == entry["as"]:
                return {item.index: digest(voxels(item)) for item in bids.items(run) if isinstance(item, Volume)}
    return {}


def _stem(entities: Entities) -> str:
    return bids_entities.stem(entities)


def _entities(name: str) -> Entities:
    return bids_entities.parse(f"{name}_bold.nii")[0]


def _items(before: list[wire.Member], coming: Units, where: str) -> Iterator[Item]:
    """Read units after what was said `before`.

    What is said before a volume is safe when that volume is, the end of a run when it was taken in.
    """
    loose: list[Receipt] = []

    def members() -> Iterator[wire.Member]:
        yield from before
        for unit in coming:
            if unit is None:
                continue
            if unit.is_file:
                raise BadData(f"{where}: expected volumes, found a file of DICOM")
            if not unit.is_image:
                loose.extend(unit.receipts)
            yield from unit.members()

    for item in bidsi.decode(members(), where):
        if isinstance(item, Volume):
            item = replace(item, receipts=(*item.receipts, *loose))
            loose.clear()
        yield item
        if isinstance(item, RunEnd):
            settle(loose)
            loose.clear()
    settle(loose)


def _placed(items: Iterator[Item], archive: Archive, ledger: Ledger, goes_on: Collection[str]) -> Iterator[Item]:
    """Give each run the entities that it is archived under, the same after a kill where its file can be gone on with."""
    left = ((run, entry["as"]) for run, entry in ledger.placed.items())
    places = {run: _entities(name) for run, name in left if name in goes_on}
    for item in items:
        run = _stem(item.entities)
        if run not in places:
            places[run] = archive.place(item.entities)
            ledger.place(run, _stem(places[run]))
        yield replace(item, entities=places[run])
        if isinstance(item, RunEnd):
            ledger.end(run)
            del places[run]
