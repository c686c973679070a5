"""Rigid realignment: the pose of the head in each volume against a reference.

Inverse-compositional Gauss-Newton on smoothed cubic B-splines, started from the pose before. After Friston et al., Human Brain
Mapping 3 (1995) 165; that the Jacobian is the reference's and stays as it is, after Baker and Matthews, Int J Computer Vision
56 (2004) 221. A pose depends on the volumes so far only, and not on how many threads there are.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from rtbids.analysis.space import Array, Grid, inverse, parameters_of, rigid
from rtbids.analysis.splines import FWHM, Voxels, coefficients, gaps, sample
from rtbids.errors import BadData

SPACING = 4.0  # mm between the points at which volumes are compared
SEED = 20  # of the points' jitter: one reference always gives the same points
EDGE = 7.5  # mm: points as near to the first or last slice are left out, what lies beyond it has a part in them
BRIGHT = 0.25  # of the reference's 99th percentile: noise in dimmer points does not move along and pulls at the pose
FEWEST_VOXELS = 4  # along each axis
FEWEST_POINTS = 200
LEAST_INSIDE = 0.5  # of the points: with fewer in the volume there is no saying where the head is
LEAST_ALIKE = 0.5  # correlation of a volume with the reference at the points
DARKEST = 0.01  # times as bright as the reference: what is darker is no picture of the head
MOST_STEPS = 20
CLOSE = np.array([0.003] * 3 + [np.deg2rad(0.003)] * 3)  # mm, rad: a step that is smaller is the last


@dataclass(frozen=True, eq=False)
class Pose:
    """Where the head is in a volume.

    Attributes
    ----------
    matrix
        4×4 rigid transform, reference → volume: what was at x in the reference is at ``matrix @ x`` in the volume. x is in mm
        about the centre of the volume's grid, along the scanner's axes (RAS+).
    steps
        Gauss-Newton steps taken.
    correlation
        Of the volume, in this pose, with the reference; NaN where it was not compared.
    reason
        Why there is no pose to trust, or None. `matrix` is then the last one that could be.
    """

    matrix: Array
    steps: int
    correlation: float
    reason: str | None = None

    @property
    def converged(self) -> bool:
        """Whether the pose is to be trusted."""
        return self.reason is None

    @cached_property
    def parameters(self) -> Array:
        """Translations along x, y, z (mm), right-handed rotations about x, y, z (rad): (6,), `matrix` by ``rigid``."""
        return parameters_of(self.matrix)


@dataclass(frozen=True, eq=False)
class _Points:
    """Where volumes are compared, what the reference has there, and how that changes as the head moves.

    Attributes
    ----------
    voxels
        (3, n).
    values
        Of the reference (n,).
    jacobian
        (7, n): value per mm along x, y, z, per rad about x, y, z, and the value itself, which takes up a change of brightness.
    """

    voxels: Array
    values: Array
    jacobian: Array

    @cached_property
    def normal(self) -> Array:
        return _products(self.jacobian)

    def only(self, kept: NDArray[np.bool_]) -> _Points:
        return _Points(self.voxels[:, kept], self.values[kept], np.ascontiguousarray(self.jacobian[:, kept]))


class Realigner:
    """Finds the head in volume after volume of one grid; each search starts where the head was last found.

    Parameters
    ----------
    reference
        (i, j, k) the run's first volume, or any on the same grid (`rtbids.analysis.reference.read`); what is not a number there
        is outside the field of view.
    grid
        Of the reference and of all volumes.
    fwhm
        Of the Gaussian in mm that volumes are smoothed by before they are compared.

    Raises
    ------
    BadData
        Where the reference has too few voxels, or nothing to be seen.
    """

    def __init__(self, reference: NDArray[np.generic], grid: Grid, *, fwhm: float = FWHM) -> None:
        if reference.shape != grid.shape or min(grid.shape) < FEWEST_VOXELS:
            raise BadData(
                f"motion needs a reference of {FEWEST_VOXELS} voxels or more along each axis, on the volumes' grid"
                f" {_by(grid.shape)}; found {_by(reference.shape)}",
                "leave motion out of the analysis of this run",
            )
        self.grid, self.fwhm = grid, fwhm
        self._points = _points(reference, grid, fwhm)
        self._latest = np.eye(4)

    def coefficients(self, values: NDArray[np.generic]) -> Voxels:
        """Return a volume as `estimate` and `rtbids.analysis.splines.sample` want it."""
        return coefficients(values, self.grid, self.fwhm)

    def estimate(self, values: NDArray[np.generic], coefs: Voxels | None = None) -> Pose:
        """Return the head's pose in a volume (i, j, k); `coefs` are its coefficients where they are already there."""
        if values.shape != self.grid.shape:
            raise BadData(f"expected a volume of {_by(self.grid.shape)} voxels as the reference, found {_by(values.shape)}")
        unknown = gaps(values, _near(self.grid, self.fwhm))
        pose = self._search(self.coefficients(values) if coefs is None else coefs, unknown)
        self._latest = pose.matrix
        return pose

    def _search(self, coefs: Voxels, unknown: NDArray[np.bool_] | None) -> Pose:
        matrix = self._latest
        for step in range(1, MOST_STEPS + 1):
            seen = _compared(self._points, coefs, self.grid, matrix, unknown)
            if seen.share < LEAST_INSIDE:
                why = "" if unknown is None else " where its voxels are numbers"
                return self._lost(step, f"only {100 * seen.share:.0f} % of the reference is left in the volume{why}")
            change = _change(self._points, seen)
            if change is None:
                return self._lost(step, "nothing in the volume to find the head by")
            matrix = matrix @ inverse(rigid(change))
            if (abs(change) < CLOSE).all():
                return self._found(step, matrix, seen.correlation(self._points))
        return self._lost(MOST_STEPS, f"no end after {MOST_STEPS} steps")

    def _found(self, step: int, matrix: Array, correlation: float) -> Pose:
        if correlation < LEAST_ALIKE:
            return self._lost(step, f"the volume does not look like the reference (correlation {correlation:.2f})", correlation)
        return Pose(matrix, step, correlation)

    def _lost(self, step: int, reason: str, correlation: float = np.nan) -> Pose:
        return Pose(self._latest, step, correlation, reason)


@dataclass(frozen=True, eq=False)
class _Seen:
    """What a volume has (n,) at the reference's points in some pose, and which of them lie in it."""

    values: Array
    inside: NDArray[np.bool_]

    @property
    def share(self) -> float:
        return float(self.inside.mean())

    def correlation(self, points: _Points) -> float:
        a, b = self.values[self.inside], points.values[self.inside]
        a, b = a - a.mean(), b - b.mean()
        length = np.sqrt((a * a).sum() * (b * b).sum())
        return float((a * b).sum() / length) if length > 0 else 0.0


def _compared(points: _Points, coefs: Voxels, grid: Grid, matrix: Array, unknown: NDArray[np.bool_] | None) -> _Seen:
    places = grid.moved(points.voxels, matrix)
    inside = grid.holds(places)
    if unknown is not None:
        inside[inside] = ~unknown[tuple(np.rint(places[:, inside]).astype(int))]
    return _Seen(sample(coefs, places).astype(np.float64), inside)


def _near(grid: Grid, fwhm: float) -> NDArray[np.intp]:
    """Return how many voxels around one that is no number are not to be trusted, along each axis."""
    return np.maximum(1, np.ceil(fwhm / grid.zooms)).astype(np.intp)


def _change(points: _Points, seen: _Seen) -> Array | None:
    """Return the Gauss-Newton step (6,); None where the points do not tell all of it."""
    difference, normal = seen.values - points.values, points.normal
    if not seen.inside.all():
        difference[~seen.inside] = 0
        normal = normal - _products(points.jacobian[:, ~seen.inside])
    try:
        solved = np.linalg.solve(normal, np.einsum("in,n->i", points.jacobian, difference))
    except np.linalg.LinAlgError:
        return None
    brightness = 1 + solved[6]  # of the volume by the reference: slopes are as many times as steep
    return solved[:6] / brightness if np.isfinite(solved).all() and brightness > DARKEST else None


def _points(reference: NDArray[np.generic], grid: Grid, fwhm: float) -> _Points:
    coefs, voxels = coefficients(reference, grid, fwhm), _lattice(grid)
    voxels = voxels[:, _known(reference, grid, fwhm, voxels)]
    values = sample(coefs, voxels).astype(np.float64)
    slopes = _slopes(coefs, grid, voxels)
    kept = values > BRIGHT * np.percentile(values, 99) if values.size else np.zeros(0, bool)
    if kept.sum() < FEWEST_POINTS or np.ptp(values[kept]) == 0:
        raise BadData(
            f"nothing in the reference to find the head by: {int(kept.sum())} points that differ",
            "take another volume as the reference",
        )
    arms = grid.to_mm[:3, :3] @ voxels + grid.to_mm[:3, 3:]
    jacobian = np.concatenate([slopes, np.cross(arms, slopes, axis=0), values[None]])
    return _Points(voxels, values, jacobian).only(kept)


def _lattice(grid: Grid) -> Array:
    """Return places (3, n) about SPACING mm apart, a little off the lattice, where no border has a part in the values."""
    margins = np.minimum(EDGE / grid.zooms, (np.array(grid.shape) - 2) / 3)
    axes = [np.arange(m, n - 1 - m, SPACING / zoom) for m, n, zoom in zip(margins, grid.shape, grid.zooms, strict=True)]
    lattice = np.stack(np.meshgrid(*axes, indexing="ij")).reshape(3, -1)
    return np.asarray(lattice + np.random.default_rng(SEED).uniform(0, 0.5, lattice.shape))


def _known(reference: NDArray[np.generic], grid: Grid, fwhm: float, voxels: Array) -> NDArray[np.bool_]:
    """Return at which places no voxel that is not a number has a part in the smoothed reference."""
    unknown = gaps(reference, _near(grid, fwhm))
    if unknown is None:
        return np.ones(voxels.shape[1], bool)
    return np.asarray(~unknown[tuple(np.rint(voxels).astype(int))])


def _slopes(coefs: Voxels, grid: Grid, voxels: Array, by: float = 0.01) -> Array:
    """Return the gradient (3, n), per mm along x, y, z: differences over `by` voxels to both sides."""
    sides = by * np.eye(3)[:, :, None]
    per_voxel = [(sample(coefs, voxels + side).astype(np.float64) - sample(coefs, voxels - side)) / (2 * by) for side in sides]
    return np.asarray(np.linalg.inv(grid.to_mm[:3, :3]).T @ np.stack(per_voxel))


def _products(jacobian: Array) -> Array:
    """Return ``J J'``: by einsum, whose sums do not depend on the number of threads as BLAS's do."""
    return np.asarray(np.einsum("in,jn->ij", jacobian, jacobian))


def _by(shape: tuple[int, ...]) -> str:
    return "×".join(map(str, shape))
