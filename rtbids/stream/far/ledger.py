"""What the far side knows of a place that a stream goes to, until its orderly end: so that it can go on after a kill."""

from __future__ import annotations

import hashlib
import io
import json
import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from rtbids import private
from rtbids.errors import CannotWrite, StreamBroken
from rtbids.stream import wire
from rtbids.stream.far import journal, takeover
from rtbids.stream.far.journal import Journal
from rtbids.stream.standing import Standing
from rtbids.stream.units import Unit

_LARGEST = 64 << 20


class Ledger:
    """The notes on one place, which are locked while a keeper serves it.

    Attributes
    ----------
    is_left
        Whether a stream to this place did not end in order.
    is_of_another
        Whether that one was of another source.
    standing
        What holds of the stream; kept on disk.
    journal
        What was brought out, for a place that cannot be read back.
    placed
        The name that each run has there, and whether it is over.
    """

    def __init__(self, verb: str, place: str, arguments: Mapping[str, Any]) -> None:
        self._folder = _folder(verb, place)
        self._lock = takeover.locked(self._folder / "lock", verb, place, arguments)
        self._sender = str(arguments.get("sender"))
        left = _object(self._folder / "begun.json")
        self.is_left = bool(left)
        self.is_of_another = self.is_left and left.get("sender") != self._sender
        self._read()

    def _read(self) -> None:
        self.standing = _Kept(self._folder / "context.tar")
        self.placed: dict[str, dict[str, Any]] = _object(self._folder / "placed.json")
        self.journal = Journal(self._folder / "journal.jsonl")

    def begin(self) -> None:
        """Note that there is a stream to this place, which is not over; what another source left is forgotten."""
        if self.is_of_another:
            self.forget()
            self._read()
            self.is_left = False
        journal.replace(self._folder / "begun.json", json.dumps({"sender": self._sender}).encode())

    def place(self, run: str, name: str) -> None:
        """Note under which name a run is kept."""
        self.placed[run] = {"as": name, "ended": False}
        self._save()

    def end(self, run: str) -> None:
        if run in self.placed:
            self.placed[run]["ended"] = True
            self._save()

    def names_left(self) -> list[str]:
        """Return the names of the runs that are not over."""
        return [entry["as"] for entry in self.placed.values() if not entry["ended"]]

    def forget(self) -> None:
        """Drop all notes: the stream has ended in order."""
        for path in self._folder.iterdir():
            if path.name != "lock":
                path.unlink()

    def close(self) -> None:
        self.journal.close()
        os.close(self._lock)

    def _save(self) -> None:
        journal.replace(self._folder / "placed.json", json.dumps(self.placed).encode())


class _Kept(Standing):
    """What holds of a stream, on disk as well."""

    def __init__(self, path: Path) -> None:
        self._path: Path | None = None
        super().__init__(_pieces(path))
        self._path = path

    def note(self, unit: Unit) -> bool:
        is_changed = super().note(unit)
        if is_changed and self._path is not None:
            self._save(self._path)
        return is_changed

    def _save(self, path: Path) -> None:
        file = io.BytesIO()
        writer = wire.Writer(file)
        for piece in self.pieces():
            writer.write(piece.name, *piece.parts, modified=piece.modified)
        writer.close()
        journal.replace(path, file.getvalue())


def _pieces(path: Path) -> list[wire.Piece]:
    with suppress(OSError, StreamBroken), path.open("rb", buffering=0) as file:
        members = wire.members(file, path.name, largest=lambda name: _LARGEST)
        return [wire.Piece(member.name, (member.content,), member.modified) for member in members]
    return []


def _folder(verb: str, place: str) -> Path:
    name = hashlib.sha256(f"{verb} {place}".encode()).hexdigest()[:16]
    folder = private.lasting_folder().parent / "streams" / name
    try:
        private.make_folder(folder.parent)
        private.make_folder(folder)
    except OSError as error:
        raise CannotWrite(f"no place for the notes on a stream: {error}") from None
    return folder


def _object(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}
