"""What a script may ask of the analysis so far: motion, quality, and the model of the whole brain."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rtbids.analysis import displacement, splines
from rtbids.analysis.design import Design
from rtbids.analysis.gaps import LastKnown
from rtbids.analysis.glm import Estimate, Glm
from rtbids.analysis.motion import Pose
from rtbids.analysis.quality import Measures, Quality, Summary
from rtbids.analysis.space import Grid
from rtbids.errors import UsageFault
from rtbids.volume import Volume

Array = NDArray[np.float64]


class MotionSoFar:
    """Where the head is in the current volume, and where it was before.

    Attributes
    ----------
    framewise_displacement
        Power's, in mm, since the last volume whose pose is known; None at the first, and where the pose is not known.
    rms_displacement
        Jenkinson's, in mm, likewise.
    """

    def __init__(self, grid: Grid) -> None:
        self._grid = grid
        self._matrices: dict[int, Array] = {}
        self.framewise_displacement: float | None = None
        self.rms_displacement: float | None = None
        self._pose: Pose | None = None
        self._known: Pose | None = None
        self._parameters: dict[int, Array] = {}
        self._displacements: dict[int, float] = {}
        self._length = 0

    def add(self, index: int, pose: Pose) -> None:
        """Take the pose of volume `index`."""
        self._pose, self._length = pose, index + 1
        self.framewise_displacement = self.rms_displacement = None
        if not pose.converged:
            return
        if self._known is not None:
            self.framewise_displacement = displacement.framewise(self._known.matrix, pose.matrix)
            self.rms_displacement = displacement.rms(self._known.matrix, pose.matrix)
            self._displacements[index] = self.framewise_displacement
        self._known = pose
        self._parameters[index], self._matrices[index] = pose.parameters, pose.matrix

    @property
    def pose(self) -> Pose:
        """The pose of the current volume; where it is not known, the last that was."""
        if self._pose is None:
            raise UsageFault("no volume has been realigned yet", "ask for motion in feedback(), not in start()")
        return self._pose

    @property
    def converged(self) -> bool:
        """Whether the pose of the current volume is known."""
        return self.pose.converged

    @property
    def reason(self) -> str | None:
        """Why it is not known; None where it is."""
        return self.pose.reason

    @property
    def parameters(self) -> Array:
        """Translations along x, y, z in mm and rotations about x, y, z in rad (6,) against the reference."""
        return self.pose.parameters

    @property
    def history(self) -> Array:
        """`parameters` of every volume so far (volumes, 6), by index; NaN where the pose is not known or no volume came."""
        poses = np.full((self._length, 6), np.nan)
        for index, parameters in self._parameters.items():
            poses[index] = parameters
        return poses

    def resliced(self, volume: Volume) -> NDArray[np.float32] | None:
        """Return a volume of this run as if the head had not moved since the reference (i, j, k), in the scanner's units.

        Cubic B-splines, unsmoothed, 0 outside the field of view; None where the volume's pose is not known. It costs as much as
        the rest of a chain together: regions are sampled where the head is and do not need it.
        """
        if volume.shape != self._grid.shape:
            raise UsageFault(f"expected a volume of this run, of {self._grid.shape} voxels, found {volume.shape}")
        matrix = self._matrices.get(volume.index)
        if matrix is None:
            return None
        return splines.resliced(splines.floats(volume.data, volume.slope, volume.inter), self._grid, matrix)

    @property
    def displacements(self) -> Array:
        """`framewise_displacement` of every volume so far (volumes,), by index; NaN where there is none."""
        found = np.full(self._length, np.nan)
        found[list(self._displacements)] = list(self._displacements.values())
        return found


class QualitySoFar:
    """How good the current volume is, and the run so far.

    Attributes
    ----------
    volume
        The current volume's numbers, None before the first; see `rtbids.analysis.quality.Measures`.
    """

    def __init__(self, quality: Quality) -> None:
        self._quality = quality
        self.volume: Measures | None = None

    def add(self, values: NDArray[Any], pose: Pose | None) -> None:
        """Take the next volume (i, j, k) and its pose."""
        self.volume = self._quality.add(values, pose)

    @property
    def summary(self) -> Summary:
        """The run so far; without ``motion`` no volume counts as good, as nobody knows how still the head is."""
        return self._quality.summary

    def tsnr(self) -> Array:
        """Return the tSNR so far as a volume (i, j, k); NaN outside the brain."""
        return self._quality.tsnr()


class GlmSoFar:
    """The model of every voxel of the brain, exact least squares over the volumes so far, the current one included.

    Maps are volumes (i, j, k) on the grid of the reference; NaN outside the brain. What cannot be estimated yet is None, and
    `reason` says why.

    Attributes
    ----------
    contrasts
        Name → weight of each column.
    """

    def __init__(
        self, design: Design, contrasts: Mapping[str, Mapping[str, float]], shape: tuple[int, ...], settle: Callable[[], None]
    ) -> None:
        self.contrasts = contrasts
        self._columns, self._settle = design.columns, settle
        self._estimates: dict[str, Estimate] = {}
        self.begin(np.zeros(shape, np.bool_))  # until a volume has shown a brain

    def begin(self, brain: NDArray[np.bool_]) -> None:
        """Begin the model of these voxels (i, j, k)."""
        self._brain = brain
        self._model = Glm(self._columns, int(np.count_nonzero(brain)))
        self._gaps = LastKnown(self._model.voxels)

    def add(self, row: Array, values: NDArray[Any]) -> None:
        """Take a volume: its row of the design and the brain's voxels; one that has left the field of view counts as before."""
        self._estimates.clear()
        self._model.add(row, self._gaps.fill(values))

    @property
    def columns(self) -> tuple[str, ...]:
        """The design's columns."""
        return self._model.columns

    @property
    def count(self) -> int:
        """How many volumes are in the model."""
        self._settle()
        return self._model.count

    @property
    def degrees_of_freedom(self) -> int:
        """Volumes less columns estimated."""
        self._settle()
        return self._model.degrees_of_freedom

    def t(self, contrast: str) -> Array | None:
        """Return the t-map of a contrast of the config; None where it cannot be estimated yet."""
        estimate = self._estimate(contrast)
        return None if estimate.reason else self._map(estimate.t)

    def effect(self, contrast: str) -> Array | None:
        """Return the map of a contrast's weighted sum of betas; None where it cannot be estimated yet."""
        estimate = self._estimate(contrast)
        return None if estimate.reason else self._map(estimate.effect)

    def beta(self, column: str) -> Array | None:
        """Return the map of one column's beta; None where it cannot be estimated yet."""
        self._settle()
        beta = self._model.beta[self._place(column)]
        return self._map(beta) if np.isfinite(beta).any() else None

    def reason(self, contrast: str) -> str | None:
        """Say why a contrast cannot be estimated yet; None where it can."""
        return self._estimate(contrast).reason

    def mean_t(self, contrast: str, mask: NDArray[np.bool_] | None = None) -> float | None:
        """Return the mean of t over a mask (i, j, k), such as ``run.roi(name).mask``, or the brain; None where none has a t."""
        t = self.t(contrast)
        if t is None:
            return None
        inside = t[self._brain if mask is None else mask]
        known = inside[np.isfinite(inside)]
        return float(known.mean()) if known.size else None

    def _estimate(self, contrast: str) -> Estimate:
        self._settle()
        if contrast not in self.contrasts:
            near = difflib.get_close_matches(contrast, list(self.contrasts), n=1)
            said = f", did you mean {near[0]!r}?" if near else f"; analysis.contrasts has: {', '.join(self.contrasts)}"
            raise UsageFault(f"no contrast {contrast!r}{said}")
        if contrast not in self._estimates:
            self._estimates[contrast] = self._model.estimate(self.contrasts[contrast])
        return self._estimates[contrast]

    def _place(self, column: str) -> int:
        if column not in self.columns:
            raise UsageFault(f"the design has no column {column!r}; there are: {', '.join(self.columns)}")
        return self.columns.index(column)

    def _map(self, values: Array) -> Array:
        filled = np.full(self._brain.shape, np.nan)
        filled[self._brain] = values
        return filled
