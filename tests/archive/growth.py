"""Volumes for the archive's tests, and the process that they kill.

``python growth.py ROOT COUNT [STEP]`` archives a run and says on standard output which volumes it has appended. At its step
number STEP on the disk (a file opened, renamed, removed or written) it kills itself, a write being cut in its middle.
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

import numpy as np

from rtbids.archive.dataset import Archive
from rtbids.volume import Volume, volume_of

AFFINE = np.array([[-3.0, 0.1, 0, 90.5], [0.1, 3.1, 0.2, -80.25], [0, -0.2, 3.3, -40], [0, 0, 0, 1]])
RUN = {"subject": "01", "task": "nf", "run": "01"}
METADATA = {"RepetitionTime": 2.0, "TaskName": "nf", "EchoTime": 0.03, "Paced": True}
EVENTS = "onset\tduration\ttrial_type\n4\t6\tregulate\n"
GRID = (16, 16, 9)  # of the process below: more than a page a volume


def voxels_of(index, shape=(8, 9, 5), dtype=np.int16):
    """Return the voxels of a volume, known from its index alone."""
    return np.asfortranarray(np.random.default_rng(index).integers(0, 1000, shape).astype(dtype))


def volume(index, *, shape=(8, 9, 5), dtype=np.int16, entities=RUN, metadata=METADATA, **more) -> Volume:
    return volume_of(voxels_of(index, shape, dtype), AFFINE, entities, metadata, index, **more)


def die_at(step: int, root: str) -> None:
    """Arrange for the death of this process at its `step`-th step on the disk under `root`."""
    steps = 0
    pwrite, write = os.pwrite, os.write

    def count() -> bool:
        nonlocal steps
        steps += 1
        return steps == step

    def hook(event, arguments):
        names = ("open", "os.rename", "os.remove", "os.mkdir", "os.truncate")
        if event in names and any(root in str(one) for one in arguments[:2]) and count():
            os.kill(os.getpid(), signal.SIGKILL)

    def dying(plain):
        def cut(descriptor, content, *where):
            if descriptor > 2 and count():
                plain(descriptor, content[: len(content) // 2], *where)
                os.kill(os.getpid(), signal.SIGKILL)
            return plain(descriptor, content, *where)

        return cut

    os.pwrite, os.write = dying(pwrite), dying(write)
    sys.addaudithook(hook)


def say(name: str, index: int) -> None:
    """Acknowledge a volume, in one write."""
    sys.stdout.write(f"{name} {index}\n")
    sys.stdout.flush()


def main(root: str, count: str, step: str = "0") -> None:
    die_at(int(step), root)
    with Archive(Path(root)) as archive:
        entities = {"subject": "01", "task": "nf"}
        entities["run"] = archive.number(entities)
        run = archive.begin(volume(0, entities=entities, shape=GRID), EVENTS)
        say(run.name, 0)
        table = run.table("feedback", ("volume", "value"), {"value": {"Units": "percent"}})
        for index in range(1, int(count)):
            run.append(volume(index, entities=entities, shape=GRID))
            say(run.name, index)
            table.row((index, index / 7))
        run.end()


if __name__ == "__main__":
    main(*sys.argv[1:])
