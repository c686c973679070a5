"""What a command costs before it does anything."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator

import figures

ROUNDS = 15


def measure() -> Iterator[str]:
    bare, ours = [], []
    for _ in range(ROUNDS):  # in turn, so that both see the same machine
        bare.append(_time([sys.executable, "-c", "pass"]))
        ours.append(_time([sys.executable, "-m", "rtbids", "--help"]))
    yield figures.spread("python -c pass", bare)
    yield figures.spread("rtbids --help", ours)
    yield figures.spread("over bare Python", [b - a for a, b in zip(bare, ours, strict=True)])


def _time(command: list[str]) -> float:
    begin = time.perf_counter()
    subprocess.run(command, stdout=subprocess.DEVNULL, check=True)
    return time.perf_counter() - begin
