"""Columns of the design that cannot be told apart: said while the run goes on, when something may still be done."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from rtbids.analysis.glm import Glm

Array = NDArray[np.float64]
logger = logging.getLogger("rtbids")


class Singular:
    """Says which columns are a sum of others, once there are more volumes than columns; at the end, which were always 0.

    Before, that is as it should be: a condition has not begun, and few volumes cannot tell many columns apart. Of the columns
    that were `known` to be such a sum it says nothing.
    """

    def __init__(self, columns: Sequence[str], known: Iterable[str] = ()) -> None:
        self._model = Glm(columns, 0)
        self._said = set(known)

    def add(self, row: Array) -> None:
        """Take a volume's row of the design (columns,); one that is not all numbers has no part in any model."""
        if np.isfinite(row).all():
            self._model.add(row, np.zeros(0))
            if self._model.count > len(self._model.columns):
                self._say(among=np.flatnonzero(self._model.begun))

    def close(self) -> None:
        """Say what was 0 until the end."""
        if self._model.count:
            self._say(among=np.flatnonzero(~self._model.begun))

    def _say(self, among: NDArray[np.intp]) -> None:
        names = {self._model.columns[place] for place in among}
        for name, why in self._model.left_out.items():
            if name in names - self._said:
                self._said.add(name)
                count = self._model.count
                logger.warning("after %d volumes %s of the design is %s: the models do without it", count, name, why)
