"""How the memory of a run grows over 400 volumes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import scan

from rtbids.replay import scanner
from rtbids.replay.phantom import Phantom

PHANTOM = Phantom(shape=(64, 64, 36), volumes=400, repetition_time=0.05)
PLACES = (10, 100, 200, 300, 400)


def measure() -> Iterator[str]:
    seen = {}
    with scan.watched() as run:
        for index, content in enumerate(scanner.dicoms(PHANTOM), 1):
            scan.rename(content, run.folder / f"001_000007_{index:06d}.dcm")
            run.line()
            if index in PLACES:
                seen[index] = _resident(run.process.pid)
    for place, megabytes in seen.items():
        yield f"{f'at volume {place}':<34} {megabytes:8.1f} MiB"
    yield f"{'growth from volume 10 to 400':<34} {seen[400] - seen[10]:8.1f} MiB"


def _resident(process: int) -> float:
    """Return the resident memory in MiB (Linux)."""
    for line in Path(f"/proc/{process}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    raise RuntimeError("no VmRSS in /proc")
