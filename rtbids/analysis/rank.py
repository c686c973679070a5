"""Which columns of a design can be told apart."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
NAMED = 3  # columns in a sentence; the first are the conditions
DEPENDENT = 1e-11  # of a column's length: what is left beside the columns before it is rounding, and it is a sum of them


@dataclass(frozen=True)
class Rank:
    """The factors of a matrix (rows, columns) without the columns that are 0 or a sum of columns before them.

    Attributes
    ----------
    kept
        Places of the independent columns.
    q, r
        Orthonormal (rows, kept) and upper triangular (kept, kept); their product is the kept columns.
    sums
        For each column left out: what of each kept column adds up to it (kept,).
    """

    kept: list[int]
    q: Array
    r: Array
    sums: dict[int, Array] = field(default_factory=dict)

    def why(self, place: int, columns: Sequence[str]) -> str:
        """Say, by the names of all columns, why one is left out."""
        parts = self.sums[place]
        terms = [columns[self.kept[n]] for n in np.flatnonzero(np.abs(parts) > 1e-6 * np.abs(parts).max(initial=0))]
        return f"a sum of {some(terms, ' and ')}" if terms else "0 in every volume so far"

    def open(self, weights: Array, columns: Sequence[str]) -> str | None:
        """Say why a weighted sum of all columns' coefficients has no one answer; None where it has."""
        reasons = [f"{columns[place]} is {self.why(place, columns)}" for place in self.mixes(weights)]
        return f"the contrast cannot be estimated: {some(reasons, '; ')}" if reasons else None

    def inverse(self) -> Array:
        """Return what makes coefficients of a right-hand side (kept, rows)."""
        return np.asarray(np.linalg.solve(self.r, self.q.T), np.float64)

    def rotated(self, weights: Array) -> Array:
        """Return a contrast of all columns in the coordinates of `q` (kept,); its squared length is its variance."""
        return np.asarray(np.linalg.solve(self.r.T, weights[self.kept]), np.float64)

    def mixes(self, weights: Array) -> list[int]:
        """Return the places of the columns left out for which a weighted sum of all columns' coefficients has no one answer.

        Without any, it is the same for every least-squares solution (estimable).
        """
        own = weights[self.kept]
        scales = {place: abs(weights[place]) + np.abs(own) @ np.abs(parts) for place, parts in self.sums.items()}
        return [place for place, parts in self.sums.items() if abs(own @ parts - weights[place]) > 1e-6 * scales[place]]


def some(texts: Sequence[str], between: str) -> str:
    """Return the first of them, and how many there are besides."""
    more = [f"{len(texts) - NAMED} more"] if len(texts) > NAMED else []
    return between.join([*texts[:NAMED], *more])


def rank(r: Array) -> Rank:
    """Return the rank of an upper triangular matrix, which is that of the design it belongs to."""
    lengths = np.sqrt((r**2).sum(axis=0))
    if (np.abs(np.diag(r)) > DEPENDENT * lengths).all():
        return Rank(list(range(len(r))), np.eye(len(r)), r)
    return _gram_schmidt(r)


def _gram_schmidt(matrix: Array) -> Rank:
    """Orthogonalise column by column, twice each: once more than that gains nothing (Giraud et al. 2005)."""
    kept: list[int] = []
    sums: dict[int, Array] = {}
    q, r = np.zeros((len(matrix), 0)), np.zeros((0, 0))
    for place, column in enumerate(matrix.T):
        parts = q.T @ column
        rest = column - q @ parts
        more = q.T @ rest
        parts, rest = parts + more, rest - q @ more
        left = float(np.linalg.norm(rest))
        if left <= DEPENDENT * float(np.linalg.norm(column)):
            sums[place] = np.linalg.solve(r, parts) if kept else np.zeros(0)
            continue
        kept.append(place)
        q = np.column_stack([q, rest / left])
        r = np.block([[r, parts[:, None]], [np.zeros((1, len(r))), np.array([[left]])]])
    width = len(kept)
    return Rank(kept, q, r, {place: np.append(parts, np.zeros(width - len(parts))) for place, parts in sums.items()})
