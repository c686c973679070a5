"""How good the volumes are, volume by volume; nothing looks at later ones, and each costs the same however many came before.

Measures of signal are of the volumes as they came, neither realigned nor smoothed, over the brain: the voxels of the first
volume that, smoothed by 5 mm, exceed 0.8 of its global mean; which is, as in SPM, the mean of the voxels above an eighth of the
mean of all.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rtbids.analysis.displacement import framewise, rms
from rtbids.analysis.limits import Limits
from rtbids.analysis.motion import Pose
from rtbids.analysis.space import Array, Grid
from rtbids.analysis.splines import smoothed
from rtbids.errors import BadData

BRAIN = 0.8  # of the global mean


@dataclass(frozen=True)
class Measures:
    """One volume's numbers; None where there is nothing to say: at the first volume, or where the pose is not known.

    Attributes
    ----------
    displacement
        Framewise displacement (Power) in mm since the last volume whose pose is known.
    rms
        Root mean square displacement (Jenkinson) in mm since the same.
    dvars
        100 times the root mean square, over the brain, of the change since the last volume, by the brain's median in the first.
    global_signal
        Mean over the brain, in the scanner's units.
    tsnr
        Median over the brain of mean by standard deviation (n - 1) of all volumes so far.
    spikes
        Why the volume is a spike: ``displacement``, ``dvars``, ``pose`` (not known); empty where it is none.
    good
        Whether it counts as good data.
    """

    displacement: float | None
    rms: float | None
    dvars: float | None
    global_signal: float | None
    tsnr: float | None
    spikes: tuple[str, ...]
    good: bool


@dataclass(frozen=True)
class Summary:
    """The run so far.

    Attributes
    ----------
    volumes
        How many came.
    spikes
        How many of them are.
    good
        How many of them count as good data.
    good_minutes
        Repetition time times the good volumes.
    minutes_to_criterion
        How long it will take until the criterion of good minutes is reached if things go on as so far; 0 once it is, None as
        long as no volume was good.
    mean_displacement, greatest_displacement, mean_dvars
        Over the volumes that have them.
    tsnr
        Of the volumes so far, as in `Measures`.
    """

    volumes: int
    spikes: int
    good: int
    good_minutes: float
    minutes_to_criterion: float | None
    mean_displacement: float | None
    greatest_displacement: float | None
    mean_dvars: float | None
    tsnr: float | None


class Quality:
    """Takes volumes one by one; says how good each is.

    Parameters
    ----------
    grid
        Of the volumes.
    repetition_time
        Seconds.
    mask
        (i, j, k), true in the brain; by default taken from the first volume that shows something, and whose pose is known.
    """

    def __init__(
        self, grid: Grid, repetition_time: float, mask: NDArray[np.bool_] | None = None, limits: Limits | None = None
    ) -> None:
        if mask is not None and (mask.shape != grid.shape or not mask.any()):
            raise BadData(
                f"expected a brain mask of {grid.shape} voxels with some inside, found {mask.shape}, {mask.sum()} inside"
            )
        self._grid, self._repetition_time, self._limits = grid, repetition_time, limits or Limits()
        self._mask = mask
        self._signal: _Signal | None = None
        self._known: Pose | None = None
        self._displacements, self._dvars = _Mean(), _Mean()
        self._volumes = self._good = self._spikes = 0
        self._tsnr: float | None = None

    def add(self, values: NDArray[np.generic], pose: Pose | None = None) -> Measures:
        """Take the next volume (i, j, k), in the scanner's units, and its pose where there is one; return its numbers."""
        if values.shape != self._grid.shape:
            raise BadData(f"expected a volume of {self._grid.shape} voxels as the ones before, found {values.shape}")
        if self._signal is None and (pose is None or pose.converged):
            self._begin(values)
        displacement, root_mean_square = self._moved(pose)
        dvars, global_signal = self._signal.add(values[self._mask]) if self._signal else (None, None)
        self._tsnr = self._signal.median_tsnr() if self._signal else None
        spikes = tuple(self._spikes_of(displacement, dvars, pose))
        good = displacement is not None and displacement < self._limits.good_displacement
        self._count(displacement, dvars, spikes, good)
        return Measures(displacement, root_mean_square, dvars, global_signal, self._tsnr, spikes, good)

    def _begin(self, values: NDArray[np.generic]) -> None:
        if self._mask is None and shows_something(values):
            self._mask = brain(values, self._grid)
        if self._mask is not None:
            self._signal = _Signal(values[self._mask])

    @property
    def mask(self) -> NDArray[np.bool_] | None:
        """The brain (i, j, k); None before the first volume, where none was given."""
        return self._mask

    def tsnr(self) -> NDArray[np.float64]:
        """Return mean by standard deviation so far as a volume (i, j, k); NaN outside the brain and where nothing changed."""
        ratio = np.full(self._grid.shape, np.nan)
        if self._signal is not None:
            ratio[self._mask] = self._signal.tsnr()
        return ratio

    @property
    def summary(self) -> Summary:
        """The run so far."""
        good_minutes = self._good * self._repetition_time / 60
        return Summary(
            self._volumes,
            self._spikes,
            self._good,
            good_minutes,
            self._minutes_left(good_minutes),
            self._displacements.mean,
            self._displacements.greatest,
            self._dvars.mean,
            self._tsnr,
        )

    def _minutes_left(self, good_minutes: float) -> float | None:
        left = self._limits.criterion - good_minutes
        if left <= 0:
            return 0.0
        elapsed = self._volumes * self._repetition_time / 60
        return left * elapsed / good_minutes if self._good else None

    def _moved(self, pose: Pose | None) -> tuple[float | None, float | None]:
        if pose is None or not pose.converged:
            return None, None
        before, self._known = self._known, pose
        if before is None:
            return None, None
        return framewise(before.matrix, pose.matrix), rms(before.matrix, pose.matrix)

    def _spikes_of(self, displacement: float | None, dvars: float | None, pose: Pose | None) -> list[str]:
        reasons = {
            "displacement": displacement is not None and displacement >= self._limits.spike_displacement,
            "dvars": dvars is not None and dvars >= self._limits.spike_dvars,
            "pose": pose is not None and not pose.converged,
        }
        return [reason for reason, holds in reasons.items() if holds]

    def _count(self, displacement: float | None, dvars: float | None, spikes: tuple[str, ...], good: bool) -> None:
        self._volumes += 1
        self._good += good
        self._spikes += bool(spikes)
        self._displacements.add(displacement)
        self._dvars.add(dvars)


def shows_something(values: NDArray[np.generic]) -> bool:
    """Say whether a volume is more than one value everywhere, as a blank one is."""
    known = values[np.isfinite(values)]
    return bool(known.size and known.min() < known.max())


def brain(values: NDArray[np.generic], grid: Grid) -> NDArray[np.bool_]:
    """Return which voxels (i, j, k) are brain, from one volume; all of them where there is no contrast."""
    image = smoothed(values, grid).astype(np.float64)
    bright = image[image > image.mean() / 8]
    mask = image > BRAIN * bright.mean() if bright.size else np.zeros(grid.shape, bool)
    return np.asarray(mask if mask.any() else np.ones(grid.shape, bool))


class _Mean:
    """Mean and greatest of the numbers so far."""

    def __init__(self) -> None:
        self._count, self._sum = 0, 0.0
        self.greatest: float | None = None

    def add(self, number: float | None) -> None:
        if number is not None:
            self._count, self._sum = self._count + 1, self._sum + number
            self.greatest = number if self.greatest is None else max(number, self.greatest)

    @property
    def mean(self) -> float | None:
        return self._sum / self._count if self._count else None


class _Signal:
    """The brain's voxels so far: mean and squares by Welford's update (Technometrics 4 (1962) 419), and the volume before."""

    def __init__(self, first: NDArray[np.generic]) -> None:
        known = np.asarray(first, np.float64)
        known = known[np.isfinite(known)]
        self._scale = float(np.median(known)) if known.size else 0.0
        self._count: Array | int = 0  # by voxel, once one was not a number
        self._mean = np.zeros(first.size)
        self._squares = np.zeros(first.size)
        self._before: Array | None = None

    def add(self, values: NDArray[np.generic]) -> tuple[float | None, float | None]:
        """Take the brain's voxels (V,); return DVARS and global signal, over those that are numbers."""
        y = np.asarray(values, np.float64)
        known = np.isfinite(y)
        dvars, self._before = self._change(y), y
        if known.all():
            self._update(y, 1)
            return dvars, float(y.mean())
        self._update(np.where(known, y, self._mean), known.astype(np.float64))
        return dvars, float(y[known].mean()) if known.any() else None

    def _update(self, y: Array, weight: Array | int) -> None:
        self._count = self._count + weight
        difference = y - self._mean
        self._mean += difference / np.maximum(self._count, 1)
        self._squares += difference * (y - self._mean)

    def _change(self, y: Array) -> float | None:
        if self._before is None or self._scale == 0:
            return None
        with np.errstate(invalid="ignore"):
            squares = (y - self._before) ** 2
        mean = squares.mean()
        if not np.isfinite(mean):
            squares = squares[np.isfinite(squares)]
            mean = squares.mean() if squares.size else np.nan
        return float(100 * np.sqrt(mean) / abs(self._scale)) if np.isfinite(mean) else None

    def tsnr(self) -> Array:
        with np.errstate(divide="ignore", invalid="ignore"):
            ratio = self._mean / np.sqrt(self._squares / np.maximum(self._count - 1, 0))
        return np.where(np.isfinite(ratio), ratio, np.nan)

    def median_tsnr(self) -> float | None:
        ratio = self.tsnr()
        ratio = ratio[np.isfinite(ratio)]
        return float(np.median(ratio)) if ratio.size else None
