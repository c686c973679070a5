"""The tar stream through a named pipe: throughput, and the time from write to volume at the pace of a fast scan."""

from __future__ import annotations

import io
import os
import tarfile
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO

import figures

from rtbids.stream import fifo, wire

VOLUME = os.urandom(352 + 64 * 64 * 36 * 2)
COUNT, SPACED, SPACING = 400, 100, 0.01


def measure() -> Iterator[str]:
    for name, write, read in (("rtbids", _write, _read), ("tarfile, stream mode", _write_tarfile, _read_tarfile)):
        elapsed, _ = _through(write, read, COUNT, 0.0)
        yield f"{name:<34} {COUNT * len(VOLUME) / elapsed / 1e6:8.0f} MB/s"
        _, delays = _through(write, read, SPACED, SPACING)
        yield figures.spread(f"{name}, one every {1000 * SPACING:.0f} ms", delays)


def _through(write: Callable, read: Callable, count: int, spacing: float) -> tuple[float, list[float]]:
    """Send `count` volumes through a pipe from a process of its own; return seconds in all and the delay of each."""
    with tempfile.TemporaryDirectory() as folder:
        pipe = Path(folder) / "pipe"
        os.mkfifo(pipe)
        child = os.fork()
        if child == 0:
            with fifo.open_writer(pipe) as file:
                write(file, count, spacing)
            os._exit(0)
        with fifo.open_reader(pipe) as file:
            begin = time.time()
            delays = [time.time() - sent for sent in read(file)]
            elapsed = time.time() - begin
        os.waitpid(child, 0)
    return elapsed, delays


def _write(file: BinaryIO, count: int, spacing: float) -> None:
    writer = wire.Writer(file)
    for index in range(count):
        time.sleep(spacing)
        writer.write(f"volume-{index:05d}.nii", VOLUME, modified=time.time())
    writer.close()


def _read(file: BinaryIO) -> Iterator[float]:
    return (member.modified for member in wire.members(file))


def _write_tarfile(file: BinaryIO, count: int, spacing: float) -> None:
    with tarfile.open(fileobj=file, mode="w|") as tar:
        for index in range(count):
            time.sleep(spacing)
            member = tarfile.TarInfo(f"volume-{index:05d}.nii")
            member.size, member.mtime = len(VOLUME), time.time()
            tar.addfile(member, io.BytesIO(VOLUME))


def _read_tarfile(file: BinaryIO) -> Iterator[float]:
    with tarfile.open(fileobj=file, mode="r|") as tar:
        for member in tar:
            content = tar.extractfile(member)
            assert content is not None
            content.read()
            yield float(member.mtime)


assert threading.active_count() == 1, "the writer is forked: no thread may be there yet"
