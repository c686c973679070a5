"""How figures are shown."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def spread(name: str, seconds: Sequence[float]) -> str:
    """Return the median, 99th percentile and greatest of some times, in ms."""
    ms = 1000 * np.asarray(seconds)
    return f"{name:<34} median {np.median(ms):8.2f} ms   p99 {np.percentile(ms, 99):8.2f} ms   max {ms.max():8.2f} ms"


def ratio(name: str, theirs: Sequence[float], ours: Sequence[float]) -> str:
    """Return how many times as long theirs takes as ours, by medians."""
    return f"{name:<34} {np.median(theirs) / np.median(ours):8.1f} ×"
