"""What a machine has and what is used of it: processors, memory, disk. What a system does not say is None."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

_PROC = Path("/proc")
_CGROUP = Path("/sys/fs/cgroup")  # of a container; elsewhere its root has no limits


@dataclass(frozen=True)
class Resources:
    """A look at a machine.

    Attributes
    ----------
    cores
        That may be used: fewer than there are where a container is held to a part.
    load
        Threads that ran or wanted to, over the latest minute.
    run, scripts
        Cores used by the run itself, and by each experiment's process: 1.0 is one core all the time.
    memory, memory_free
        Bytes; what may be had without swapping counts as free.
    swapped
        Bytes a second that go to the swap and come back.
    disk_free
        Bytes, of the data set's disk.
    """

    cores: float
    load: float | None = None
    run: float | None = None
    scripts: Mapping[str, float] = field(default_factory=dict)
    memory: int | None = None
    memory_free: int | None = None
    swapped: float | None = None
    disk_free: int | None = None


@dataclass(frozen=True)
class Counts:
    """What only counts up: seconds of processor time, pages swapped, at a moment of the monotonic clock."""

    moment: float
    run: float
    scripts: Mapping[tuple[str, int], float]  # of an experiment's process by that number
    pages: int | None


def counted(processes: Mapping[str, int]) -> Counts:
    """Count; `processes` are the experiments' by their names."""
    used = {each: seconds for each in processes.items() if (seconds := _used(each[1])) is not None}
    return Counts(time.monotonic(), time.process_time(), used, _swapped_pages())


def looked(before: Counts, after: Counts, folder: Path | None) -> Resources:
    """Return what is used, from two counts; `folder` is on the disk that is asked about."""
    seconds = max(1e-3, after.moment - before.moment)
    pages = None if before.pages is None or after.pages is None else after.pages - before.pages
    memory, free = _memory()
    return Resources(
        cores(),
        _load(),
        (after.run - before.run) / seconds,
        {each[0]: (used - before.scripts[each]) / seconds for each, used in after.scripts.items() if each in before.scripts},
        memory,
        free,
        None if pages is None else pages * os.sysconf("SC_PAGE_SIZE") / seconds,
        None if folder is None else _disk_free(folder),
    )


def cores() -> float:
    """Return how many cores this process may use."""
    there = float(len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1)
    words = _text(_CGROUP / "cpu.max").split()
    with suppress(ValueError, IndexError, ZeroDivisionError):  # also "max", which is no limit
        return min(there, int(words[0]) / int(words[1]))
    return there


def processor_seconds(stat: str) -> float | None:
    """Return what a process has used, by its ``/proc/PROCESS/stat`` (proc(5): fields 14 and 15, the name may hold blanks)."""
    words = stat.rpartition(")")[2].split()
    try:
        return (int(words[11]) + int(words[12])) / os.sysconf("SC_CLK_TCK")
    except (IndexError, ValueError):
        return None


def amounts(table: str) -> Mapping[str, int]:
    """Return the numbers of a table of ``/proc``: ``MemFree: 12 kB``, ``pswpin 12``."""
    rows = (line.split() for line in table.splitlines())
    return {words[0].rstrip(":"): int(words[1]) for words in rows if len(words) > 1 and words[1].isdecimal()}


def _used(process: int) -> float | None:
    return processor_seconds(_text(_PROC / str(process) / "stat"))


def _swapped_pages() -> int | None:
    found = amounts(_text(_PROC / "vmstat"))
    return found["pswpin"] + found["pswpout"] if {"pswpin", "pswpout"} <= found.keys() else None


def _memory() -> tuple[int | None, int | None]:
    """Return how much there is and how much is free, bytes: of the container where it is held to a part."""
    found = amounts(_text(_PROC / "meminfo"))
    if not {"MemTotal", "MemAvailable"} <= found.keys():
        return None, None
    total, free = 1024 * found["MemTotal"], 1024 * found["MemAvailable"]
    with suppress(ValueError):  # "max", or no such file
        limit, held = int(_text(_CGROUP / "memory.max")), int(_text(_CGROUP / "memory.current"))
        cache = amounts(_text(_CGROUP / "memory.stat")).get("inactive_file", 0)
        return min(total, limit), max(0, min(free, limit - held + cache))
    return total, free


def _load() -> float | None:
    try:
        return os.getloadavg()[0]
    except OSError:
        return None


def _disk_free(folder: Path) -> int | None:
    try:
        there = os.statvfs(folder)
    except OSError:
        return None
    return there.f_bavail * there.f_frsize


def _text(file: Path) -> str:
    try:
        return file.read_text(encoding="ascii", errors="replace")
    except OSError:
        return ""
