"""How late alternates leave: volumes at a short TR, with a script that hangs again and again and others beside it."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, closing, nullcontext
from dataclasses import replace
from pathlib import Path

import nibabel
import numpy as np

from rtbids.archive.dataset import Archive
from rtbids.clock import CLOCK
from rtbids.pipeline import Inbox, be_quick
from rtbids.priority import first_in_line
from rtbids.replay.phantom import Phantom
from rtbids.run.lanes import Lane
from rtbids.run.process.experiment_process import ExperimentProcess
from rtbids.run.process.host import Host, IsOverdue, Recall
from rtbids.run.process.launcher import Launcher
from rtbids.run.progress import Progress
from rtbids.run.recipe import recipe
from rtbids.run.recipe.recipe import Recipe
from rtbids.run.session import Session
from rtbids.volume import Item, RunEnd, Volume, volume_of
from rtbids.wakeup import Wakeup

VOLUMES = 5000
INTERVAL = 0.02  # seconds from volume to volume, and the deadline
PHANTOM = Phantom(shape=(64, 64, 18), volumes=20)
ENTITIES = {"subject": "01", "task": "nf", "run": "01"}
METADATA = {"RepetitionTime": INTERVAL, "TaskName": "nf"}
SCRIPTS = {
    "steady": "return float(volume.data[32, 32, 9])",
    "hanging": "volume.index % 100 == 50 and time.sleep(1000)",
    "busy": "end = time.time() + 0.03\n    while time.time() < end:\n        pass",
    "raising": "raise ValueError('no')",
    "dying": "volume.index % 250 == 0 and os._exit(1)",
    "hungry": "KEPT.append(numpy.ones(2 * 10**6))",
}
HEAD = "import os\nimport time\n\nimport numpy\n\nKEPT = []\n\n\ndef feedback(volume, run):\n    "


class Kept:
    """A destination that keeps the lines."""

    def __init__(self) -> None:
        self.rows: list[Mapping[str, object]] = []

    def send(self, row: Mapping[str, object]) -> None:
        self.rows.append(row)

    def close(self, timeout: float = 2.0) -> None:
        pass


def measure() -> Iterator[str]:
    """Measure each kind of trouble beside a script that works, then all at once."""
    for names in (*((name, "steady") for name in SCRIPTS if name != "steady"), tuple(SCRIPTS)):
        with tempfile.TemporaryDirectory() as folder, closing(Launcher()) as launcher:
            yield from run(Path(folder), names, launcher)


def run(
    folder: Path,
    names: tuple[str, ...],
    launcher: Launcher,
    beside: Callable[[Session], AbstractContextManager[object]] = nullcontext,
) -> Iterator[str]:
    """Measure scripts with `beside` entered for the session."""
    kept = Kept()
    lanes = [_lane(folder / name, kept, launcher) for name in names]
    with Archive(folder / "study") as archive:
        session = Session(lanes, archive, clock=CLOCK, stop=Wakeup(), progress=Progress())
        be_quick()
        inbox = Inbox(session.runs.opened(_volumes()), around=first_in_line)
        with beside(session), first_in_line(2) as first:
            session.run(inbox)
    count = nibabel.load(folder / "study" / "sub-01" / "func" / "sub-01_task-nf_run-01_bold.nii.gz").shape[3]
    size = "×".join(map(str, PHANTOM.shape))
    yield f"{', '.join(names)}: {VOLUMES} volumes of {size}, one in {1000 * INTERVAL:.0f} ms; {count} are in the archive"
    yield (
        "  the loop runs before others, as this user may have it" if first else "  the loop runs among others: no rtprio limit"
    )
    for name in names:
        yield _figures(name, [row for row in kept.rows if row["experiment"] == name])


def _lane(folder: Path, kept: Kept, launcher: Launcher) -> Lane:
    folder.mkdir()
    (folder / "experiment.py").write_text(f"{HEAD}{SCRIPTS[folder.name]}\n")
    read = recipe.read(str(folder))

    def apart(recipe: Recipe, is_overdue: IsOverdue, recall: Recall) -> Host:
        return ExperimentProcess(recipe, is_overdue, recall, launcher=launcher)

    return Lane(replace(read, config=replace(read.config, memory="2 GB")), apart, {"kept": kept}, CLOCK)


def _volumes() -> Iterator[Item]:
    pictures = [PHANTOM.volume(index) for index in range(PHANTOM.volumes)]
    begin = time.monotonic()
    for index in range(VOLUMES):
        time.sleep(max(0.0, begin + index * INTERVAL - time.monotonic()))
        yield _volume(pictures[index % len(pictures)], index)
    yield RunEnd(ENTITIES, VOLUMES)


def _volume(voxels: np.ndarray, index: int) -> Volume:
    return volume_of(voxels, PHANTOM.affine, ENTITIES, METADATA, index, times={"received": CLOCK.now()})


def _figures(name: str, rows: list[Mapping[str, object]]) -> str:
    given = [row for row in rows if row["status"] != "late"]
    ok = sum(row["status"] == "ok" for row in given)
    late = 1000 * np.array([float(row["sent"]) - float(row["due"]) for row in given])  # type: ignore[arg-type]
    missed = np.maximum(late, 0)
    p50, p99, p999 = np.percentile(missed[late >= 0] if (late >= 0).any() else [0.0], [50, 99, 99.9])
    every = np.percentile(missed, 99.9)
    return (
        f"  {name:<9} {len(given)} lines, {ok} in time; after the due time: median {p50:5.2f} ms  p99 {p99:5.2f} ms  "
        f"p99.9 {p999:5.2f} ms  worst {missed.max():5.2f} ms   p99.9 over all lines {every:5.2f} ms of the 5 ms allowed"
    )
