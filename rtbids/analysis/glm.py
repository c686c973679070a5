"""The general linear model of many voxels, exact at every volume: least squares by Givens rotations.

One triangular matrix R serves all voxels. The rotations that bring a new row of the design into R are gathered into one small
orthogonal matrix, which all voxels are multiplied by at once (Gentleman, J Inst Maths Applics 12 (1973) 329; Applied Statistics
algorithm AS 75). A volume costs the same however many came before it.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rtbids.analysis.blocks import times
from rtbids.analysis.rank import Rank, rank
from rtbids.errors import BadData

Array = NDArray[np.float64]
EXACT = 1e-24  # of the sum of squares: residuals below are rounding, as those of a voxel that is always the same
ALL = slice(None)
logger = logging.getLogger("rtbids")


@dataclass(frozen=True)
class Estimate:
    """A contrast in every voxel.

    Attributes
    ----------
    effect
        Weighted sum of betas (V,), in the units of the voxels over those of the columns.
    t
        Effect over its standard error (V,).
    degrees_of_freedom
        Volumes less columns estimated.
    reason
        Why effect and t are NaN everywhere, where they are.
    """

    effect: Array
    t: Array
    degrees_of_freedom: int
    reason: str | None = None


class Glm:
    """A design that grows by a row a volume, and the voxels that it explains.

    Nothing is estimated before there are more volumes than independent columns. A column that is 0 so far, or a sum of columns
    before it, is left out of the estimates and named in `left_out`; contrasts that this leaves open are NaN with the reason,
    all others are exact. A voxel that was once no number is NaN from then on, and a voxel that the design explains without
    rest (a constant one) has no t; neither touches any other.

    Parameters
    ----------
    columns
        Names of the regressors, each once. Of columns that say the same the first is kept: give conditions first.
    voxels
        How many.
    held
        Of each column how far its beta is held near 0 (columns,): as if a volume had that in the column, 0 in all others and 0
        in every voxel. None for plain least squares.
    """

    def __init__(self, columns: Sequence[str], voxels: int, held: Array | None = None) -> None:
        if len(set(columns)) < len(columns) or not columns:
            raise ValueError(f"columns have names of their own, found {columns}")
        self.columns, self.voxels = tuple(columns), voxels
        self.count = 0
        self.skipped = 0
        self._r = np.zeros((len(columns), len(columns))) if held is None else np.diag(np.asarray(held, np.float64))
        self._z = np.zeros((len(columns) + 1, voxels))  # rotated voxels; in the last row what the new volume leaves over
        self._next = np.empty_like(self._z)
        self._left_over = np.zeros(voxels)
        self._squares = np.zeros(voxels)
        self._rank: Rank | None = None

    def add(self, row: Array, values: NDArray[Any]) -> bool:
        """Take a volume: its row of the design (columns,) and its voxels (V,).

        A row that is not all numbers is skipped, with a warning for the first; False says so.
        """
        row = np.array(row, np.float64)
        if row.shape != (len(self.columns),) or np.shape(values) != (self.voxels,):
            expected = f"{len(self.columns)} columns and {self.voxels} voxels"
            raise BadData(f"the design expects {expected}, found {row.shape} and {np.shape(values)}")
        if not np.isfinite(row).all():
            self._skip(row)
            return False
        self._z[-1] = values
        with np.errstate(invalid="ignore", over="ignore"):
            self._squares += self._z[-1] ** 2
            times(self._rotated_in(row), self._z, out=self._next)
            self._z, self._next = self._next, self._z
            self._left_over += self._z[-1] ** 2
        self.count += 1
        self._rank = None
        return True

    def _skip(self, row: Array) -> None:
        self.skipped += 1
        if self.skipped == 1:
            names = ", ".join(name for name, value in zip(self.columns, row, strict=True) if not np.isfinite(value))
            logger.warning("after %d volumes %s of the design is no number: such volumes are left out of it", self.count, names)

    def _rotated_in(self, row: Array) -> Array:
        """Rotate a row, which is consumed, into R; return the rotations as one matrix for the voxels' rows."""
        x, r = row, self._r
        turned = np.eye(len(x) + 1)
        for j in range(len(x)):
            if x[j] == 0:
                continue
            length = np.hypot(r[j, j], x[j])
            c, s = r[j, j] / length, x[j] / length
            r[j, j:], x[j:] = c * r[j, j:] + s * x[j:], c * x[j:] - s * r[j, j:]
            turned[j], turned[-1] = c * turned[j] + s * turned[-1], c * turned[-1] - s * turned[j]
        return turned

    @property
    def _factors(self) -> Rank:
        if self._rank is None:
            self._rank = rank(self._r)
        return self._rank

    @property
    def degrees_of_freedom(self) -> int:
        """Volumes less columns estimated."""
        return self.count - len(self._factors.kept)

    @property
    def undefined(self) -> str | None:
        """Why nothing can be estimated yet; None where something can."""
        kept = len(self._factors.kept)
        if self.count > kept > 0:
            return None
        return f"{self.count} volumes do not determine {len(self.columns)} columns"

    @property
    def left_out(self) -> dict[str, str]:
        """The columns that are not estimated, each with the reason."""
        factors = self._factors
        return {self.columns[place]: factors.why(place, self.columns) for place in factors.sums}

    @property
    def begun(self) -> NDArray[np.bool_]:
        """Which columns were ever other than 0 (columns,)."""
        return np.asarray(self._r.any(axis=0))

    @property
    def beta(self) -> Array:
        """Least squares up to now (columns, V); NaN for columns that are left out, and everywhere while undefined."""
        return self.betas(ALL)

    def betas(self, voxels: slice) -> Array:
        """Return `beta` of some voxels."""
        z = self._z[:-1, voxels]
        betas = np.full((len(self.columns), z.shape[1]), np.nan)
        if not self.undefined:
            factors = self._factors
            betas[factors.kept] = times(factors.inverse(), z)
        return betas

    @property
    def residual_squares(self) -> Array:
        """Sum of the squared residuals of all volumes so far (V,); NaN while undefined."""
        if self.undefined:
            return np.full(self.voxels, np.nan)
        factors = self._factors
        if not factors.sums:
            return self._left_over.copy()
        beside = np.eye(len(factors.q)) - factors.q @ factors.q.T  # rotated volumes that no kept column reaches
        return np.asarray(self._left_over + np.sum(times(beside, self._z[:-1]) ** 2, axis=0))

    @property
    def residual_mean_squares(self) -> Array:
        """The residuals' mean square over the volumes so far (V,), 0 where they are rounding; NaN while undefined."""
        rest = self.residual_squares
        return np.where(rest <= EXACT * self._squares, 0.0, rest / max(1, self.count))

    def explained(self, row: Array, columns: Sequence[str], voxels: slice = ALL) -> Array:
        """Return what `columns` explain of a volume of this row (V,); NaN while undefined. Columns left out explain nothing."""
        part = np.where([name in columns for name in self.columns], row, 0.0)
        return self._weighted(part, voxels)

    def estimate(self, weights: Mapping[str, float]) -> Estimate:
        """Return effect and t of a contrast: the weight of each column, 0 where it is not named."""
        unknown = [name for name in weights if name not in self.columns]
        if unknown:
            raise BadData(f"the design has no column {', '.join(map(repr, unknown))}; there are: {', '.join(self.columns)}")
        k = np.array([float(weights.get(name, 0.0)) for name in self.columns])
        reason = self.undefined or self._factors.open(k, self.columns)
        if reason:
            nothing = np.full(self.voxels, np.nan)
            return Estimate(nothing, nothing, self.degrees_of_freedom, reason)
        effect = self._weighted(k)
        return Estimate(effect, self._t(k, effect), self.degrees_of_freedom)

    def t(self, weights: Mapping[str, float]) -> Array:
        """Return t of a contrast (V,); NaN where it cannot be estimated, for which `estimate` has the reason."""
        return self.estimate(weights).t

    def _weighted(self, k: Array, voxels: slice = ALL) -> Array:
        z = self._z[:-1, voxels]
        if self.undefined:
            return np.full(z.shape[1], np.nan)
        factors = self._factors
        inner = factors.rotated(k)
        return times((factors.q @ inner)[None], z).ravel()

    def _t(self, k: Array, effect: Array) -> Array:
        factors, rest = self._factors, self.residual_squares
        inner = factors.rotated(k)
        with np.errstate(divide="ignore", invalid="ignore"):
            t = effect / np.sqrt(rest / self.degrees_of_freedom * (inner @ inner))
            return np.where(rest > EXACT * self._squares, t, np.nan)
