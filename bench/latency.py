"""From the moment a DICOM file is closed, or renamed into place, to the volume in the script."""

from __future__ import annotations

import random
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import dcm2niix
import figures
import nibabel
import numpy as np
import scan

from rtbids.replay import scanner
from rtbids.replay.phantom import Phantom

PHANTOM = Phantom(volumes=150, repetition_time=0.3)


def measure() -> Iterator[str]:
    ours = {}
    for name, put in (("closed", scan.in_place), ("renamed", scan.rename)):
        ours[name] = _ours(put)
        yield figures.spread(f"rtbids, {name}", ours[name])
    theirs = _dcm2niix()
    yield figures.spread("dcm2niix and nibabel, conversion only", theirs)
    yield figures.ratio("ratio, closed", theirs, ours["closed"])
    yield from _rt_cloud()


def _ours(put: Callable[[bytes, Path], float]) -> list[float]:
    chance = random.Random(1)
    delays = []
    with scan.watched() as run:
        for index, content in enumerate(scanner.dicoms(PHANTOM)):
            moment = put(content, run.folder / f"001_000007_{index + 1:06d}.dcm")
            delays.append(run.line()["value"] - moment)
            time.sleep(chance.uniform(0.1, 0.3))
    return delays[1:]  # the first waits for the data set to be made


def _dcm2niix() -> list[float]:
    """What the conversion alone takes in the usual way: the binary on a file, its result read by nibabel."""
    times = []
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "volume.dcm"
        for content in list(scanner.dicoms(PHANTOM))[:50]:
            source.write_bytes(content)
            begin = time.perf_counter()
            command = [dcm2niix.bin, "-f", "volume", "-b", "y", "-z", "n", "-w", "1", "-s", "y", "-o", folder, source]
            subprocess.run(command, check=True, capture_output=True)
            np.asarray(nibabel.load(Path(folder) / "volume.nii").dataobj)
            times.append(time.perf_counter() - begin)
    return times


def _rt_cloud() -> Iterator[str]:
    try:
        import rtCommon
    except ImportError:
        yield "rt-cloud is not installed (not on the package index): no ratio to it"
    else:
        yield f"rt-cloud found at {rtCommon.__path__}: it is measured by its own scripts"
