"""What a volume costs the linear model, in CPU time against another workload of the same run; the least of many is taken."""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np
import pytest

from rtbids.analysis.glm import Glm

COLUMNS, VOXELS, VOLUMES = 13, 10_000, 150


def least(call: Callable[[], object], times: int) -> float:
    spent = []
    for _ in range(times):
        begin = time.process_time()
        call()
        spent.append(time.process_time() - begin)
    return min(spent)


@pytest.fixture
def run():
    rng = np.random.default_rng(0)
    return rng.normal(size=(VOLUMES, COLUMNS)), 1000 + rng.normal(size=(VOLUMES, VOXELS))


@pytest.fixture
def glm():
    return Glm([f"x{n}" for n in range(COLUMNS)], VOXELS)


@pytest.mark.slow
def test_a_volume_and_its_t_map_cost_less_than_a_tenth_of_least_squares_anew(run, glm):
    """An eightieth as measured: solving all anew reads every volume again, so that no machine makes it near a tenth."""
    design, volumes = run
    for row, values in zip(design[:-20], volumes, strict=False):
        glm.add(row, values)
    later = iter(zip(design[-20:], volumes[-20:], strict=True))

    def volume() -> None:
        glm.add(*next(later))
        glm.t({"x0": 1.0})

    assert least(volume, 20) < least(lambda: np.linalg.lstsq(design, volumes, rcond=None), 5) / 10


@pytest.mark.slow
def test_the_last_volumes_cost_what_the_first_ones_did(run, glm):
    """As measured they are within a fifth; what reads all volumes again costs ten times as much at the end."""
    design, volumes = run
    rows = iter(zip(design, volumes, strict=True))
    costs = [least(lambda: glm.add(*next(rows)), 15) for _ in range(VOLUMES // 15)]
    assert costs[-1] < 3 * costs[0]
