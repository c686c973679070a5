"""A destination with a thread and a bounded queue of its own: one that is slow or gone never holds up the run.

What it could not take is counted and said; the table in the data set is the record.
"""

from __future__ import annotations

import logging
import os
import queue
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Protocol

from rtbids.run.feedback.feedback import Row
from rtbids.run.one_line import short

MOST_WAITING = 1024
logger = logging.getLogger("rtbids")


class Sink(Protocol):
    """Where the thread puts a line; OSError means that no further one can be taken, any other error costs that line."""

    def write(self, row: Row) -> None: ...
    def close(self) -> None: ...


class Queued:
    """Hand lines to `sink` in order, from a thread; a `live` destination gets no late lines."""

    def __init__(self, name: str, sink: Sink, *, live: bool) -> None:
        self.name = name
        self.live = live
        self._sink = sink
        self._rows: queue.Queue[Row | None] = queue.Queue(MOST_WAITING)
        self._handed = self._written = 0
        self._broken = self._has_warned = False
        self._thread = threading.Thread(target=self._write_all, name=f"feedback to {name}", daemon=True)
        self._thread.start()

    def send(self, row: Row) -> None:
        """Hand a line over; it is written at once unless the destination is behind."""
        if self._broken or (self.live and row["status"] == "late"):
            return
        self._handed += 1
        with suppress(queue.Full):  # what was not written is counted at the end
            self._rows.put_nowait(row)

    def close(self, timeout: float = 2.0) -> None:
        """Wait for what is queued, `timeout` seconds at the most, and close."""
        with suppress(queue.Full):
            self._rows.put(None, timeout=timeout)
            self._thread.join(timeout)
        left = self._handed - self._written
        if left and not self._broken:
            logger.warning("feedback to %s: its reader was too slow, %d lines were left out", self.name, left)

    def _write_all(self) -> None:
        try:
            while (row := self._rows.get()) is not None:
                self._write(row)
        except OSError as error:
            self._broken = True
            why = "its reader has gone" if isinstance(error, BrokenPipeError) else (error.strerror or str(error))
            logger.warning("feedback to %s ends here: %s; the run goes on", self.name, why)
        finally:
            self._sink.close()

    def _write(self, row: Row) -> None:
        try:
            self._sink.write(row)
            self._written += 1
        except OSError:
            raise
        except Exception as error:  # a library's, of whatever kind
            if not self._has_warned:
                self._has_warned = True
                logger.warning("feedback to %s: a line is left out (%s)", self.name, short(error))


class Lines:
    """Write each row to a descriptor, in the given form."""

    def __init__(self, descriptor: int, form: Callable[[Row], str]) -> None:
        self._descriptor = descriptor
        self._form = form

    def write(self, row: Row) -> None:
        write_whole(self._descriptor, self._form(row).encode())

    def close(self) -> None:
        os.close(self._descriptor)


def write_whole(descriptor: int, content: bytes) -> None:
    """Write all of `content`: a disk that is nearly full takes less at first, and then says why."""
    view = memoryview(content)
    while view:
        view = view[os.write(descriptor, view) :]
