"""A replay, on the same machine or another, gives the live values bit for bit, however many threads BLAS has."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

GIVEN = """
import numpy as np
rng = np.random.default_rng(0)
"""
WORK = {
    "decoder of two classes": """
from rtbids.analysis.decode import Decoder
from rtbids.analysis.space import Grid
for count in (5000, 20000, 60000):
    ones, grid = np.ones(count), Grid((100, 100, 100), np.eye(4))
    decoder = Decoder(
        ("a", "b"), rng.normal(size=(1, count)), np.zeros(1), 0 * ones, ones, "none", np.arange(count), grid, "run", "rest", 5.0
    )
    print(decoder.decision(rng.normal(size=count)).tobytes().hex())
""",
    "weighted mean": """
from rtbids.analysis.roi import Roi
from rtbids.bids.events import Events
for count in (5000, 20000, 60000):
    roi = Roi(np.ones((count, 1, 1), bool), Events(), 2.0, summary="weighted mean", weights=rng.uniform(size=count))
    roi.add_values(0, rng.normal(size=count))
    print(roi.weighted_mean().hex())
""",
    "correlation": """
from rtbids.analysis.signals import correlation
for count in (5000, 20000, 60000):
    print(correlation(rng.normal(size=count), rng.normal(size=count)).hex())
""",
    "activation": """
from rtbids.analysis.activation import Activation
activation = Activation(("go", "constant"), ("constant",), 60000)
for _ in range(6):
    found = activation.add(rng.normal(size=2), rng.normal(1000, 5, 60000))
print(found.hex())
""",
    "course of a region": """
from rtbids.analysis.course import Course
course = Course()
for n in range(3000):
    course.add(n, float(rng.normal(1000)), rng.normal(size=30), rng.normal(size=30))
print(course.numbers.tobytes().hex(), course.change(np.ones(3000, bool)).hex())
""",
}


@pytest.mark.parametrize("name", WORK)
def test_the_last_bit_does_not_depend_on_how_many_threads_there_are(name):
    found = set()
    for count in ("1", "2", "4"):
        limits = {"OPENBLAS_NUM_THREADS": count, "OMP_NUM_THREADS": count, "MKL_NUM_THREADS": count}
        command = [sys.executable, "-c", GIVEN + WORK[name]]
        found.add(subprocess.run(command, env={**os.environ, **limits}, capture_output=True, check=True).stdout)
    assert len(found) == 1
    assert found.pop().strip()
