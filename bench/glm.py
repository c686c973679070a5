"""The linear model of a brain: its error against least squares at every volume, and what a volume costs."""

from __future__ import annotations

import time
from collections.abc import Iterator

import figures
import numpy as np
import timing
from threadpoolctl import threadpool_limits

from rtbids.analysis.design import Design, Model
from rtbids.analysis.glm import Glm
from rtbids.bids.events import Event, Events

VOXELS, VOLUMES, TR = 40_500, 150, 1.97
CHECKED = 200  # voxels that the error is taken of
BLOCKS = Events(tuple(Event(29.55 + 39.4 * n, 19.7, "regulate") for n in range(7)))


def measure() -> Iterator[str]:
    real, random = _neurofeedback(), np.random.default_rng(0).normal(size=(VOLUMES, 13))
    yield from _errors("random design", random)
    yield from _errors("neurofeedback design", real)
    with threadpool_limits(1):  # threads that wait for each other are CPU time too
        yield from _costs(real)


def _neurofeedback() -> np.ndarray:
    """Task, constant, linear, four cosines and six of a head that wanders: 13 columns."""
    design, line = Design(Model(motion=6, signals=("linear",)), BLOCKS, TR, VOLUMES), np.linspace(-1, 1, VOLUMES)
    poses = np.random.default_rng(1).normal(size=(VOLUMES, 6)).cumsum(axis=0) * [0.01, 0.01, 0.01, 1e-4, 1e-4, 1e-4]
    return np.array([design.row(n, poses[n], {"linear": line[n]}) for n in range(VOLUMES)])


def _errors(name: str, design: np.ndarray) -> Iterator[str]:
    """Compare betas (in columns of length 1) with numpy.linalg.lstsq at every volume at which they are defined."""
    values = 1000 + 10 * np.random.default_rng(2).normal(size=(VOLUMES, CHECKED))
    glm, errors, conditions = Glm([f"x{n}" for n in range(13)], CHECKED), {}, {}
    for n, row in enumerate(design):
        glm.add(row, values[n])
        if glm.undefined:
            continue
        kept = [place for place, column in enumerate(glm.columns) if column not in glm.left_out]
        lengths = np.linalg.norm(design[: n + 1, kept], axis=0)
        scaled = design[: n + 1, kept] / lengths
        expected = np.linalg.lstsq(scaled, values[: n + 1], rcond=None)[0]
        errors[n] = np.abs(glm.beta[kept] * lengths[:, None] - expected).max() / np.abs(expected).max()
        conditions[n] = np.linalg.cond(scaled)
    distinct = [n for n in errors if conditions[n] < 1e4]
    yield (
        f"{name:<34} greatest relative difference to lstsq {max(errors[n] for n in distinct):.1e} at the {len(distinct)} of "
        f"{len(errors)} volumes with a condition number below 1e4, {max(errors.values()):.1e} at all of them (up to "
        f"{max(conditions.values()):.0e}); at the last {errors[VOLUMES - 1]:.1e}"
    )


def _costs(design: np.ndarray) -> Iterator[str]:
    rng = np.random.default_rng(3)
    volumes = [1000 + rng.normal(size=VOXELS).astype(np.float32) for _ in range(20)]
    glm = Glm([f"x{n}" for n in range(13)], VOXELS)
    added, wall, tested = [], [], []
    for n, row in enumerate(design):
        cpu, begin = time.process_time(), time.perf_counter()
        glm.add(row, volumes[n % 20])
        wall.append(time.perf_counter() - begin)
        added.append(time.process_time() - cpu)
        tested += timing.cpu(lambda: glm.t({"x0": 1.0}), 1)
    yield figures.spread("one volume, 40.5k voxels × 13", wall)
    yield figures.spread("the same, CPU", added)
    yield figures.spread("its t-map, CPU", tested[30:])
    yield figures.spread("its betas, CPU", timing.cpu(lambda: glm.beta, 20))
    run = np.array(volumes, np.float64)[np.arange(VOLUMES) % 20]
    batch = timing.cpu(lambda: np.linalg.lstsq(design, run, rcond=None), 5)
    yield figures.against("lstsq of all 150 volumes, CPU", batch, np.add(added[30:], tested[30:]))
