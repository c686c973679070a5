"""What the far side knows of a place that a stream goes to, until its orderly end: so that it can go on after a kill."""

from __future__ import annotations

import fcntl
import hashlib
import io
import json
import os
import signal
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from rtbids import private
from rtbids.errors import CannotWrite, StreamBroken
from rtbids.stream import wire
from rtbids.stream.far import registry
from rtbids.stream.standing import Standing
from rtbids.stream.taken import Digests
from rtbids.stream.units import Unit

_PATIENCE = 20.0  # seconds for a keeper that was ended to be gone
_LOOK = 0.05  # there is no event for a lock that becomes free
_LARGEST = 64 << 20


class Ledger:
    """The notes on one place, which are locked while a keeper serves it.

    Attributes
    ----------
    is_left
        Whether a stream to this place did not end in order.
    standing
        What holds of the stream; kept on disk.
    placed
        The name that each run has there, and whether it is over.
    """

    def __init__(self, verb: str, place: str, arguments: Mapping[str, Any]) -> None:
        self._folder = _folder(verb, place)
        self._lock = _locked(self._folder, verb, place, arguments)
        self.is_left = (self._folder / "context.tar").exists()
        self.standing = _Kept(self._folder / "context.tar")
        self.placed: dict[str, dict[str, Any]] = _object(self._folder / "placed.json")
        self._journal: int | None = None

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

    def note(self, unit: Unit, digest: bytes) -> None:
        """Write down that a unit was brought out, for a place that cannot be read back."""
        if unit.is_image or unit.is_end:
            line = {"run": unit.run, "index": unit.index, "digest": digest.hex()}
            os.write(self._journaling(), json.dumps(line).encode() + b"\n")

    def noted(self) -> tuple[dict[str, Digests], set[str]]:
        """Return what was brought out, run by run, and the runs that have ended."""
        runs: dict[str, Digests] = {}
        ended: set[str] = set()
        for line in self._lines():
            if line["index"] is not None:
                runs.setdefault(line["run"], {})[line["index"]] = bytes.fromhex(line["digest"])
                ended.discard(line["run"])
            elif line["run"]:
                ended.add(line["run"])
        return runs, ended

    def _lines(self) -> list[dict[str, Any]]:
        with suppress(OSError, ValueError):  # its last line may be cut
            lines = (self._folder / "journal.jsonl").read_text(encoding="utf-8").split("\n")[:-1]
            return [json.loads(line) for line in lines]
        return []

    def forget(self) -> None:
        """Drop all notes: the stream has ended in order."""
        for path in self._folder.iterdir():
            if path.name != "lock":
                path.unlink()

    def close(self) -> None:
        if self._journal is not None:
            os.close(self._journal)
        os.close(self._lock)

    def _journaling(self) -> int:
        if self._journal is None:
            flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
            self._journal = os.open(self._folder / "journal.jsonl", flags, 0o600)
        return self._journal

    def _save(self) -> None:
        _write(self._folder / "placed.json", json.dumps(self.placed).encode())


class _Kept(Standing):
    """What holds of a stream, on disk as well."""

    def __init__(self, path: Path) -> None:
        self._path: Path | None = None
        super().__init__(_pieces(path))
        self._path = path

    def note(self, unit: Unit) -> bool:
        is_changed = super().note(unit)
        if is_changed and self._path is not None:
            self.save()
        return is_changed

    def save(self) -> None:
        assert self._path is not None
        file = io.BytesIO()
        writer = wire.Writer(file)
        for piece in self.pieces():
            writer.write(piece.name, *piece.parts, modified=piece.modified)
        writer.close()
        _write(self._path, file.getvalue())


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


def _locked(folder: Path, verb: str, place: str, arguments: Mapping[str, Any]) -> int:
    """Take the place over from the keeper of a sender that is no more, or of an older one of the same source."""
    descriptor = os.open(folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    until = time.monotonic() + _PATIENCE
    while not _try(descriptor):
        for other in _others(verb, place):
            _end(other, place, arguments)
        if time.monotonic() > until:
            os.close(descriptor)
            raise CannotWrite(f"{place} is in use by another stream", "wait for its end")
        time.sleep(_LOOK)
    return descriptor


def retire(verb: str, place: str, arguments: Mapping[str, Any]) -> None:
    """End what serves an older near side of the same source, or one that is gone."""
    for other in _others(verb, place):
        if other.get("arguments", {}).get("sender") == arguments.get("sender"):
            _end(other, place, arguments)


def _others(verb: str, place: str) -> list[dict[str, Any]]:
    found = (other for other in registry.keepers() if other.get("verb") == verb and other.get("pid") != os.getpid())
    return [other for other in found if other.get("told", {}).get("place") == place]


def _end(other: Mapping[str, Any], place: str, arguments: Mapping[str, Any]) -> None:
    theirs, link = other.get("arguments", {}), other.get("link") or {}
    is_older = theirs.get("sender") == arguments.get("sender") and _began(theirs) < _began(arguments)
    if link.get("is_up") and not is_older:
        since = time.strftime("%H:%M:%S", time.localtime(float(other.get("began", 0.0))))
        raise CannotWrite(f"{place} is in use by another stream since {since}", "wait for its end, or name another place")
    with suppress(ProcessLookupError):
        os.kill(int(other["pid"]), signal.SIGKILL)  # what it has made safe is safe


def _began(arguments: Mapping[str, Any]) -> float:
    value = arguments.get("began")
    return float(value) if isinstance(value, int | float) else 0.0


def _try(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _object(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _write(path: Path, content: bytes) -> None:
    """Write a file in one step."""
    staged = path.with_suffix(".new")
    descriptor = os.open(staged, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
    staged.rename(path)
