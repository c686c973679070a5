"""BIDS-I on the wire: volumes and ends of runs as members of a tar stream, and back.

Order: ``dataset_description.json``; per run its sidecar and, where known, its events; per volume a small JSON (index, times,
fields that differ from the run's) and a 3-D NIfTI; after the last volume ``…_end.json`` with count and gaps.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any, BinaryIO

import numpy as np

from rtbids import __version__, nifti
from rtbids.bids import dataset, sidecar
from rtbids.bids import entities as bids_entities
from rtbids.errors import BadData, StreamBroken
from rtbids.stream import wire
from rtbids.volume import Item, Metadata, RunEnd, Volume, run_key, volume_of, voxels


def write(items: Iterable[Item], file: BinaryIO, where: str = "the stream", name: str = "rtbids stream") -> None:
    """Write `items` as they come; the end mark only where `items` ends in order."""
    writer = wire.Writer(file, where)
    text = sidecar.dumps(dataset.description(name, __version__))
    writer.write(dataset.DESCRIPTION, text.encode())
    begun: dict[tuple[tuple[str, str], ...], tuple[Metadata, str | None]] = {}
    for item in items:
        key = run_key(item.entities)
        if isinstance(item, RunEnd):
            _write_end(writer, item)
            begun.pop(key, None)
            continue
        said, events = begun.get(key, (None, None))
        if said is None:
            _write_json(writer, _name(item.entities, "bold", ".json"), item.metadata)
        if item.events is not None and item.events != events:
            writer.write(_name(item.entities, "events", ".tsv"), item.events.encode())
        _write_volume(writer, item, said)
        begun[key] = item.metadata, item.events
    writer.close()


def read(file: BinaryIO, where: str = "the stream") -> Iterator[Item]:
    """Read items; each volume is given out at its last byte. Raise StreamBroken where the stream was cut."""
    yield from decode(wire.members(file, where), where)


def decode(members: Iterable[wire.Member], where: str) -> Iterator[Item]:
    """Turn members into items; members that are not BIDS-I (a README) are passed over."""
    runs: dict[str, _Run] = {}
    announced: tuple[str, Mapping[str, Any]] | None = None
    for member in members:
        path = PurePosixPath(member.name)
        run_stem, volume_index, suffix = _split(path.name)
        run = runs.get(run_stem)
        if suffix == "bold.json" and volume_index is None:
            runs[run_stem] = _Run(bids_entities.parse(path.name)[0], _object(member, where))
        elif suffix == "events.tsv" and run is not None:
            run.events = _text(member, where)
        elif suffix == "end.json" and run is not None:
            end = _object(member, where)
            yield RunEnd(run.entities, _whole(end, "count", member, where), _missing(end, member, where))
            del runs[run_stem]
        elif suffix == "bold.json":
            announced = path.stem, _object(member, where)
        elif suffix == "bold.nii":
            if run is None or announced is None or announced[0] != path.stem:
                raise StreamBroken(f"{where}: {member.name} came without its JSON before it")
            yield _volume(member, run, announced[1], where)
            announced = None


@dataclass
class _Run:
    entities: Mapping[str, str]
    metadata: Mapping[str, Any]
    events: str | None = field(default=None)


def _name(entities: Mapping[str, str], suffix: str, extension: str, index: int | None = None) -> str:
    place = "" if index is None else f"_vol-{index:05d}"
    return f"{bids_entities.folder(entities)}/{bids_entities.stem(entities)}{place}_{suffix}{extension}"


def _split(name: str) -> tuple[str, int | None, str]:
    """Split ``sub-01_task-nf_run-01_vol-00012_bold.nii`` into (stem of the run, 12, ``bold.nii``)."""
    head, _, suffix = name.rpartition("_")
    run_stem, found, digits = head.partition("_vol-")
    return run_stem, int(digits) if found and digits.isdigit() else None, suffix


def _write_json(writer: wire.Writer, name: str, fields: Mapping[str, Any]) -> None:
    writer.write(name, sidecar.dumps(fields).encode())


def _write_volume(writer: wire.Writer, volume: Volume, said: Metadata | None) -> None:
    fields: dict[str, Any] = {"index": volume.index, "times": dict(volume.times)}
    if said is not None and said is not volume.metadata:
        changed = {key: value for key, value in volume.metadata.items() if said.get(key) != value}
        if changed:
            fields["metadata"] = changed
    modified = volume.times.get("received", 0.0)
    text = json.dumps(fields, allow_nan=False)
    writer.write(_name(volume.entities, "bold", ".json", volume.index), text.encode(), modified=modified)
    header = nifti.pack(volume.header())
    writer.write(_name(volume.entities, "bold", ".nii", volume.index), header, voxels(volume), modified=modified)


def _write_end(writer: wire.Writer, end: RunEnd) -> None:
    text = json.dumps({"count": end.count, "missing": list(end.missing)})
    writer.write(_name(end.entities, "end", ".json"), text.encode())


def _volume(member: wire.Member, run: _Run, announced: Mapping[str, Any], where: str) -> Volume:
    header = nifti.unpack(member.content, f"{where}: {member.name}")
    expected = header.offset + header.volume_bytes
    if len(header.shape) != 3 or len(member.content) != expected:
        raise BadData(f"{where}: {member.name} has {len(member.content)} bytes, expected {expected} (one volume)")
    if changed := _fields(announced, "metadata", member, where):
        run.metadata = {**run.metadata, **changed}
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
    )


def _text(member: wire.Member, where: str) -> str:
    try:
        return str(member.content, "utf-8")
    except UnicodeDecodeError:
        raise StreamBroken(f"{where}: {member.name} is not UTF-8 text") from None


def _object(member: wire.Member, where: str) -> dict[str, Any]:
    try:
        fields = json.loads(bytes(member.content))
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
