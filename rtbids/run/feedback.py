"""Where feedback goes: JSON lines or a TSV, to standard output, a file or a named pipe.

Each destination has a thread and a bounded queue of its own: one that is slow or gone never holds up the run. What it could not
take is counted and said; the table in the data set is the record.
"""

from __future__ import annotations

import json
import logging
import os
import queue
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

from rtbids.archive.tables import cell
from rtbids.errors import RtbidsError, StreamBroken, UsageFault, cannot_write
from rtbids.run.deadlines import Line
from rtbids.stream import endpoints, fifo

COLUMNS = ("experiment", "run", "volume", "value", "status", "reason", "received", "due", "sent")
MOST_WAITING = 1024
logger = logging.getLogger("rtbids")


def fields(experiment: str, run: str, line: Line) -> dict[str, object]:
    """Return a line of feedback by column."""
    values = (line.volume, line.value, line.status, line.reason, line.received, line.due, line.sent)
    return dict(zip(COLUMNS, (experiment, run, *values), strict=True))


def as_json(row: dict[str, object]) -> str:
    return json.dumps(row, allow_nan=False) + "\n"


def as_tsv(row: dict[str, object]) -> str:
    return "\t".join(cell(value) for value in row.values()) + "\n"


class Destination:
    """One place that feedback goes to; `live` ones get no late lines."""

    def __init__(self, name: str, descriptor: int, form: Callable[[dict[str, object]], str], *, live: bool) -> None:
        self.name = name
        self.live = live
        self._form = form
        self._descriptor = descriptor
        self._lines: queue.Queue[str | None] = queue.Queue(MOST_WAITING)
        self._handed = self._written = 0
        self._broken = False
        self._thread = threading.Thread(target=self._write_all, name=f"feedback to {name}", daemon=True)
        self._thread.start()

    def send(self, row: dict[str, object]) -> None:
        """Hand a line over; it is written at once unless the destination is behind."""
        if self.live and row["status"] == "late":
            return
        self._put(self._form(row))

    def put(self, text: str) -> None:
        """Hand over a text that is no line of feedback, such as a header."""
        self._put(text)

    def close(self, timeout: float = 2.0) -> None:
        """Wait for what is queued, `timeout` seconds at the most, and close."""
        with suppress(queue.Full):
            self._lines.put(None, timeout=timeout)
            self._thread.join(timeout)
        left = self._handed - self._written
        if left and not self._broken:
            logger.warning("feedback to %s: its reader was too slow, %d lines were left out", self.name, left)

    def _put(self, text: str) -> None:
        if self._broken:
            return
        self._handed += 1
        with suppress(queue.Full):  # what was not written is counted at the end
            self._lines.put_nowait(text)

    def _write_all(self) -> None:
        try:
            while (text := self._lines.get()) is not None:
                os.write(self._descriptor, text.encode())
                self._written += 1
        except OSError as error:
            self._broken = True
            why = "its reader has gone" if isinstance(error, BrokenPipeError) else (error.strerror or str(error))
            logger.warning("feedback to %s ends here: %s; the run goes on", self.name, why)
        finally:
            os.close(self._descriptor)


def open_destination(endpoint: str, timeout: float = fifo.OPEN_TIMEOUT) -> Destination:
    """Open ``-``, a named pipe (waiting for its reader) or a file, which is begun anew; ``.tsv`` gives TSV, else JSON lines."""
    if (scheme := endpoints.scheme(endpoint)) is not None or endpoint.startswith("lsl:"):
        raise UsageFault(f"{endpoint}: feedback goes to -, a file or a named pipe, not to {scheme or 'lsl'}")
    if endpoint == endpoints.STANDARD:
        return Destination("standard output", os.dup(1), as_json, live=True)
    path = Path(endpoint)
    if fifo.is_fifo(path):
        return Destination(endpoint, _pipe(path, timeout), as_json, live=True)
    return _table(path) if path.suffix == ".tsv" else Destination(endpoint, _file(path), as_json, live=False)


def open_all(destinations: Sequence[str], timeout: float = fifo.OPEN_TIMEOUT) -> list[Destination]:
    """Open every destination, or none: those already open are closed where one fails."""
    opened: list[Destination] = []
    try:
        for endpoint in destinations:
            opened.append(open_destination(endpoint, timeout))
    except RtbidsError:
        for destination in opened:
            destination.close()
        raise
    return opened


def _table(path: Path) -> Destination:
    destination = Destination(str(path), _file(path), as_tsv, live=False)
    destination.put("\t".join(COLUMNS) + "\n")
    return destination


def _file(path: Path) -> int:
    try:
        return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o644)
    except OSError as error:
        raise cannot_write(path, error) from None


def _pipe(path: Path, timeout: float) -> int:
    try:
        with fifo.open_writer(path, timeout) as file:
            return os.dup(file.fileno())
    except StreamBroken as error:
        raise StreamBroken(f"feedback: {error}", error.hint) from None
