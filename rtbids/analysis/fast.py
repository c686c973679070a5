"""The one loop that takes most of the time, compiled: values of a cubic B-spline at many points. Needs numba (extra ``fast``).

Importing this module compiles it, or takes what an earlier run has compiled: import it before a run, never in one.
"""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray

from rtbids.analysis.compiled import compiled

_SIGNATURE = "void(float32[:,:,::1], float64[:,::1], float32[::1])"


@numba.njit(inline="always")
def _folded(x: float, size: int) -> float:
    """Return the place of `x` once everything beyond the outermost voxels' centres is mirrored back."""
    last = size - 1
    if last == 0:
        return 0.0
    x = abs(x) % (2.0 * last)
    return 2.0 * last - x if x > last else x


@numba.njit(inline="always")
def _mirrored(index: int, size: int) -> int:
    if size == 1:
        return 0
    if index < 0:
        index = -index
    last = size - 1
    return 2 * last - index if index > last else index


@numba.njit(inline="always")
def _weights(f: float) -> tuple[float, float, float, float]:
    """Return the cubic B-spline's weights of the four voxels around a point `f` beyond the second."""
    g = 1.0 - f
    return g * g * g / 6, 2 / 3 - f * f * (2 - f) / 2, 2 / 3 - g * g * (2 - g) / 2, f * f * f / 6


@numba.njit(inline="always")
def _inner(coefs: Any, i: int, j: int, k: int, wi: Any, wj: Any, wk: Any) -> float:
    """Return the weighted sum of the 4×4×4 coefficients from (i, j, k) on."""
    total = 0.0
    for a in range(4):
        in_plane = 0.0
        for b in range(4):
            row = coefs[i + a, j + b]
            in_plane += wj[b] * (row[k] * wk[0] + row[k + 1] * wk[1] + row[k + 2] * wk[2] + row[k + 3] * wk[3])
        total += wi[a] * in_plane
    return total


@numba.njit(inline="always")
def _bordering(coefs: Any, i: int, j: int, k: int, wi: Any, wj: Any, wk: Any) -> float:
    """Return the same where some of them lie outside and are mirrored."""
    ni, nj, nk = coefs.shape
    total = 0.0
    for a in range(4):
        for b in range(4):
            row = coefs[_mirrored(i + a, ni), _mirrored(j + b, nj)]
            for c in range(4):
                total += wi[a] * wj[b] * wk[c] * row[_mirrored(k + c, nk)]
    return total


def _gather(coefs: Any, points: Any, values: Any) -> None:
    """Fill `values` (n,) with those at `points` (3, n), voxels; borders are mirrored as scipy's ``mode="mirror"``."""
    ni, nj, nk = coefs.shape
    for n in range(values.size):
        x, y, z = points[0, n], points[1, n], points[2, n]
        if 1 <= x < ni - 2 and 1 <= y < nj - 2 and 1 <= z < nk - 2:
            i, j, k = int(x), int(y), int(z)
            values[n] = _inner(coefs, i - 1, j - 1, k - 1, _weights(x - i), _weights(y - j), _weights(z - k))
        else:
            x, y, z = _folded(x, ni), _folded(y, nj), _folded(z, nk)
            i, j, k = int(x), int(y), int(z)
            values[n] = _bordering(coefs, i - 1, j - 1, k - 1, _weights(x - i), _weights(y - j), _weights(z - k))


_kernel = compiled(_SIGNATURE, _gather)


def sample(coefs: NDArray[np.float32], points: NDArray[np.float64]) -> NDArray[np.float32]:
    """Return the values at `points` (3, n), by index and fractions of it."""
    values = np.empty(points.shape[1], np.float32)
    _kernel(np.ascontiguousarray(coefs, np.float32), np.ascontiguousarray(points, np.float64), values)
    return values
