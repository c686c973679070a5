"""What samples between voxels: numba, where it is installed, and scipy."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from rtbids.analysis import splines


def installed() -> tuple[str, ...]:
    """Return their names, the one that a run takes first."""
    return ("numba", "scipy") if splines.prepare() == "numba" else ("scipy",)


@contextmanager
def using(engine: str) -> Iterator[None]:
    """Sample by one of them for a while."""
    chosen = splines._sampler
    if engine == "scipy":
        splines._sampler = lambda: splines._sample_by_scipy  # type: ignore[assignment]
    try:
        yield
    finally:
        splines._sampler = chosen
