"""The far end of ``rtbids stream SOURCE ssh://host/PATH``: what comes over a link goes to a pipe, a .tar or a data set here."""

from __future__ import annotations

import json
import logging
import math
import os
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, BinaryIO

from rtbids.archive.dataset import Archive, add
from rtbids.bids import entities as bids_entities
from rtbids.cli import far_places
from rtbids.convert import bids
from rtbids.errors import BadData, RtbidsError, StreamBroken, UsageFault, cannot_write
from rtbids.pipeline import be_quick
from rtbids.receipt import Receipt, settle
from rtbids.stream import bidsi, fifo, linked, sinks, units, wire
from rtbids.stream.branch import Units
from rtbids.stream.far import held, keeper
from rtbids.stream.far.ledger import Ledger
from rtbids.stream.link import Link
from rtbids.stream.standing import Standing
from rtbids.stream.taken import Digests, Taken, digest
from rtbids.stream.units import Unit
from rtbids.volume import Entities, Item, RunEnd, Volume, run_key, voxels

logger = logging.getLogger("rtbids")
READY = "receive/ready.json"
WHERE = "the near side"


def receive(link: Link, arguments: Mapping[str, Any]) -> None:
    """Bring what comes to the place that `arguments` name; each volume once, though a sender or a keeper was killed."""
    is_kept = arguments.get("keep") is True
    path = _source(arguments) if is_kept else far_places.path(arguments)
    kind = _kind(path)
    keeper.tell(place=str(path), kind=kind, images=0)
    be_quick()
    with ExitStack() as last:
        ledger = Ledger("receive", str(path), arguments)
        last.callback(ledger.close)
        link.send(READY, json.dumps({"kind": kind, "goes_on": ledger.is_left}).encode())
        coming = far_places.told(linked.arriving(link, WHERE))
        match kind:
            case "pipe":
                _to_pipe(coming, path, math.inf if is_kept else far_places.timeout(arguments), ledger)
            case "tar":
                _to_tar(coming, path, ledger)
            case _:
                _to_folder(coming, path, ledger, identified=arguments.get("identified") is True)
        link.finish()
        ledger.forget()


def _source(arguments: Mapping[str, Any]) -> Path:
    """Return the pipe of a connected source, which stays when nobody reads it."""
    name = str(arguments.get("path")).removeprefix("/")
    keeper.tell(name=name)
    return held.make(name)


def _kind(path: Path) -> str:
    if fifo.is_fifo(path):
        return "pipe"
    if path.suffix == ".tar":
        return "tar"
    if path.exists() and not path.is_dir():
        raise UsageFault(f"{path}: expected a named pipe, a .tar file or a folder, found another sort of file")
    return "folder"


def _to_pipe(coming: Units, path: Path, timeout: float, ledger: Ledger) -> None:
    runs, ended = ledger.noted()
    taken = Taken(ledger.standing, lambda run: runs.get(run, {}), ended)

    def written(unit: Unit) -> None:
        ledger.note(unit, taken.digest(unit))
        settle(unit.receipts)

    sinks.write_pipe(taken.new(coming), path, timeout, ledger.standing, written)


def _to_tar(coming: Units, path: Path, ledger: Ledger) -> None:
    standing = Standing()
    found: list[Unit] = []
    file, number = _opened(path, found if ledger.is_left else None)
    runs: dict[str, Digests] = {}
    for unit in found:
        standing.note(unit)
    taken = Taken(standing, lambda run: runs.get(run, {}))
    for _ in taken.new(iter(found)):
        pass
    ledger.standing.note(_mark())
    sinks.write_tar(_numbered(taken.new(coming), number), file, str(path))


def _mark() -> Unit:
    """Return what says in a ledger that there is a stream."""
    return Unit((wire.Piece("stream.json", (b"{}",)),))


def _opened(path: Path, found: list[Unit] | None) -> tuple[BinaryIO, int]:
    """Open a tar anew, or, where `found` takes what is in it, behind the last whole unit; return the count of its files too."""
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise cannot_write(path, error) from None
    file: BinaryIO = os.fdopen(descriptor, "r+b", buffering=0)
    end = 0
    if found is not None:
        with suppress(StreamBroken):  # it has no end mark; one that it has is written anew: the sender may not know of it
            for unit in units.of_members(wire.members(file, str(path))):
                found.append(unit)
                end = file.tell()
    file.truncate(end)
    file.seek(end)
    return file, sum(unit.is_file for unit in found or ())


def _numbered(coming: Units, number: int) -> Units:
    """Number the files of a stream of DICOM anew: senders that were started again number from 1."""
    for unit in coming:
        if unit is not None and unit.is_file:
            number += 1
            unit = replace(unit, pieces=(replace(unit.pieces[0], name=f"{number:06d}.dcm"),))
        yield unit


def _to_folder(coming: Units, path: Path, ledger: Ledger, *, identified: bool) -> None:
    archive = Archive(path, identified=identified)
    try:
        goes_on = archive.take_up(ledger.names_left())
        for name in [*archive.recover(), *goes_on]:
            logger.info("found %s, which a killed rtbids left%s", name, ", and goes on with it" if name in goes_on else "")
        ended = {run for run, entry in ledger.placed.items() if entry["ended"]}
        taken = Taken(ledger.standing, lambda run: _there(path, ledger.placed.get(run)), ended)
        before = [wire.Member(piece.name, piece.content(), piece.modified) for piece in ledger.standing.pieces()]
        items = _placed(_items(before, taken.new(coming), str(path)), archive, ledger)
        add(items, archive, leaves_open=True)
    except BaseException:
        archive.leave()
        raise
    archive.close()


def _there(root: Path, entry: Mapping[str, Any] | None) -> Digests:
    """Return the digests of the volumes that a run has in the data set."""
    if entry is None:
        return {}
    entities = bids_entities.parse(f"{entry['as']}_bold.nii")[0]
    with suppress(RtbidsError):
        (run,) = [one for one in bids.runs_of(root, {"subject": entities["subject"]}) if _stem(one.entities) == entry["as"]]
        return {item.index: digest(voxels(item)) for item in bids.items(run) if isinstance(item, Volume)}
    return {}


def _stem(entities: Entities) -> str:
    return bids_entities.stem(entities)


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


def _placed(items: Iterator[Item], archive: Archive, ledger: Ledger) -> Iterator[Item]:
    """Give each run the entities that it is archived under, the same after a kill."""
    places: dict[tuple[tuple[str, str], ...], Entities] = {}
    for item in items:
        key, run = run_key(item.entities), _stem(item.entities)
        if key not in places:
            entry = ledger.placed.get(run)
            if entry is None or entry["ended"]:
                places[key] = archive.place(item.entities)
                ledger.place(run, _stem(places[key]))
            else:
                places[key] = bids_entities.parse(f"{entry['as']}_bold.nii")[0]
        yield replace(item, entities=places[key])
        if isinstance(item, RunEnd):
            ledger.end(run)
            del places[key]
