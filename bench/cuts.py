"""A run of 400 volumes at TR 0.4 s with its scripts behind a real sshd, whose connections are killed 20 times meanwhile."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

sys.path.append(str(Path(__file__).parent.parent / "tests"))
import figures
import nibabel
import numpy as np
import sshd
from journeys import test_on_cuts as journey

PHANTOM = replace(journey.PHANTOM, volumes=400)


def measure() -> Iterator[str]:
    if not sshd.PROGRAM.exists():
        yield "no sshd here: nothing measured"
        return
    with tempfile.TemporaryDirectory(prefix="rt") as folder, sshd.running(Path(folder)) as server:
        (Path(folder) / "mine").mkdir()
        (Path(folder) / "mine" / "experiment.py").write_text(journey.SCRIPT)
        run = journey.Live(server, PHANTOM, Path(folder) / "mine", Path(folder), _start)
        killed = journey.kill_now_and_then(server, run)
        run.finish()
        yield from _outcome(run, killed)


def _outcome(run: journey.Live, killed: int) -> Iterator[str]:
    given = Counter(line["volume"] for line in run.lines)
    (image,) = run.study.rglob("*_bold.nii.gz")
    truth = np.stack([PHANTOM.volume(n) for n in range(PHANTOM.volumes)], axis=3)
    is_whole = np.array_equal(np.asarray(nibabel.load(image).dataobj), truth)
    outcomes = Counter(line["reason"] or line["status"] for line in run.lines)
    yield f"killed {killed} times, {run.cuts} cuts; volumes as the scanner made them: {'all' if is_whole else 'NOT ALL'}"
    yield f"without a line: {PHANTOM.volumes - len(given)}   with two: {sum(count > 1 for count in given.values())}"
    yield "   ".join(f"{name}: {count}" for name, count in sorted(outcomes.items()))
    yield figures.spread("line before (-) or after its due", [line["sent"] - line["due"] for line in run.lines])
    late = [line["sent"] - line["due"] for line in run.lines if line["status"] == "alternate"]
    if late:
        yield figures.spread("the same of alternates", late)


def _start(*arguments: object) -> subprocess.Popen[Any]:
    pipes = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    return subprocess.Popen([sys.executable, "-m", "rtbids", *map(str, arguments)], bufsize=0, **pipes)  # type: ignore[call-overload]
