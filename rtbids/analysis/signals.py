"""Numbers from the signals of regions: of two at a time, and of blocks."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from rtbids.analysis.blocks import summed
from rtbids.errors import BadData

Array = NDArray[np.float64]
FEWEST = 3  # volumes for a correlation: two are always on a line
ROUNDING = 1e-12  # of a signal's height: what is left of a constant one when something was taken out of it


def difference(a: float | None, b: float | None) -> float | None:
    """Return ``a - b``; None where either is."""
    return None if a is None or b is None else a - b


def ratio(a: float | None, b: float | None) -> float | None:
    """Return ``(a - b) / (|a| + |b|)``, between -1 and 1; None where either is None, or both are 0."""
    if a is None or b is None or not abs(a) + abs(b):
        return None
    return (a - b) / (abs(a) + abs(b))


def correlation(a: Array, b: Array, window: int | None = None) -> float | None:
    """Return Pearson's r of two signals over their latest `window` volumes, or over all.

    Signals are by volume index; a volume that is NaN in one is left out of both. None with fewer than three volumes, and where
    a signal does not change beyond rounding. BadData where `window` is below three.
    """
    if window is not None and window < FEWEST:
        raise BadData(f"a correlation is over a window of {FEWEST} volumes or more, found {window}")
    length = max(len(a), len(b))
    a, b = (np.append(signal, np.full(length - len(signal), np.nan))[-(window or 0) :] for signal in (a, b))
    both = np.isfinite(a) & np.isfinite(b)
    if np.count_nonzero(both) < FEWEST:
        return None
    a, b = a[both], b[both]
    if any(np.ptp(signal) <= ROUNDING * np.abs(signal).max() for signal in (a, b)):
        return None
    a, b = a - a.mean(), b - b.mean()
    return float(np.clip(summed(a, b) / np.sqrt(summed(a, a) * summed(b, b)), -1, 1))


def within(inside: NDArray[np.bool_], window: str) -> NDArray[np.bool_]:
    """Return those `inside` in the whole ``run``, or in its latest ``block``; BadData for any other `window`."""
    if window not in ("run", "block"):
        raise BadData(f"window: expected 'run' or 'block', found {window!r}")
    return latest_block(inside) if window == "block" else inside


def latest_block(inside: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Keep the last stretch of volumes that are `inside`; a missing volume does not part it."""
    starts = _starts(inside)
    if not starts.any():
        return inside
    return np.asarray(inside & (np.arange(len(inside)) >= np.flatnonzero(starts)[-1]))


def without_first(inside: NDArray[np.bool_], indices: NDArray[np.int_], count: int) -> NDArray[np.bool_]:
    """Leave out the first `count` volumes of each stretch of volumes that are `inside`, by their `indices`.

    BadData where `count` is below 0 or no whole number.
    """
    if count < 0 or count != int(count):
        raise BadData(f"skip: expected a number of volumes, 0 or more, found {count!r}")
    starts = _starts(inside)
    begun = np.where(starts, indices, -1)
    since = indices - np.maximum.accumulate(begun)
    return np.asarray(inside & (since >= count))


def _starts(inside: NDArray[np.bool_]) -> NDArray[np.bool_]:
    return np.asarray(inside & ~np.append(False, inside[:-1]))
