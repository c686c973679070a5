"""Where units go to: an open file, a .tar that is safe on the disk, a named pipe whose reader may come and go."""

from __future__ import annotations

import logging
import math
import os
import select
import stat
import threading
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

from rtbids.errors import StreamBroken, cannot_write
from rtbids.receipt import Receipt, settle
from rtbids.stream import fifo, wire
from rtbids.stream.branch import Units
from rtbids.stream.standing import Standing
from rtbids.stream.units import Unit
from rtbids.wakeup import Wakeup

SYNC = 1.0  # seconds between two waits for the disk while units come without a break
logger = logging.getLogger("rtbids")


def write_unit(writer: wire.Writer, unit: Unit) -> None:
    for piece in unit.pieces:
        writer.write(piece.name, *piece.parts, modified=piece.modified)


def write_file(units: Units, file: BinaryIO, where: str) -> None:
    """Write a stream to an open file, such as standard output; what is written counts as safe."""
    is_pipe = _is_pipe(file)
    writer = wire.Writer(file, where)
    with file:
        for unit in units:
            if unit is None:
                if is_pipe and has_left(file):
                    raise StreamBroken(f"the reader of {where} has gone")
                continue
            write_unit(writer, unit)
            settle(unit.receipts)
        writer.close()


def write_tar(units: Units, file: BinaryIO, where: str) -> None:
    """Write a stream to a file on the disk; a unit is safe when the disk itself has confirmed it."""
    writer = wire.Writer(file, where)
    unsafe: list[Receipt] = []
    last = time.monotonic()
    with file:
        for unit in units:
            if unit is not None:
                write_unit(writer, unit)
                unsafe += unit.receipts
            if unsafe and (unit is None or time.monotonic() - last >= SYNC):
                last = time.monotonic()
                _sync(file, where)
                settle(unsafe)
                unsafe = []
        writer.close()
        _sync(file, where)
        settle(unsafe)


def write_pipe(
    units: Units,
    path: Path,
    timeout: float,
    standing: Standing | None = None,
    on_written: Callable[[Unit], None] = lambda unit: settle(unit.receipts),
    opened: int | None = None,
) -> None:
    """Write a stream to a named pipe whose reader may leave and come back within `timeout` seconds; infinity: as he likes.

    A reader that comes begins with what holds of the stream, then with the unit that the one before did not get whole. What
    lay in the pipe when that one left is lost with it. `opened` is the pipe where it was reached before (`fifo.reach`).
    """
    pipe = _Pipe(path, timeout, Standing() if standing is None else standing, opened)
    try:
        for unit in units:
            if unit is None:
                pipe.look()
                continue
            pipe.write(unit)
            on_written(unit)
        pipe.end()
    finally:
        pipe.close()


class _Pipe:
    """The writing end, with a thread that closes it as soon as its reader has left: another would begin in the middle."""

    def __init__(self, path: Path, timeout: float, standing: Standing, opened: int | None = None) -> None:
        self._path = path
        self._timeout = timeout
        self._standing = standing
        self._using = threading.RLock()
        self._watch: _Watch | None = None
        self._file: BinaryIO | None = None
        self._is_new = True
        if opened is not None:
            self._use(fifo.writer(path, opened))
        elif math.isfinite(timeout):
            self._open(timeout)

    def look(self) -> None:
        """While nothing is to be written let another reader in."""
        if self._file is None:
            with suppress(StreamBroken):  # nobody is there yet
                self._open(0)
        if self._file is not None and self._is_new:
            with suppress(_Left):
                self._begin()

    def write(self, unit: Unit) -> None:
        while True:
            try:
                if self._file is None:
                    self._open(self._timeout)
                if self._is_new:
                    self._begin()
                self._send(unit.pieces)
            except _Left:
                continue
            self._standing.note(unit)
            return

    def end(self) -> None:
        """Mark the orderly end, for the reader that has all the rest."""
        with self._using:
            is_alone = self._file is None or has_left(self._file)
            if is_alone and not math.isfinite(self._timeout):
                return  # who comes and goes as he likes has not gone before the end
            if self._file is None or is_alone:
                raise StreamBroken(f"the reader of {self._path} has gone before the end", "all volumes were given to it")
            wire.Writer(self._file, str(self._path)).close()

    def close(self) -> None:
        if self._watch is not None:
            self._watch.end()  # first: what it looks at stays open for as long as it looks
        if self._file is not None:
            self._file.close()
        self._file = self._watch = None

    def _open(self, timeout: float) -> None:
        self.close()
        self._use(fifo.open_writer(self._path, timeout))

    def _use(self, file: BinaryIO) -> None:
        self._file, self._is_new = file, True
        self._watch = _Watch(file, self._lose)

    def _begin(self) -> None:
        self._send(self._standing.pieces())
        self._is_new = False

    def _send(self, pieces: Iterable[wire.Piece]) -> None:
        file = self._file
        if file is None:
            raise _Left
        try:
            with self._using:
                writer = wire.Writer(file, str(self._path))
                for piece in pieces:
                    writer.write(piece.name, *piece.parts, modified=piece.modified)
        except (StreamBroken, ValueError):  # ValueError: closed meanwhile
            self._lose(file)
            raise _Left from None

    def _lose(self, file: BinaryIO) -> None:
        with self._using:
            if self._file is not file:
                return
            self._file = None
            file.close()
        logger.warning("the reader of %s has gone: the next one is waited for", self._path)


class _Watch:
    """Tells when the reader of a pipe has left."""

    def __init__(self, file: BinaryIO, left: Callable[[BinaryIO], None]) -> None:
        self._file = file
        self._descriptor = file.fileno()  # now: it may be closed when the thread begins
        self._left = left
        self._stop = Wakeup()
        self._thread = threading.Thread(target=self._run, name="reader watch", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        poll = select.poll()
        poll.register(self._descriptor, 0)  # errors are always reported, and nothing else is asked for
        poll.register(self._stop.fileno(), select.POLLIN)
        if any(descriptor != self._stop.fileno() for descriptor, _ in poll.poll()):
            self._left(self._file)

    def end(self) -> None:
        self._stop.set()
        if self._thread is not threading.current_thread():
            self._thread.join()


class _Left(Exception):
    """The reader has gone in the middle of something."""


def _is_pipe(file: BinaryIO) -> bool:
    return stat.S_ISFIFO(os.fstat(file.fileno()).st_mode)


def has_left(file: BinaryIO) -> bool:
    """Say whether nobody reads a pipe any more."""
    poll = select.poll()
    poll.register(file.fileno(), 0)
    return any(event & select.POLLERR for _, event in poll.poll(0))


def _sync(file: BinaryIO, where: str) -> None:
    try:
        os.fsync(file.fileno())
    except OSError as error:
        raise cannot_write(where, error) from None
