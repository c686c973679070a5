"""Small streams, made by the code that writes them, and what reads them whole."""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator

import numpy as np

from rtbids.receipt import Receipt
from rtbids.stream import bidsi, units, wire
from rtbids.stream.units import Unit
from rtbids.volume import Item, RunEnd, Volume, volume_of

ENTITIES = {"subject": "01", "task": "nf", "run": "01"}
METADATA = {"RepetitionTime": 1.0, "TaskName": "nf"}


def volume(index: int, run: str = "01", metadata: dict | None = None, receipts: tuple[Receipt, ...] = ()) -> Volume:
    data = np.random.default_rng(100 * int(run) + index).integers(0, 1000, (4, 3, 2)).astype(np.int16)
    entities = {**ENTITIES, "run": run}
    return volume_of(data, np.eye(4), entities, METADATA if metadata is None else metadata, index, receipts=receipts)


def run_of(count: int, run: str = "01") -> Iterator[Item]:
    yield from (volume(index, run) for index in range(count))
    yield RunEnd({**ENTITIES, "run": run}, count)


def units_of(count: int, run: str = "01") -> list[Unit]:
    return list(units.of_items(run_of(count, run)))


def written(items: Iterable[Item]) -> bytes:
    file = io.BytesIO()
    bidsi.write(items, file)
    return file.getvalue()


def read(content: bytes) -> list[Item]:
    return list(bidsi.decode(wire.members(io.BytesIO(content)), "the test"))


def indices(items: Iterable[Item]) -> list[int]:
    return [item.index for item in items if isinstance(item, Volume)]


def same(found: Iterable[Item], expected: Iterable[Item]) -> bool:
    """Say whether two streams have the same volumes, bit for bit, and the same ends."""
    one, other = list(found), list(expected)
    return len(one) == len(other) and all(map(_same, one, other))


def _same(one: Item, other: Item) -> bool:
    if isinstance(one, RunEnd) or isinstance(other, RunEnd):
        return one == other
    is_equal = np.array_equal(one.data, other.data) and np.array_equal(one.affine, other.affine)
    return is_equal and (one.index, one.entities, dict(one.metadata)) == (other.index, other.entities, dict(other.metadata))
