"""Realignment of heads that moved by a known amount, beside pyOpenNFT's core: how far off the poses are, what a volume costs.

The heads, and how far two poses are apart, are those of the tests.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import repeat

import engines
import figures
import numpy as np
import pyopennft
import series
from heads import apart, example, moved
from threadpoolctl import threadpool_limits

import rtbids
from rtbids.analysis.motion import Realigner
from rtbids.analysis.space import Array, Grid, rigid

POSES = 40
NOISE = 7.64  # gives the mean of the neurofeedback run the run's own tSNR
TURN = rigid([0, 0, 0, *np.deg2rad([20, 10, -15])])
WHOLE = slice(None)
LIMITS = (0.02, 0.04)  # mm: median and greatest error
REAL = 90  # volumes of the run as they were scanned
Estimate = Callable[[Array], Array]


@dataclass(frozen=True)
class Head:
    """A volume that is to move, its noise, and which of its slices are scanned."""

    volume: Array
    grid: Grid
    noise: float
    slices: slice
    limits: tuple[float, float] | None = None


@dataclass(frozen=True)
class Found:
    """What an engine made of known poses: its errors (mm) and CPU seconds."""

    errors: list[float]
    seconds: list[float]


def measure() -> Iterator[str]:
    with threadpool_limits(1):  # threads that wait for each other are CPU time too, and most of pyOpenNFT's
        yield from _measured()


def _measured() -> Iterator[str]:
    if (why := pyopennft.fault()) is not None:
        yield why
    yield from _known("example4d of nibabel, 128×96×24", _example())
    if series.NEUROFEEDBACK.is_file():
        volumes, grid = _neurofeedback()
        for name, head in _heads(volumes, grid).items():
            yield from _known(name, head)
        yield from _real_run(volumes, grid)
    else:
        yield f"real series not found at {series.DATA}: set RTBIDS_TEST_DATA"


def _neurofeedback() -> tuple[list[Array], Grid]:
    with series.neurofeedback() as folder:
        volumes = list(rtbids.volumes(folder))
    return [volume.scaled() for volume in volumes], Grid(volumes[0].shape, volumes[0].affine)


def _heads(volumes: list[Array], grid: Grid) -> dict[str, Head]:
    mean = np.mean(volumes, axis=0)
    return {
        "neurofeedback run, 74×74×36": Head(mean, grid, NOISE, WHOLE, LIMITS),
        "the same, oblique": Head(mean, Grid(grid.shape, TURN @ grid.affine), NOISE, WHOLE),
        "the same, 12 of its slices": Head(mean, grid, NOISE, slice(12, 24)),
    }


def _example() -> Head:
    volume, grid = example()
    return Head(volume, grid, 0.01 * float(np.percentile(volume, 95)), WHOLE)


def _real_run(volumes: list[Array], grid: Grid) -> Iterator[str]:
    """Tell what a volume costs where each search starts from the volume before, and how far the two cores are apart."""
    first, later = volumes[0], volumes[1:REAL]
    theirs = None
    if pyopennft.fault() is None:
        theirs, their_seconds = _followed(_their_estimates(first, grid), [pyopennft.as_taken(volume) for volume in later])
        yield figures.spread("as scanned, pyOpenNFT: CPU", their_seconds)
    for engine in engines.installed():
        with engines.using(engine):
            ours, seconds = _followed(_our_estimates(first, grid), later)
        yield figures.spread(f"as scanned, {engine}: CPU", seconds)
        if theirs is not None:
            off = [apart(a, b) for a, b in zip(theirs, ours, strict=True)]
            ratio = np.median(their_seconds) / np.median(seconds)
            yield f"  pyOpenNFT {ratio:.1f} × ours; its poses are {np.median(off):.4f} mm from ours, at most {max(off):.4f} mm"


def _followed(estimate: Estimate, volumes: list[Array]) -> tuple[list[Array], list[float]]:
    poses, seconds = [], []
    for volume in volumes:
        begin = time.process_time()
        poses.append(estimate(volume))
        seconds.append(time.process_time() - begin)
    return poses, seconds


def _our_estimates(reference: Array, grid: Grid) -> Estimate:
    realigner = Realigner(reference, grid)
    return lambda volume: realigner.estimate(volume).matrix


def _their_estimates(reference: Array, grid: Grid) -> Estimate:
    core = pyopennft.Core(reference, grid)
    return lambda volume: pyopennft.matrix(core.realign(volume))


def _known(name: str, head: Head) -> Iterator[str]:
    """Tell the errors at known poses of up to 3 mm and 3°, each found from a cold start."""
    poses, reference = list(_poses()), head.volume[..., head.slices]
    grid, volumes = Grid(reference.shape, head.grid.affine), list(_volumes(head, poses))
    ours = _found((_our_estimates(reference, grid) for _ in poses), poses, volumes)
    reach = "" if head.limits is None else f"   {_share(ours.errors, head.limits)}"
    yield f"{name:<34} {_errors(ours)}{reach}"
    if pyopennft.fault() is None:
        taken = [pyopennft.as_taken(volume) for volume in volumes]
        theirs = _found(repeat(_their_estimates(reference, grid)), poses, taken)
        yield f"{'  pyOpenNFT':<34} {_errors(theirs)}   {_beside(theirs, ours)}"


def _volumes(head: Head, poses: list[Array]) -> Iterator[Array]:
    """Yield what is scanned in each pose, a little brighter from volume to volume."""
    for n, pose in enumerate(poses):
        yield moved(head.volume, head.grid, pose, head.noise, n)[..., head.slices] * (1 + 0.01 * n / POSES)


def _poses() -> Iterator[Array]:
    """Yield small movements, then greater ones: half of them up to 3 mm and 3°."""
    rng = np.random.default_rng(1)
    for n in range(POSES):
        greatest = 0.3 if n < POSES / 4 else 0.9 if n < POSES / 2 else 3.0
        yield rigid(rng.uniform(-greatest, greatest, 6) * [1, 1, 1, *np.deg2rad([1, 1, 1])])


def _found(estimates: Iterable[Estimate], poses: list[Array], volumes: list[Array]) -> Found:
    found = Found([], [])
    for estimate, pose, volume in zip(estimates, poses, volumes, strict=False):
        begin = time.process_time()
        estimated = estimate(volume)
        found.seconds.append(time.process_time() - begin)
        found.errors.append(apart(estimated, pose))
    return found


def _errors(found: Found) -> str:
    return (
        f"error median {np.median(found.errors):.4f} mm, greatest {max(found.errors):.4f} mm   "
        f"CPU median {1000 * np.median(found.seconds):6.1f} ms"
    )


def _beside(theirs: Found, ours: Found) -> str:
    median, greatest = np.median(theirs.errors) / np.median(ours.errors), max(theirs.errors) / max(ours.errors)
    cpu = np.median(theirs.seconds) / np.median(ours.seconds)
    return f"{median:.2f} and {greatest:.2f} × our errors, {cpu:.1f} × our CPU time"


def _share(errors: list[float], limits: tuple[float, float]) -> str:
    median, greatest = limits
    return f"{np.median(errors) / median:.2f} and {max(errors) / greatest:.2f} of the {median} and {greatest} mm to reach"
