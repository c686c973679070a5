"""Realignment of a head that moved by a known amount: how far off the pose is, and what a volume costs, compiled and not."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from itertools import cycle
from pathlib import Path

import nibabel
import numpy as np
from scipy import ndimage

from rtbids.analysis import splines
from rtbids.analysis.motion import Realigner
from rtbids.analysis.space import Grid, rigid

POSES = 20
SHAPES = {(64, 64, 36): 3.0, (74, 74, 36): 3.0, (104, 104, 72): 2.0}  # voxel sides in mm


def measure() -> Iterator[str]:
    yield from _errors()
    engines = {"scipy": splines._sample_by_scipy}
    if splines.prepare() == "numba":
        engines["numba"] = splines._sampler()
    else:
        yield "numba is not installed"
    chosen = splines._sampler
    try:
        for name, engine in engines.items():
            splines._sampler = lambda engine=engine: engine
            for shape, side in SHAPES.items():
                yield from _costs(name, shape, side)
    finally:
        splines._sampler = chosen


def _example() -> tuple[np.ndarray, Grid]:
    image = nibabel.load(Path(nibabel.__file__).parent / "tests/data/example4d.nii.gz")
    return np.asarray(image.dataobj[..., 0], np.float64), Grid(image.shape[:3], image.affine)


def _errors() -> Iterator[str]:
    """Known poses of nibabel's example; the error is a root mean square over a sphere of 50 mm."""
    volume, grid = _example()
    rng, realigner, errors = np.random.default_rng(1), Realigner(volume, grid), []
    sphere = rng.normal(size=(3, 2000))
    sphere *= 50 / np.linalg.norm(sphere, axis=0)
    for _ in range(POSES):
        truth = rigid(rng.uniform(-3, 3, 6) * [1, 1, 1, *np.deg2rad([1, 1, 1])])
        off = realigner.estimate(_moved(volume, grid, truth, rng)).matrix - truth
        errors.append(np.sqrt(((off[:3, :3] @ sphere + off[:3, 3:]) ** 2).sum(axis=0).mean()))
    found = f"median {np.median(errors):.4f} mm   max {max(errors):.4f} mm"
    yield f"{'error at ±3 mm, ±3° (example4d)':<34} {found}   {_reach(errors)}"


def _reach(errors: list[float]) -> str:
    return f"{np.median(errors) / 0.02:.2f} and {max(errors) / 0.04:.2f} of the 0.02 and 0.04 mm to reach"


def _moved(volume: np.ndarray, grid: Grid, matrix: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    places = grid.moved(np.indices(grid.shape).reshape(3, -1).astype(float), np.linalg.inv(matrix))
    seen = ndimage.map_coordinates(volume, places, order=5, mode="constant").reshape(grid.shape)
    noise = 0.01 * np.percentile(volume, 95) * rng.normal(size=(2, *grid.shape))
    return np.abs(seen + noise[0] + 1j * noise[1])


def _costs(engine: str, shape: tuple[int, int, int], side: float) -> Iterator[str]:
    volume, _ = _example()
    grid = Grid.of_zooms(shape, (side, side, side))
    head = ndimage.zoom(volume, np.array(shape) / volume.shape, order=1).astype(np.float32)
    rng, size = np.random.default_rng(2), "×".join(map(str, shape))
    poses = [rigid([0.5 + step, -0.4, 0.6, 0.01, 0.01, -0.01]) for step in (0, 0.05)]  # 0.05 mm from volume to volume
    volumes = cycle([_moved(head, grid, pose, rng).astype(np.float32) for pose in poses])
    voxels = np.array(np.nonzero(head > 0.5 * head.mean()), float)
    warm, coefs = Realigner(head, grid), splines.coefficients(next(volumes), grid)
    for what, call in {
        "set-up and first volume": lambda: Realigner(head, grid).estimate(next(volumes)),
        "a volume": lambda: warm.estimate(next(volumes)),
        f"{voxels.shape[1]} voxels sampled": lambda: splines.sampled(coefs, grid, poses[0], voxels),
    }.items():
        yield f"{f'{engine}, {size}, {what}':<46} CPU {_ms(call):6.1f} ms"


def _ms(call: Callable[[], object]) -> float:
    call()
    spent = []
    for _ in range(15):
        begin = time.process_time()
        call()
        spent.append(1000 * (time.process_time() - begin))
    return float(np.median(spent))
