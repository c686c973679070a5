"""The whole chain on a head that moves, beside pyOpenNFT's core: what a volume costs before the script is asked, and after."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import engines
import figures
import numpy as np
import pyopennft
from scipy import ndimage
from threadpoolctl import threadpool_limits

from rtbids.analysis.roi import Roi
from rtbids.analysis.space import Grid, inverse, rigid
from rtbids.bids.events import Event, Events
from rtbids.run.chain import chain
from rtbids.run.recipe.analysis_config import Analysis
from rtbids.volume import Volume, volume_of

TR, VOLUMES = 2.0, 40
COLUMNS = 13  # of the design: task, constant, four cosines, six of motion, white matter
UNTOLD = COLUMNS + 2  # volumes before the model tells anything, and costs less
GO = Events(tuple(Event(8.0 + 20 * n, 10.0, "go") for n in range(4)))
FULL = Analysis(
    motion=True,
    smooth=5.0,
    drift="cosine",
    motion_terms=6,
    nuisance=("white",),
    despike=True,
    contrasts={"going": "go > rest"},
    volumes=150,
    quality=True,
)
GRIDS = {
    "64×64×36": ((64, 64, 36), (3.4, 3.4, 3.75), {"scipy": 55.0, "numba": 25.0}),
    "104×104×72": ((104, 104, 72), (2.1, 2.1, 2.0), {"scipy": 400.0, "numba": 400.0}),
}


def measure() -> Iterator[str]:
    if (why := pyopennft.fault()) is not None:
        yield why
    with threadpool_limits(1):  # threads that wait for each other are CPU time too, and most of pyOpenNFT's
        for name, (shape, zooms, limits) in GRIDS.items():
            volumes = _run(shape, zooms)
            theirs = _their_stages(volumes) if pyopennft.fault() is None else {}
            for stage, seconds in theirs.items():
                yield figures.spread(f"{name}, pyOpenNFT {stage} CPU", seconds)
            for engine in engines.installed():
                yield from _costs(f"{name}, {engine}", volumes, engine, limits[engine], theirs)


def _costs(name: str, volumes: list[Volume], engine: str, limit: float, theirs: dict[str, list[float]]) -> Iterator[str]:
    with engines.using(engine):
        before, after, wall, begin = _timed(volumes)
    whole = [a + b for a, b in zip(before, after, strict=True)]
    yield f"{figures.spread(f'{name}: CPU', whole)}{figures.share(whole, limit)}"
    yield figures.spread("  of it before the script", before)
    yield figures.spread("  wall, before the script", wall)
    yield f"{'  the beginning of the run, wall':<34} {1000 * begin:15.2f} ms"
    yield figures.ratio("  one gaussian_filter of scipy fits in", whole, _smoothings(volumes))
    if theirs:
        *own, model = theirs.values()
        yield figures.ratio("  pyOpenNFT's core but its model", np.sum(own, axis=0), whole)
        yield figures.ratio("  pyOpenNFT's core in all", np.sum([*own, model], axis=0), whole)


def _their_stages(volumes: list[Volume]) -> dict[str, list[float]]:
    """Return the CPU seconds of pyOpenNFT's stages, volume by volume: its model, of all voxels, is the last."""
    grid = Grid(volumes[0].shape, np.asarray(volumes[0].affine, np.float64))
    core, model = pyopennft.Core(volumes[0].data, grid), pyopennft.Model(COLUMNS, volumes[0].data.size)
    rows, contrast = iter(np.random.default_rng(2).normal(size=(VOLUMES, COLUMNS))), np.eye(COLUMNS)[0]
    stages: dict[str, Callable[[Any], Any]] = {
        "realign": core.realign,
        "reslice": core.resliced,
        "smooth": core.smoothed,
        "model": lambda smoothed: model.add(next(rows), smoothed.ravel(), contrast),
    }
    took: dict[str, list[float]] = {stage: [] for stage in stages}
    for volume in volumes:
        passed: Any = pyopennft.as_taken(volume.data)
        for stage, call in stages.items():
            begin = time.process_time()
            passed = call(passed)
            took[stage].append(time.process_time() - begin)
    return {stage: seconds[UNTOLD:] for stage, seconds in took.items()}


def _timed(volumes: list[Volume]) -> tuple[list[float], list[float], list[float], float]:
    chain.prepare(FULL)
    regions = {name: Roi(mask, GO, TR, name=name) for name, mask in _masks(volumes[0].shape).items()}
    begun = time.perf_counter()
    made = chain.Chain(FULL, volumes[0], GO, regions)
    made.add(volumes[0])
    begin = time.perf_counter() - begun
    made.settle()
    before, after, wall = [], [], []
    for volume in volumes[1:]:
        started, cpu = time.perf_counter(), time.process_time()
        made.add(volume)
        wall.append(time.perf_counter() - started)
        answered = time.process_time()
        made.settle()
        before.append(answered - cpu)
        after.append(time.process_time() - answered)
    return before, after, wall, begin


def _smoothings(volumes: list[Volume]) -> list[float]:
    """A workload that no code of ours has part in, to hold the rest against."""
    took = []
    for volume in volumes[:10]:
        values, cpu = volume.data.astype(np.float32), time.process_time()
        ndimage.gaussian_filter(values, 0.7)
        took.append(time.process_time() - cpu)
    return took


def _run(shape: tuple[int, int, int], zooms: tuple[float, float, float]) -> list[Volume]:
    grid, rng = Grid.of_zooms(shape, zooms), np.random.default_rng(1)
    image = _head(shape, rng)
    spline = ndimage.spline_filter(image, 3, output=np.float32, mode="mirror")
    steps = rng.normal(0, [0.05, 0.05, 0.05, 1e-3, 1e-3, 1e-3], (VOLUMES, 6)).cumsum(axis=0)
    made = []
    for n, pose in enumerate(steps):
        back = grid.to_voxels @ inverse(rigid(pose if n else np.zeros(6))) @ grid.to_mm
        moved = ndimage.affine_transform(spline, back[:3, :3], back[:3, 3], order=3, prefilter=False, mode="mirror")
        voxels = np.clip(moved + rng.normal(0, 8, shape), 0, 4095).astype(np.int16)
        made.append(volume_of(voxels, grid.affine, {"subject": "01", "task": "bench"}, {"RepetitionTime": TR}, n))
    return made


def _head(shape: tuple[int, int, int], rng: np.random.Generator) -> np.ndarray:
    x, y, z = ((np.indices(shape).T - (np.array(shape) - 1) / 2) / (0.42 * np.array(shape))).T
    egg = np.sqrt(x**2 + y**2 + z**2) < 1
    texture = ndimage.gaussian_filter(rng.normal(size=shape), 1.5)
    return np.asarray(ndimage.gaussian_filter(egg * (800 + 200 * texture / texture.std()), 0.7))


def _masks(shape: tuple[int, int, int]) -> dict[str, np.ndarray]:
    masks = {name: np.zeros(shape, bool) for name in ("left", "right", "white")}
    i, j, k = (size // 2 for size in shape)
    masks["left"][i - 12 : i - 7, j : j + 5, k : k + 4] = True
    masks["right"][i + 7 : i + 12, j : j + 5, k : k + 4] = True
    masks["white"][i - 4 : i + 4, j - 10 : j + 10, k : k + 4] = True
    return masks
