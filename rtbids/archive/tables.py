"""Tables that grow line by line (TSV), readable after every line."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rtbids.errors import cannot_write


class Table:
    """A TSV begun anew at `path`, with its header line; `row` hands each line to the operating system at once."""

    def __init__(self, path: Path, columns: Sequence[str]) -> None:
        self.path = path
        self.columns = tuple(columns)
        self._length = 0
        try:
            self._descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND | os.O_CLOEXEC, 0o666)
        except OSError as error:
            raise cannot_write(path, error) from error
        self._append("\t".join(columns))

    def row(self, values: Sequence[object]) -> None:
        """Append one line. None is ``n/a``, a float has all its digits, an object is compact JSON."""
        if len(values) != len(self.columns):
            raise ValueError(f"{self.path.name}: expected {len(self.columns)} values, found {len(values)}")
        self._append("\t".join(map(cell, values)))

    def _append(self, line: str) -> None:
        content = (line + "\n").encode(errors="backslashreplace")  # half a character costs no row
        try:
            written = os.write(self._descriptor, content)
            if written < len(content):  # the disk filled up: the rest says so
                os.write(self._descriptor, content[written:])
        except OSError as error:
            os.ftruncate(self._descriptor, self._length)
            raise cannot_write(self.path, error) from error
        self._length += len(content)

    def close(self) -> None:
        """Put the table on the disk and close it; closing twice does nothing."""
        if self._descriptor < 0:
            return
        try:
            os.fsync(self._descriptor)
        except OSError as error:
            raise cannot_write(self.path, error) from error
        finally:
            os.close(self._descriptor)
            self._descriptor = -1


def cell(value: object) -> str:
    """Return a value as it stands in a BIDS table."""
    if value is None or value == "":
        return "n/a"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return "n/a" if math.isnan(value) else repr(float(value))
    if isinstance(value, (Mapping, list, tuple)):
        return json.dumps(_plain(value), separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return " ".join(str(value).split("\t")).replace("\r", " ").replace("\n", " ")


def _plain(value: Any) -> Any:
    """Return the value with null for what JSON has no number for."""
    if isinstance(value, Mapping):
        return {str(key): _plain(one) for key, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(one) for one in value]
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else None
    return value


def cut_partial_line(path: Path) -> None:
    """Remove a last line without its end, which a killed process leaves."""
    content = path.read_bytes()
    whole = content.rfind(b"\n") + 1
    if whole < len(content):
        os.truncate(path, whole)
