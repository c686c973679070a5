"""BIDS-I on the wire: volumes and ends of runs as members of a tar stream, and back.

Order: ``dataset_description.json``; what belongs to a run of a data set (README, its participant's row, ...) where it was not
said before; per run its sidecar and, where known, its events; per volume a small JSON (index, times, fields that differ from
the run's, the events of its TR) and a 3-D NIfTI; after the last volume ``…_end.json`` with count and gaps.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any, BinaryIO

import numpy as np

from rtbids import nifti
from rtbids.bids import entities as bids_entities
from rtbids.bids import events as bids_events
from rtbids.bids import sidecar
from rtbids.bids.events import Event, Events
from rtbids.errors import BadData, StreamBroken
from rtbids.stream import wire
from rtbids.stream.belongings import Incoming, Outgoing
from rtbids.volume import Belongings, Item, Metadata, RunEnd, Volume, run_key, volume_of, voxels

logger = logging.getLogger("rtbids")


@dataclass
class _Said:
    """What has been said of a run: nothing of its sidecar before its first volume."""

    metadata: Metadata | None = None
    events: str | None = None
    belongings: Belongings | None = None
    rows: Events = field(default_factory=Events)


class Encoder:
    """Turns items into members, in their order on the wire, and knows what has been said."""

    def __init__(self) -> None:
        self._outgoing = Outgoing()
        self._runs: dict[tuple[tuple[str, str], ...], _Said] = {}
        self._begun = False

    def head(self, first: Item | None = None) -> Iterator[wire.Piece]:
        """Give what a stream begins with, once."""
        if not self._begun:
            self._begun = True
            name, content = self._outgoing.head(first.belongings if isinstance(first, Volume) else None)
            yield wire.Piece(name, (content,))

    def pieces(self, item: Item) -> Iterator[wire.Piece]:
        """Give the members that an item is: its own come last, a volume's two, and before them what is new of its run."""
        yield from self.head(item)
        key = run_key(item.entities)
        if isinstance(item, RunEnd):
            yield _end(item)
            self._runs.pop(key, None)
            self._outgoing.forget(item.entities)
            return
        said = self._runs.setdefault(key, _Said())
        yield from _of_run(self._outgoing, item, said)
        yield from _of_volume(item, said)
        said.metadata = item.metadata


def write(items: Iterable[Item], file: BinaryIO, where: str = "the stream") -> None:
    """Write `items` as they come; the end mark only where `items` ends in order."""
    writer = wire.Writer(file, where)
    encoder = Encoder()
    for item in items:
        for piece in encoder.pieces(item):
            writer.write(piece.name, *piece.parts, modified=piece.modified)
    for piece in encoder.head():
        writer.write(piece.name, *piece.parts)
    writer.close()


def _of_run(outgoing: Outgoing, volume: Volume, said: _Said) -> Iterator[wire.Piece]:
    """Give what became known of a run with this volume."""
    if volume.belongings is not said.belongings:
        for name, content in outgoing.members(volume.entities, volume.belongings):
            yield wire.Piece(name, (content,))
        said.belongings = volume.belongings
    if said.metadata is None:
        yield _json(_name(volume.entities, "bold", ".json"), volume.metadata)
    if volume.events is not None and volume.events != said.events:
        yield wire.Piece(_name(volume.entities, "events", ".tsv"), (volume.events.encode(),))
        said.events, said.rows = volume.events, _rows(volume.events, bids_entities.stem(volume.entities))


def _rows(text: str, run: str) -> Events:
    try:
        return bids_events.read(text, f"the events of {run}")
    except BadData as error:
        logger.warning("%s; the table goes along as it is", error)
        return Events()


def read(file: BinaryIO, where: str = "the stream") -> Iterator[Item]:
    """Read items; each volume is given out at its last byte. Raise StreamBroken where the stream was cut."""
    yield from decode(wire.members(file, where), where)


def decode(members: Iterable[wire.Member], where: str) -> Iterator[Item]:
    """Turn members into items; members that neither are BIDS-I nor belong to it are passed over."""
    incoming = Incoming(where)
    runs: dict[str, _Run] = {}
    announced: tuple[str, Mapping[str, Any]] | None = None
    for member in members:
        path = PurePosixPath(member.name)
        run_stem, volume_index, suffix = split(path.name)
        run = runs.get(run_stem)
        if incoming.take(member):
            for known in runs.values():
                known.is_complete = False
        elif suffix == "bold.json" and volume_index is None:
            runs[run_stem] = _Run(bids_entities.parse(path.name)[0], _object(member, where))
        elif suffix == "events.tsv" and run is not None:
            run.events = _text(member, where)
        elif suffix == "end.json" and path.parent.name == "func":
            entities = run.entities if run is not None else bids_entities.parse(path.name)[0]
            end = _object(member, where)
            yield RunEnd(entities, _whole(end, "count", member, where), _missing(end, member, where))
            incoming.forget(entities)
            runs.pop(run_stem, None)
        elif suffix == "bold.json":
            announced = path.stem, _object(member, where)
        elif suffix == "bold.nii":
            if run is None or announced is None or announced[0] != path.stem:
                raise StreamBroken(f"{where}: {member.name} came without its JSON before it")
            if not run.is_complete:
                run.belongings, run.is_complete = incoming.of_run(run.entities), True
            yield _volume(member, run, announced[1], where)
            announced = None


@dataclass
class _Run:
    entities: Mapping[str, str]
    metadata: Mapping[str, Any]
    events: str | None = None
    belongings: Belongings | None = None
    is_complete: bool = False  # whether `belongings` are all that has been said of them


def _name(entities: Mapping[str, str], suffix: str, extension: str, index: int | None = None) -> str:
    place = "" if index is None else f"_vol-{index:05d}"
    return f"{bids_entities.folder(entities)}/{bids_entities.stem(entities)}{place}_{suffix}{extension}"


def split(name: str) -> tuple[str, int | None, str]:
    """Split ``sub-01_task-nf_run-01_vol-00012_bold.nii`` into (stem of the run, 12, ``bold.nii``)."""
    head, _, suffix = name.rpartition("_")
    run_stem, found, digits = head.partition("_vol-")
    return run_stem, int(digits) if found and digits.isdigit() else None, suffix


def _json(name: str, fields: Mapping[str, Any]) -> wire.Piece:
    return wire.Piece(name, (sidecar.dumps(fields).encode(),))


def _of_volume(volume: Volume, said: _Said) -> Iterator[wire.Piece]:
    fields: dict[str, Any] = {"index": volume.index, "times": dict(volume.times)}
    before = said.metadata
    if before is not None and before is not volume.metadata:
        changed = {key: value for key, value in volume.metadata.items() if key not in before or before[key] != value}
        if changed:
            fields["metadata"] = changed
        if gone := [key for key in before if key not in volume.metadata]:
            fields["gone"] = gone
    if said.rows.rows and "RepetitionTime" in volume.metadata:
        start, step = volume.index * volume.repetition_time, volume.repetition_time
        if during := said.rows.during(start, start + step):
            fields["events"] = [_row(event) for event in during]
    modified = volume.times.get("received", 0.0)
    text = json.dumps(fields, allow_nan=False)
    yield wire.Piece(_name(volume.entities, "bold", ".json", volume.index), (text.encode(),), modified)
    header = nifti.pack(volume.header())
    yield wire.Piece(_name(volume.entities, "bold", ".nii", volume.index), (header, voxels(volume)), modified)


def _row(event: Event) -> dict[str, object]:
    """Return a row of the events as JSON: seconds as numbers, every other cell as it is written."""
    duration = None if event.cells["duration"] == "n/a" else event.duration
    return {**event.cells, "onset": event.onset, "duration": duration}


def _end(end: RunEnd) -> wire.Piece:
    text = json.dumps({"count": end.count, "missing": list(end.missing)})
    return wire.Piece(_name(end.entities, "end", ".json"), (text.encode(),))


def _learn(member: wire.Member, run: _Run, announced: Mapping[str, Any], where: str) -> None:
    """Bring the run's sidecar up to a volume."""
    if changed := _fields(announced, "metadata", member, where):
        run.metadata = {**run.metadata, **changed}
    gone = announced.get("gone", [])
    if not isinstance(gone, list):
        raise StreamBroken(f"{where}: {member.name}: expected a list of fields 'gone', found {gone!r}")
    if gone:
        run.metadata = {key: value for key, value in run.metadata.items() if key not in gone}


def _volume(member: wire.Member, run: _Run, announced: Mapping[str, Any], where: str) -> Volume:
    _learn(member, run, announced, where)
    header = nifti.unpack(member.content, f"{where}: {member.name}")
    expected = header.offset + header.volume_bytes
    if len(header.shape) != 3 or len(member.content) != expected:
        raise BadData(f"{where}: {member.name} has {len(member.content)} bytes, expected {expected} (one volume)")
    data = np.frombuffer(member.content, header.dtype, offset=header.offset).reshape(header.shape, order="F")
    return volume_of(
        data,
        header.affine,
        run.entities,
        run.metadata,
        _whole(announced, "index", member, where),
        times=_times(announced, member, where),
        slope=header.slope,
        inter=header.inter,
        events=run.events,
        belongings=run.belongings,
        receipts=member.receipts,
    )


def _text(member: wire.Member, where: str) -> str:
    try:
        return str(member.content, "utf-8")
    except UnicodeDecodeError:
        raise StreamBroken(f"{where}: {member.name} is not UTF-8 text") from None


def _object(member: wire.Member, where: str) -> dict[str, Any]:
    try:
        fields = sidecar.loads(bytes(member.content))
    except ValueError as error:
        raise StreamBroken(f"{where}: {member.name} is not JSON ({error})") from None
    if not isinstance(fields, dict):
        raise StreamBroken(f"{where}: {member.name} is not a JSON object")
    return fields


def _whole(fields: Mapping[str, Any], key: str, member: wire.Member, where: str) -> int:
    value = fields.get(key)
    if not isinstance(value, int) or value < 0:
        raise StreamBroken(f"{where}: {member.name}: expected a whole number {key!r}, found {value!r}")
    return value


def _fields(fields: Mapping[str, Any], key: str, member: wire.Member, where: str) -> dict[str, Any]:
    value = fields.get(key, {})
    if not isinstance(value, dict):
        raise StreamBroken(f"{where}: {member.name}: expected an object {key!r}, found {value!r}")
    return value


def _times(fields: Mapping[str, Any], member: wire.Member, where: str) -> dict[str, float]:
    times = _fields(fields, "times", member, where)
    if not all(isinstance(moment, (int, float)) for moment in times.values()):
        raise StreamBroken(f"{where}: {member.name}: expected times in POSIX seconds, found {times!r}")
    return {stage: float(moment) for stage, moment in times.items()}


def _missing(fields: Mapping[str, Any], member: wire.Member, where: str) -> tuple[int, ...]:
    value = fields.get("missing", [])
    if not isinstance(value, list) or not all(isinstance(index, int) for index in value):
        raise StreamBroken(f"{where}: {member.name}: expected a list of indices 'missing', found {value!r}")
    return tuple(value)
