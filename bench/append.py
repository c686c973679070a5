"""Appending to the archive: its cost as the run grows (the first volume makes the files), and the memory that it takes."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import figures
import nibabel
import numpy as np

from rtbids.archive.dataset import Archive
from rtbids.volume import volume_of

SHAPE = (64, 64, 36)
PLACES = (1, 100, 400, 1000)
AROUND = 20  # appends about each place that its figure is taken of
SLOW_PLACES = (1, 100, 400)


def measure() -> Iterator[str]:
    ours = _ours()
    theirs = _load_concatenate_save()
    for place in PLACES:
        yield figures.spread(f"rtbids at volume {place}", ours[max(0, place - AROUND) : place + AROUND])
    for place in SLOW_PLACES:
        yield figures.spread(f"load, concatenate, save at {place}", [theirs[place]])
    for place in SLOW_PLACES:
        yield figures.ratio(f"ratio at volume {place}", [theirs[place]], ours[max(0, place - AROUND) : place + AROUND])


def _ours() -> list[float]:
    voxels = np.random.default_rng(0).integers(0, 1000, SHAPE, dtype=np.int16)
    entities, metadata = {"subject": "01", "task": "bench", "run": "01"}, {"RepetitionTime": 1.0, "TaskName": "bench"}
    times = []
    with tempfile.TemporaryDirectory() as folder, Archive(Path(folder) / "study") as archive:
        run = archive.begin(volume_of(voxels, np.eye(4), entities, metadata, 0))
        for index in range(1, max(PLACES) + AROUND):
            volume = volume_of(voxels, np.eye(4), entities, metadata, index)
            begin = time.perf_counter()
            run.append(volume)
            times.append(time.perf_counter() - begin)
            time.sleep(0.001)
        run.end()
    return times


def _load_concatenate_save() -> dict[int, float]:
    """What one append costs where the run is one image that is read, made longer and written (nibabel)."""
    voxels = np.random.default_rng(0).integers(0, 1000, SHAPE, dtype=np.int16)
    times = {}
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "run.nii"
        for place in SLOW_PLACES:
            nibabel.Nifti1Image(np.repeat(voxels[..., None], place, axis=3), np.eye(4)).to_filename(file)
            begin = time.perf_counter()
            before = np.asarray(nibabel.load(file).dataobj)
            nibabel.Nifti1Image(np.concatenate([before, voxels[..., None]], axis=3), np.eye(4)).to_filename(file)
            times[place] = time.perf_counter() - begin
    return times
