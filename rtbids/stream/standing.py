"""What a reader who comes in the middle of a stream has to be told first: what was said before and still holds."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from typing import Any

from rtbids.bids import dataset, sidecar
from rtbids.stream import belongings, wire
from rtbids.stream.units import Unit, fields


class Standing:
    """The description of the data set, what belongs to it, and the sidecar and events of each run that is not over."""

    def __init__(self, pieces: Iterable[wire.Piece] = ()) -> None:
        self._said: dict[str, tuple[str, wire.Piece]] = {}
        self._sidecars: dict[str, str] = {}  # run → name of its sidecar
        self._passed: dict[str, bytes] = {}  # name → digest of what no reader in the middle needs
        for piece in pieces:
            self.note(Unit((piece,), _run_of(piece.name)))

    def pieces(self) -> Iterator[wire.Piece]:
        """Give what holds, in the order of a stream."""
        yield from (piece for run, piece in self._said.values() if not run)
        yield from (piece for run, piece in self._said.values() if run)

    def of_run(self, run: str) -> list[wire.Piece]:
        """Return what holds of one run."""
        return [piece for said, piece in self._said.values() if said == run]

    def holds(self, unit: Unit) -> bool:
        """Say whether just this was said already."""
        if len(unit.pieces) != 1:
            return False
        if (known := self._said.get(unit.name)) is not None:
            return known[1].content() == unit.pieces[0].content()
        return unit.name in self._passed and self._passed[unit.name] == _digest(unit)

    def note(self, unit: Unit) -> bool:
        """Take in what a unit says; say whether anything is different now."""
        if unit.is_file:
            return False
        if unit.is_end:
            return self._forget(unit.run)
        if unit.index is not None:
            return not unit.may_be_lost and self._learn(unit)
        if self.holds(unit):
            return False
        if not _is_needed(unit):
            self._passed[unit.name] = _digest(unit)
            return False
        self._keep(unit)
        return True

    def _keep(self, unit: Unit) -> None:
        piece = unit.pieces[0]
        if piece.name == dataset.DESCRIPTION:
            self._said = {name: said for name, said in self._said.items() if said[0]}
        elif piece.name.endswith("_bold.json"):
            self._sidecars[unit.run] = piece.name
        self._said[piece.name] = (unit.run, wire.Piece(piece.name, (bytes(piece.content()),), piece.modified))

    def _forget(self, run: str) -> bool:
        before = len(self._said)
        self._said = {name: said for name, said in self._said.items() if said[0] != run}
        self._sidecars.pop(run, None)
        return len(self._said) != before

    def _learn(self, unit: Unit) -> bool:
        """Bring the sidecar of a run up to a volume that changes it."""
        name = self._sidecars.get(unit.run)
        if name is None:
            return False
        told, piece = fields(unit.pieces[0]), self._said[name][1]
        changed, gone = told.get("metadata"), told.get("gone")
        now: dict[str, Any] = {**fields(piece), **(changed if isinstance(changed, dict) else {})}
        now = {key: value for key, value in now.items() if key not in (gone if isinstance(gone, list) else ())}
        self._said[name] = (unit.run, wire.Piece(name, (sidecar.dumps(now).encode(),), piece.modified))
        return True


def _is_needed(unit: Unit) -> bool:
    """Say whether who comes in the middle has to be told: of what is small, and belongs to runs."""
    is_of_run = "/func/" in unit.name and unit.name.endswith(("_bold.json", "_events.tsv"))
    return (is_of_run or belongings.belongs(unit.name)) and unit.size <= dataset.LARGEST_FILES


def _digest(unit: Unit) -> bytes:
    return hashlib.sha256(unit.pieces[0].content()).digest()[:16]


def _run_of(name: str) -> str:
    stem = name.rpartition("/")[2].rpartition("_")[0]
    return stem if "/func/" in name else ""
