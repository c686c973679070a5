"""A made-up head that moves, on a grid of its own, for tests of the analysis."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from scipy import ndimage, stats

from rtbids.analysis.space import Grid, inverse, rigid
from rtbids.run.recipe.analysis_config import Analysis
from rtbids.volume import Volume, volume_of

SHAPE = (24, 24, 16)
AFFINE = np.array([[-4.0, 0, 0, 46], [0, 4.0, 0, -46], [0, 0, 4.0, -30], [0, 0, 0, 1.0]])
GRID = Grid(SHAPE, AFFINE)
ENTITIES = {"subject": "01", "task": "nf", "run": "01"}
EVENTS = "onset\tduration\ttrial_type\n8\t8\tgo\n28\t8\tgo\n48\t8\tgo\n"
LEFT = np.zeros(SHAPE, bool)
LEFT[8:11, 10:13, 7:10] = True
RIGHT = np.zeros(SHAPE, bool)
RIGHT[14:17, 10:13, 7:10] = True
FULL = Analysis(  # all that can be asked for at a time
    motion=True,
    smooth=5.0,
    drift="cosine",
    motion_terms=6,
    nuisance=("global",),
    despike=True,
    contrasts={"going": "go > rest"},
    quality=True,
)


def head(pose: Sequence[float] = (0, 0, 0, 0, 0, 0)) -> np.ndarray:
    """Return an ellipsoid with texture inside (i, j, k), moved by `pose` (mm, rad)."""
    still = np.random.default_rng(3).normal(0, 1, SHAPE)
    texture = ndimage.gaussian_filter(still, 1.5) * 900
    i, j, k = (np.indices(SHAPE) - (np.array(SHAPE) - 1).reshape(3, 1, 1, 1) / 2) / np.array([9, 9, 6]).reshape(3, 1, 1, 1)
    inside = 1 / (1 + np.exp((np.sqrt(i**2 + j**2 + k**2) - 1) * 12))
    image = (1000 + texture) * inside
    back = GRID.to_voxels @ inverse(rigid(pose)) @ GRID.to_mm
    return ndimage.affine_transform(image, back[:3, :3], back[:3, 3], order=5, mode="nearest")


def volume(image: np.ndarray, index: int, *, events: str | None = EVENTS, seed: int | None = 7, **fields: object) -> Volume:
    """Return `image` with noise as volume `index`, TR 2 s."""
    noise = np.random.default_rng(seed * 1000 + index).normal(0, 4, SHAPE) if seed is not None else 0.0
    metadata: Mapping[str, object] = {"RepetitionTime": 2.0}
    return volume_of((image + noise).astype(fields.pop("dtype", np.float32)), AFFINE, ENTITIES, metadata, index, events=events)


def run(count: int = 40, *, moving: bool = True, seed: int = 7) -> list[Volume]:
    """Return a run in which the left region rises by 3 % with the events, and the head drifts and turns."""
    steps = np.random.default_rng(5).normal(0, [0.1, 0.1, 0.1, 0.002, 0.002, 0.002], (count, 6)).cumsum(axis=0)
    steps[0] = 0
    times = np.arange(0, 2 * count, 2.0)
    going = np.isin(times, [onset + more for onset in (8, 28, 48) for more in (0, 2, 4, 6)])
    rise = np.convolve(going, stats.gamma.pdf(np.arange(0, 32, 2.0), 6))[:count]
    rise *= 0.03 / rise.max()
    made = []
    for n in range(count):
        image = head(steps[n] if moving else np.zeros(6))
        image[LEFT] *= 1 + rise[n]
        made.append(volume(image, n, seed=seed))
    return made
