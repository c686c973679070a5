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


def share(seconds: Sequence[float], limit: float | None) -> str:
    """Return how much of a limit (ms) the median is; nothing where there is none."""
    return "" if limit is None else f"   {1000 * np.median(seconds) / limit:5.2f} of the {limit:g} ms to reach"


def against(name: str, theirs: Sequence[float], ours: Sequence[float]) -> str:
    """Return the median of another way of doing the same, and how many times as long as ours that is."""
    theirs_ms = 1000 * np.median(theirs)
    return f"{name:<34} median {theirs_ms:8.2f} ms   {np.median(theirs) / np.median(ours):6.1f} × ours"
