"""How long volumes take to be written, and to be on the disk itself."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from pathlib import Path

from rtbids.run.doctor.folder import VOLUME
from rtbids.run.doctor.row import Cost, Row, look, ok
from rtbids.run.doctor.spread import Spread, amount, span, spread

COUNT = 50
LASTING = 2.0  # seconds
SLOW_WRITE = 0.05  # seconds, which the volume waits
SLOW_SYNC = 1.0  # seconds: a run syncs once a second, in a thread of its own


@dataclass(frozen=True)
class Disk:
    """Writing hands a volume to the system, as appending it to a run does; syncing puts it on the disk."""

    written: Spread
    synced: Spread
    size: int = VOLUME


def measure(inner: Path) -> Disk:
    """Append volumes to a file as a growing run does, for a while."""
    content = memoryview(os.urandom(VOLUME))
    written: list[float] = []
    synced: list[float] = []
    ends = time.perf_counter() + LASTING
    descriptor = os.open(inner / ".probe.nii", os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        while len(written) < COUNT and (not written or time.perf_counter() < ends):
            begun = time.perf_counter()
            _append(descriptor, content)
            between = time.perf_counter()
            os.fdatasync(descriptor) if hasattr(os, "fdatasync") else os.fsync(descriptor)
            written.append(between - begun)
            synced.append(time.perf_counter() - between)
    finally:
        os.close(descriptor)
    return Disk(spread(written), spread(synced))


def _append(descriptor: int, content: memoryview) -> None:
    while content:
        content = content[os.write(descriptor, content) :]


def judge(disk: Disk) -> tuple[Row, ...]:
    text = (
        f"{amount(disk.size)} written in {span(disk.written.median)}, on the disk itself in {span(disk.synced.median)} "
        f"(worst {span(disk.synced.worst)} of {disk.synced.count})"
    )
    if disk.written.median > SLOW_WRITE:
        return (look("disk", text, "volumes wait for it", "keep the data set on a local disk"),)
    if disk.synced.worst > SLOW_SYNC:
        why = "a loss of power may cost the volumes of so many seconds; feedback does not wait for it"
        return (look("disk", text, why, "keep the data set on a faster disk"),)
    return (ok("disk", text),)


def costs(disk: Disk) -> tuple[Cost, ...]:
    return (Cost("archive", disk.written.median, disk.written.p99),)
