"""A small matrix times many voxels, a block of voxels at a time.

A product that is small enough is computed by the thread that asks for it; above that OpenBLAS wakes others, which on a busy
machine costs ten times what it gains, and how many there are may show in the last bit. Blocks stay in the cache, besides.
The same goes for the sum of many products.
(For the same reason small systems are solved by NumPy here: SciPy's triangular solver wakes threads for any size.)
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
SINGLE = 200_000  # multiplications: OpenBLAS takes one thread up to 262,144
LEAST = 64


def times(matrix: Array, voxels: Array, out: Array | None = None) -> Array:
    """Return ``matrix @ voxels``: (m, p) times (p, V), written to `out` where it is given."""
    product = np.empty((len(matrix), voxels.shape[1])) if out is None else out
    step = max(LEAST, SINGLE // matrix.size)
    for first in range(0, voxels.shape[1], step):
        block = slice(first, first + step)
        np.matmul(matrix, voxels[:, block], out=product[:, block])
    return product


def summed(a: Array, b: Array) -> Array:
    """Return ``a @ b`` of a vector (n,), or of several (m, n), and another (n,), in one order for any number of threads."""
    return np.asarray(np.einsum("...i,i->...", a, b))
