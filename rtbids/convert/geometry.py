"""From a plane's place in the patient to a NIfTI affine: DICOM PS3.3 C.7.6.2, in numbers only.

DICOM is LPS+ and counts rows downwards; NIfTI is RAS+, and dcm2niix writes the rows upwards. Every form of image goes through
the same last step, `affine`, and has its rows turned with it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Vector = NDArray[np.float64]
_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])
_UNEVEN = 0.1  # of a step: more than rounding in the header, less than any slice that is missing or out of place


@dataclass(frozen=True, eq=False)
class Plane:
    """The orientation of a slice: unit vectors along a row and along a column (LPS), and the spacings in mm."""

    row: Vector
    column: Vector
    row_spacing: float  # from one row to the next, first value of PixelSpacing
    column_spacing: float

    @property
    def normal(self) -> Vector:
        return normal([*self.row.tolist(), *self.column.tolist()])


def normal(orientation: Sequence[float]) -> Vector:
    """Return the normal of a plane (LPS) of six cosines."""
    a, b, c, d, e, f = map(float, orientation)
    return np.array([b * f - c * e, c * d - a * f, a * e - b * d])  # np.cross takes ten times as long


def plane(orientation: Sequence[float], spacing: Sequence[float]) -> Plane:
    """Make a plane of ImageOrientationPatient (six cosines) and PixelSpacing (mm)."""
    cosines = np.array(orientation, dtype=np.float64)
    return Plane(cosines[:3], cosines[3:6], float(spacing[0]), float(spacing[1]))


def affine(where: Plane, origin: Vector, step: float, rows: int) -> Vector:
    """Return voxel → mm in RAS+ for data [column, row upwards, slice].

    `origin` is the centre of the first slice's first pixel (LPS, mm), `step` the way from slice to slice along the normal,
    negative where the slices run against it.
    """
    lps = np.eye(4)
    lps[:3, 0] = where.row * where.column_spacing
    lps[:3, 1] = where.column * where.row_spacing
    lps[:3, 2] = where.normal * step
    lps[:3, 3] = origin
    upwards = np.diag([1.0, -1.0, 1.0, 1.0])
    upwards[1, 3] = rows - 1
    result: Vector = _TO_RAS @ lps @ upwards
    return result


def reversed_slices(matrix: Vector, slices: int) -> Vector:
    """Return the affine of the same volume with its slices stored the other way round."""
    flip = np.diag([1.0, 1.0, -1.0, 1.0])
    flip[2, 3] = slices - 1
    result: Vector = matrix @ flip
    return result


def step(depths: Sequence[float], single: float) -> float:
    """Return the distance of even slices at ascending `depths` (mm); that of one slice alone is `single`."""
    return (depths[-1] - depths[0]) / (len(depths) - 1) if len(depths) > 1 else single


def gaps(depths: Sequence[float]) -> list[int]:
    """Return the numbers (from 1) of the slices that are missing between ascending `depths`; empty where the steps are even.

    ``[0]`` stands for steps that are uneven without a whole slice being missing.
    """
    if len(depths) < 3:
        return []
    steps = np.diff(depths)
    usual = float(np.sort(steps)[(len(steps) - 1) // 2])
    if np.abs(steps - steps.mean()).max() <= _UNEVEN * usual:
        return []
    taken = np.rint(steps / usual)  # step by step, so that rounding does not add up
    if np.abs(steps - taken * usual).max() > _UNEVEN * 2 * usual:
        return [0]
    places = np.concatenate(([0.0], np.cumsum(taken)))
    return sorted(set(range(1, int(places[-1]) + 2)) - {int(place) + 1 for place in places}) or [0]


def named(numbers: Sequence[int]) -> str:
    """Return numbers as people list them: ``3, 5 to 7``."""
    parts: list[list[int]] = []
    for number in numbers:
        if parts and number == parts[-1][-1] + 1:
            parts[-1].append(number)
        else:
            parts.append([number])
    return ", ".join(str(part[0]) if len(part) == 1 else f"{part[0]} to {part[-1]}" for part in parts)
