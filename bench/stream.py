"""Volumes over a pipe between two processes: flat out, and one at a time."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, cast

import numpy as np
from figures import Figure, milliseconds

from rtbids.stream import bidsi
from rtbids.volume import Item, Volume, volume_of

SHAPE = (64, 64, 36)
MANY, PACED = 1000, 200
WARM = 20  # the reader's process is up by then
SPACING = 0.01  # seconds
READER = """
import json, sys, time
from rtbids.stream import bidsi
times = [(item.times["sent"], time.monotonic()) for item in bidsi.read(open(0, "rb", buffering=0))]
json.dump(times, sys.stdout)
"""


def measure(place: Path) -> list[Figure]:
    flat_out = received(volumes(MANY, 0.0))
    megabytes = MANY * np.prod(SHAPE) * 2 / 1e6
    paced = received(volumes(PACED, SPACING))
    return [
        Figure("stream: 64×64×36 volumes flat out", float(megabytes / (flat_out[-1][1] - flat_out[0][0])), "MB/s"),
        *milliseconds("stream: write to volume in hand, one every 10 ms", [there - sent for sent, there in paced[WARM:]]),
    ]


def received(items: Iterator[Item]) -> list[tuple[float, float]]:
    """Return (sent, received) of each item, seconds on the monotonic clock, after a pipe to another process."""
    with subprocess.Popen([sys.executable, "-c", READER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0) as reader:
        assert reader.stdin is not None
        assert reader.stdout is not None
        bidsi.write(items, cast(BinaryIO, reader.stdin))
        reader.stdin.close()
        times: list[tuple[float, float]] = json.loads(reader.stdout.read())
    return times


def volumes(count: int, spacing: float) -> Iterator[Volume]:
    voxels = np.asfortranarray(np.random.default_rng(0).integers(0, 4096, SHAPE, dtype=np.int16))
    entities, metadata = {"subject": "01", "task": "nf", "run": "01"}, {"RepetitionTime": 2.0}
    template = volume_of(voxels, np.eye(4), entities, metadata, 0)
    for index in range(count):
        time.sleep(spacing)
        yield volume_of(voxels, template.affine, entities, metadata, index, times={"sent": time.monotonic()})
