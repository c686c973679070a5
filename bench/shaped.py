"""Runs between two machines that a slow line joins: from a volume's last byte to its feedback, and the largest that is held."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

sys.path.append(str(Path(__file__).parent.parent / "tests"))
import figures
import machines
import pytest
import slow_line
from machines import Machine

from rtbids.replay import scanner
from rtbids.replay.phantom import Phantom

TR = 1.0
LINE = slow_line.Line(rate=20e6, delay=0.020)
USUAL = Phantom(shape=(64, 64, 36), voxel=(3.0, 3.0, 3.5), repetition_time=TR, volumes=60, noise=0.03)
LARGER = [(80, 80, 48), (96, 96, 56), (104, 104, 72), (112, 112, 80), (144, 144, 96)]
FEW = 20  # volumes of each larger size
SCRIPT = "def feedback(volume, run):\n    return float(volume.data.mean())\n"


@dataclass
class Outcome:
    """What a run gave: its lines, when each volume was written, what was said, and the bytes that crossed for one."""

    phantom: Phantom
    lines: list[dict[str, Any]]
    written: list[float]
    said: str
    crossed: float

    @property
    def given(self) -> list[dict[str, Any]]:
        return [line for line in self.lines if line["status"] != "late"]

    @property
    def delays(self) -> list[float]:
        """Seconds from the end of the scanner's writing to the line, by the clock of this one kernel."""
        return [line["sent"] - self.written[line["volume"]] for line in self.given]

    @property
    def missed(self) -> int:
        """Volumes without an answer one TR after they were written, whatever the line says."""
        return sum(line["status"] != "ok" or delay > TR for line, delay in zip(self.given, self.delays, strict=True))

    @property
    def lost(self) -> int:
        return self.phantom.volumes - len(self.given)

    def __str__(self) -> str:
        i, j, k = self.phantom.shape
        size = 2 * i * j * k
        return (
            f"{size / 1e6:.2f} MB, {self.crossed / 1e6:.2f} MB on the line: "
            f"{self.missed} of {self.phantom.volumes} without an answer within the TR, {self.lost} lost"
        )


def measure() -> Iterator[str]:
    try:
        with contextlib.ExitStack() as stack:
            yield from _measure(stack)
    except pytest.skip.Exception as reason:
        yield f"nothing measured: {reason}"


def _measure(stack: contextlib.ExitStack) -> Iterator[str]:
    here, there = stack.enter_context(machines.two())
    how = stack.enter_context(slow_line.joined(here, there, LINE))
    there.serve_ssh()
    there.has_rtbids()
    here.has_rtbids()
    machines.let_in(here, there)
    for machine in (here, there):
        machine.person(PREPARE, SCRIPT)
    yield f"{LINE}, by {how}"
    for name, source, options, exporter in WAYS:
        outcome = _run(here, source, options, exporter(here, there), USUAL)
        yield figures.spread(f"volume → feedback, {name}", outcome.delays)
        yield f"{'':<34} {outcome}"
    yield from _ladder(here)


def _ladder(here: Machine) -> Iterator[str]:
    """Take larger and larger volumes; the last cannot be held, and the user has to be told."""
    held = None
    for shape in LARGER:
        voxel = tuple(192 / n for n in shape)
        outcome = _run(here, "/data/export", ON, here, replace(USUAL, shape=shape, voxel=voxel, volumes=FEW))
        yield f"{'×'.join(map(str, shape)):<34} {outcome}"
        held = held if outcome.missed or outcome.lost else shape
        yield from (line for line in outcome.said.splitlines() if "missed the deadline" in line)
    yield f"{'largest that is held':<34} {'×'.join(map(str, held)) if held else 'none of these'}"


PREPARE = "mkdir -p mine && cat > mine/experiment.py && ~/.local/bin/rtbids deidentify --new-key -q"
ON = ["--on", "ssh://me@cloud"]
WAYS = [
    ("run --on", "/data/export", ON, lambda here, there: here),
    ("run ssh://", "ssh://me@cloud/data/export", [], lambda here, there: there),
]


def _run(here: Machine, source: str, options: list[str], exporter: Machine, phantom: Phantom) -> Outcome:
    """Run on `here` while the scanner at `exporter` exports."""
    files = list(scanner.dicoms(phantom))
    exporter.do("sh", "-c", "rm -rf /data/export/*")
    words = ["~/.local/bin/rtbids", "run", "mine", source, "--bids-dir", f"study-{'-'.join(map(str, phantom.shape))}"]
    words += ["--feedback", "-", "--volumes", str(phantom.volumes), *options]
    pipes: dict[str, Any] = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    run = subprocess.Popen(here.login("exec " + " ".join(words)), **pipes)
    assert run.stdout is not None
    assert run.stderr is not None
    said = []
    for line in run.stderr:
        said.append(line)
        if "watching" in line:
            break
    before = here.crossed()
    folder = exporter.root / "data" / "export"
    scan = threading.Thread(target=scanner.scan, args=(files, folder), kwargs={"interval": TR})
    scan.start()
    out, err = run.communicate(timeout=TR * phantom.volumes + 120)
    scan.join()
    assert run.returncode == 0, err
    lines = [json.loads(line) for line in out.splitlines()]
    written = [path.stat().st_mtime for path in sorted(folder.iterdir())]
    return Outcome(phantom, lines, written, "".join(said) + err, (here.crossed() - before) / phantom.volumes)
