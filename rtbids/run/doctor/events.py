"""How soon a folder tells of a file, heard in the way in which a folder is watched."""

from __future__ import annotations

import os
import select
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from rtbids.run.doctor.row import Cost, Row, look, ok
from rtbids.run.doctor.spread import Spread, span, spread
from rtbids.watch.changes import LOOK_SECONDS, Changes, Looking
from rtbids.watch.mounts import changes_of

COUNT = 30  # files, each closed and then renamed
PATIENCE = 0.5  # seconds for one event
MOST_MISSED = 3
PAUSE = 0.005  # seconds between two, so that the one that listens waits again
SOON = 0.05  # seconds that an event may take
POLLED = Spread(1.5 * LOOK_SECONDS, 2 * LOOK_SECONDS, 2 * LOOK_SECONDS, 0)  # two looks that see the same


@dataclass(frozen=True)
class Events:
    """`mode` says how changes are learnt; `took` is None where nothing was heard, `missed` counts what was not."""

    mode: str
    is_polled: bool
    took: Spread | None
    missed: int = 0


def measure(inner: Path, watched: Path, poll: bool | None = None) -> Events:
    """Write and rename small files in `inner`, a folder in `watched`."""
    with closing(changes_of(watched, poll)) as asked:
        if asked.fileno() is None:
            return Events(asked.mode, True, POLLED)
    with closing(changes_of(inner, poll)) as changes:
        if isinstance(changes, Looking):
            return Events(changes.mode, True, POLLED)
        times, missed = _heard(changes, inner)
        return Events(changes.mode, False, spread(times) if times else None, missed)


def _heard(changes: Changes, inner: Path) -> tuple[list[float], int]:
    writer = _Writer(inner)
    times, missed = [], 0
    try:
        for path in writer.paths:
            writer.go_on.release()
            heard = _wait(changes, path)
            writer.done.acquire()
            if heard is None:
                missed += 1
            else:
                times.append(max(0.0, heard - writer.moment))
            if missed >= MOST_MISSED or writer.fault is not None:
                break
    finally:
        writer.close()
    if writer.fault is not None:
        raise writer.fault
    return times, missed


def _wait(changes: Changes, path: str) -> float | None:
    """Return when the event of `path` came, None where it did not."""
    events = changes.fileno()
    until = time.perf_counter() + PATIENCE
    while events is not None and (left := until - time.perf_counter()) > 0:
        if select.select([events], [], [], left)[0]:
            now = time.perf_counter()
            if any(change.path == path for change in changes.read()):
                return now
    return None


class _Writer:
    """Another thread, as the scanner is another program: it writes a file, then renames it, each when told to."""

    def __init__(self, inner: Path) -> None:
        self.go_on, self.done = threading.Semaphore(0), threading.Semaphore(0)
        self.moment = 0.0
        self.fault: OSError | None = None
        self._is_over = False
        self._steps = [(inner / f".{number}.part", inner / f".{number}.probe") for number in range(COUNT)]
        self._thread = threading.Thread(target=self._run, name="probe", daemon=True)
        self._thread.start()

    @property
    def paths(self) -> Iterator[str]:
        for part, whole in self._steps:
            yield str(part)
            yield str(whole)

    def close(self) -> None:
        self._is_over = True
        self.go_on.release()
        self._thread.join()

    def _run(self) -> None:
        for step in self._steps:
            for act in (_write, os.rename):
                self.go_on.acquire()
                if self._is_over:
                    return
                time.sleep(PAUSE)
                self.moment = time.perf_counter()
                try:
                    act(*step)
                except OSError as error:
                    self.fault = error
                self.done.release()


def _write(part: Path, whole: Path) -> None:
    part.write_bytes(bytes(1024))


def judge(events: Events) -> tuple[Row, ...]:
    if events.took is None:
        why = "what is written to this folder raises none, so files are found by a look every 2 s"
        return (look("events", "none came", why, "watch it with --poll"),)
    if events.is_polled:
        return (look("events", events.mode, f"a file is taken {span(POLLED.p99)} after it is whole, at the latest"),)
    text = f"closed or renamed, told after {span(events.took.median)} (p99 {span(events.took.p99)}), {events.mode}"
    if events.missed:
        return (look("events", text, f"{events.missed} did not come: such files wait for a look, every 2 s", "use --poll"),)
    if events.took.p99 > SOON:
        return (look("events", text, "slow: is the machine busy?", "end what is not needed"),)
    return (ok("events", text),)


def costs(events: Events) -> tuple[Cost, ...]:
    if events.took is None:
        return (Cost("folder", 1.0, 2.0),)
    return (Cost("folder", events.took.median, events.took.p99),)
