"""SPM's smoothing kernel: how far it is from the integral it stands for, and from python-rtspm's; what a volume costs."""

from __future__ import annotations

from collections.abc import Iterator

import figures
import numpy as np
import pyopennft
import timing
from scipy import integrate

from rtbids.analysis.smooth import Smoother, kernel
from rtbids.analysis.space import Grid

SHAPE, ZOOMS, FWHM = (64, 64, 36), (2.97297, 2.97297, 3.75), 5.0
WIDTHS = (0.8, 1.0, 5 / 2.97297, 5 / 3.75, 2.0, 4.0)  # voxels
LIMIT = 1e-12
ROUNDS = 15


def measure() -> Iterator[str]:
    yield f"{'taps, less the integral':<34} at most {max(map(_off, WIDTHS)):.1e}, to reach: {LIMIT:g}"
    volume, smoother = np.random.default_rng(0).uniform(0, 1000, SHAPE), Smoother(SHAPE, ZOOMS, FWHM)
    single = volume.astype(np.float32)
    ours = timing.cpu(lambda: smoother(volume), ROUNDS)
    yield figures.spread("a volume, float64: CPU", ours)
    yield figures.spread("a volume, float32: CPU", timing.cpu(lambda: smoother(single), ROUNDS))
    if (why := pyopennft.fault()) is not None:
        yield why
        return
    core, taken = pyopennft.Core(volume, Grid.of_zooms(SHAPE, ZOOMS)), pyopennft.as_taken(volume)
    off = np.abs(smoother(volume) - core.smoothed(taken)).max() / volume.max()
    yield f"{'less what python-rtspm gives':<34} at most {off:.1e} of the greatest value"
    yield figures.against("python-rtspm: CPU", timing.cpu(lambda: core.smoothed(taken), ROUNDS), ours)


def _off(fwhm: float) -> float:
    """Return how far taps are from a Gaussian convolved with a triangle, by quadrature, cut and summed as SPM does."""
    taps, sigma = kernel(fwhm), fwhm / np.sqrt(8 * np.log(2))
    exact = np.array([_integral(float(x), sigma) for x in range(-(len(taps) // 2), len(taps) // 2 + 1)])
    return float(np.abs(taps - exact / exact.sum()).max())


def _integral(x: float, sigma: float) -> float:
    def integrand(u: float) -> float:
        return float((1 - abs(u)) * np.exp(-((x - u) ** 2) / (2 * sigma**2)) / (sigma * np.sqrt(2 * np.pi)))

    return sum(integrate.quad(integrand, *side, epsabs=1e-15, epsrel=1e-13)[0] for side in ((-1, 0), (0, 1)))
