"""An outbox of 100,000 images: how long a look at it takes, and what taking them in costs in memory and time."""

from __future__ import annotations

import os
import resource
import statistics
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from rtbids.send.found import Found
from rtbids.send.outbox import Outbox
from rtbids.send.settle import at_once

BATCHES, IMAGES = 1000, 100
DESTINATIONS = 2
LIMIT = 0.050  # seconds for a status
LOOKS = 20
_SPREAD = ("NEW", "PROCESSING", "DONEPROCESSING", "SENT", "DONE", "DONE", "DONE", "DONE", "DONE", "DONE")  # of ten batches


def measure() -> Iterator[str]:
    with tempfile.TemporaryDirectory() as place, Outbox.open(Path(place, "outbox")) as outbox:
        yield from _taking_in(outbox, Path(place, "series"))
        _spread(outbox)
        yield from _looking(outbox)


def _taking_in(outbox: Outbox, folder: Path) -> Iterator[str]:
    """Add the batches; the files are empty, and of one folder, for it is not their reading that is measured."""
    folder.mkdir()
    files = tuple(folder / f"{number:03d}.dcm" for number in range(IMAGES))
    for file in files:
        file.touch()
    memory, begun = [], time.perf_counter()
    for number in range(BATCHES):
        for file in files:
            os.utime(file, ns=(number, number))  # a file that has changed is another
        outbox.add(Found("series", folder, files))
        if number in (BATCHES // 10, BATCHES - 1):
            memory.append(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
    seconds = time.perf_counter() - begun
    yield f"{'taken in':<28} {BATCHES * IMAGES / seconds:8.0f} images/s, {1000 * seconds / BATCHES:.1f} ms a batch of {IMAGES}"
    yield f"{'memory':<28} {memory[0]:8.0f} MiB after a tenth, {memory[1]:.0f} MiB at the end"
    yield f"{'database':<28} {outbox.folder.database.stat().st_size / 1e6:8.0f} MB"


def _spread(outbox: Outbox) -> None:
    """Put the batches into all states, with deliveries to two destinations and the transitions that led there."""
    urls = [(f"dicom://PACS{number}@localhost:104",) for number in range(DESTINATIONS)]
    states = " ".join(f"WHEN {place} THEN '{name}'" for place, name in enumerate(_SPREAD))
    with outbox.database.writing() as transaction:
        transaction.each("INSERT INTO destination (url, active) VALUES (?, 1)", urls)
        transaction.count(f"UPDATE image SET state = CASE batch % {len(_SPREAD)} {states} END")
        transaction.count(
            "INSERT INTO delivery (image, destination, batch, state) SELECT i.id, d.id, i.batch,"
            " CASE i.state WHEN 'DONEPROCESSING' THEN 'DONEPROCESSING' ELSE 'SENT' END FROM image i, destination d"
            " WHERE i.state IN ('DONEPROCESSING', 'SENT', 'DONE')"
        )
        for after in ("PROCESSING", "DONEPROCESSING", "SENT", "DONE"):
            transaction.count(
                "INSERT INTO transition (at, batch, image, after) SELECT added, batch, id, ? FROM image", (after,)
            )
        with at_once(transaction, range(1, BATCHES + 1), outbox.clock.now()):
            pass  # the tallies of the batches follow


def _looking(outbox: Outbox) -> Iterator[str]:
    for name, look in {
        "status, first page of 50": outbox.status,
        "status, last page": lambda: outbox.status(page=BATCHES // 50 - 1),
        f"show, a batch of {IMAGES}": lambda: outbox.show(BATCHES // 2),
    }.items():
        seconds = [_seconds(look) for _ in range(LOOKS)]
        median, worst = statistics.median(seconds), max(seconds)
        against = f", {median / LIMIT:.2f} × the {1000 * LIMIT:.0f} ms to keep" if "status" in name else ""
        yield f"{name:<28} {1000 * median:8.1f} ms median, {1000 * worst:.1f} at worst{against}"


def _seconds(look: object) -> float:
    begun = time.perf_counter()
    look()  # type: ignore[operator]
    return time.perf_counter() - begun
