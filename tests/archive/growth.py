"""Volumes for the archive's tests, and a writer that tells on standard output which of them it has appended.

``python growth.py ROOT COUNT`` is the process that tests kill.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

from rtbids.archive.dataset import Archive
from rtbids.volume import Volume, volume_of

AFFINE = np.array([[-3.0, 0.1, 0, 90.5], [0.1, 3.1, 0.2, -80.25], [0, -0.2, 3.3, -40], [0, 0, 0, 1]])
RUN = {"subject": "01", "task": "nf", "run": "01"}
METADATA = {"RepetitionTime": 2.0, "TaskName": "nf", "EchoTime": 0.03, "Paced": True}
EVENTS = "onset\tduration\ttrial_type\n4\t6\tregulate\n"


def voxels_of(index, shape=(8, 9, 5), dtype=np.int16):
    """Return the voxels of a volume, known from its index alone."""
    return np.asfortranarray(np.random.default_rng(index).integers(0, 1000, shape).astype(dtype))


def volume(index, *, shape=(8, 9, 5), dtype=np.int16, entities=RUN, metadata=METADATA, slope=1.0, inter=0.0, **more) -> Volume:
    return volume_of(voxels_of(index, shape, dtype), AFFINE, entities, metadata, index, slope=slope, inter=inter, **more)


def main(root: str, count: str) -> None:
    with Archive(Path(root)) as archive:
        archive.recover()
        entities = {"subject": "01", "task": "nf"}
        entities["run"] = archive.number(entities)
        run = table = None
        for index in range(int(count)):
            now = volume(index, entities=entities, shape=(16, 16, 9))
            if run is None:
                run = archive.begin(now, EVENTS)
                table = run.table("feedback", ("volume", "value"), {"value": {"Units": "percent"}})
            else:
                run.append(now)
            print(run.name, index, flush=True)
            table.row((index, index / 7))
        run.end()
        print("ended", -1, flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
