"""What was brought out to a place that cannot be read back, such as a pipe: a line for each image and each end of a run."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rtbids.errors import cannot_write
from rtbids.stream.taken import FILES, RUNS, Digests
from rtbids.stream.units import Unit


@dataclass
class Noted:
    """What was brought out: the volumes of each run by index, the runs that are over (the oldest first), digests of files."""

    runs: dict[str, Digests] = field(default_factory=dict)
    ended: dict[str, None] = field(default_factory=dict)
    files: list[bytes] = field(default_factory=list)

    def take(self, run: str, index: int | None, digest: bytes) -> None:
        if not run:
            self.files.append(digest)
        elif index is None:
            self.ended[run] = None
        else:
            self._take_volume(run, index, digest)

    def _take_volume(self, run: str, index: int, digest: bytes) -> None:
        if run in self.ended:  # another run has that name now
            del self.ended[run]
            self.runs[run] = {}
        self.runs.setdefault(run, {})[index] = digest

    def lines(self) -> Iterator[bytes]:
        """Give what is still to be known, as it is written down."""
        forgotten = set(list(self.ended)[:-RUNS])
        yield from (_line("", None, digest) for digest in self.files[-FILES:])
        for run in (*self.ended, *(run for run in self.runs if run not in self.ended)):
            if run not in forgotten:
                yield from (_line(run, index, digest) for index, digest in self.runs.get(run, {}).items())
                yield from (_line(run, None, b""),) if run in self.ended else ()


class Journal:
    """A file of lines, which is written anew when most of it is about what need not be known any more."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: int | None = None
        self._ends = 0

    def note(self, unit: Unit, digest: bytes) -> None:
        """Write down that a unit was brought out."""
        if not (unit.is_image or unit.is_end):
            return
        self._write(_line(unit.run, unit.index, digest))
        self._ends += unit.is_end
        if self._ends > RUNS:
            self._shorten()

    def noted(self) -> Noted:
        found = Noted()
        for line in self._lines():
            with suppress(KeyError, TypeError, ValueError):  # cut by a full disk or a kill; the rest counts
                said: Any = json.loads(line)
                found.take(said["run"], said["index"], bytes.fromhex(said["digest"]))
        return found

    def _lines(self) -> list[bytes]:
        try:
            return self._path.read_bytes().split(b"\n")
        except OSError:
            return []

    def close(self) -> None:
        if self._file is not None:
            os.close(self._file)
            self._file = None

    def _write(self, line: bytes) -> None:
        """Add a line; the one before may have been cut, so it is begun with a new one."""
        try:
            if self._file is None:
                flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
                self._file, line = os.open(self._path, flags, 0o600), b"\n" + line
            if os.write(self._file, line) < len(line):
                raise OSError("the disk took a part of it only")
        except OSError as error:
            raise cannot_write(self._path, error) from None

    def _shorten(self) -> None:
        self.close()
        self._ends = 0
        replace(self._path, b"".join(self.noted().lines()))


def replace(path: Path, content: bytes) -> None:
    """Write a file in one step, so that it is whole after a power cut too; raise CannotWrite."""
    staged = path.with_suffix(".new")
    try:
        descriptor = os.open(staged, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(descriptor)
        staged.rename(path)
    except OSError as error:
        raise cannot_write(path, error) from None


def _line(run: str, index: int | None, digest: bytes) -> bytes:
    return json.dumps({"run": run, "index": index, "digest": digest.hex()}).encode() + b"\n"
