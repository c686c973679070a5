"""Slow drift of the signal: cosines or polynomials over the run as it was planned.

The length must be fixed beforehand, or the columns of earlier volumes would change. A run that goes on longer than planned gets
the same curves, continued.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
CUTOFF = 128.0  # seconds: SPM's default high-pass filter
SECONDS_PER_DEGREE = 150  # AFNI's rule


def cosine_count(planned: int, repetition_time: float, cutoff: float = CUTOFF) -> int:
    """Return how many cosines a run of `planned` volumes has that are slower than `cutoff` seconds (SPM's spm_filter)."""
    return int(2 * planned * repetition_time / cutoff + 1) - 1


def cosines(indices: NDArray[np.int_], planned: int, count: int) -> Array:
    """Return the first `count` discrete cosines at volumes `indices`: (volumes, count), orthonormal over the planned run."""
    k, j = np.asarray(indices)[:, None], np.arange(1, count + 1)
    return np.asarray(np.sqrt(2 / planned) * np.cos(np.pi * (2 * k + 1) * j / (2 * planned)))


def legendre_degree(planned: int, repetition_time: float) -> int:
    """Return the degree that AFNI takes for a run: 1, and one more for each 150 s."""
    return 1 + int(planned * repetition_time / SECONDS_PER_DEGREE)


def legendre(indices: NDArray[np.int_], planned: int, degree: int) -> Array:
    """Return Legendre polynomials of degree 1 to `degree` at volumes `indices`: (volumes, degree); the run spans -1 to 1."""
    x = 2.0 * np.asarray(indices) / max(1, planned - 1) - 1.0
    return np.asarray(np.polynomial.legendre.legvander(x, degree)[:, 1:])
