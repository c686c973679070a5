"""Where voxels lie, and how a head that moved as one piece is described: grids and rigid transforms."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
SAME = 0.05  # of a voxel: how far apart two grids may lie that are one; files have affines rounded to a few decimals


@dataclass(frozen=True, eq=False)
class Grid:
    """The voxels of a volume, and their millimetres about its centre.

    Attributes
    ----------
    shape
        Voxels along (i, j, k).
    affine
        4×4, voxel → scanner mm, RAS+. Its translation plays no part here: millimetres count from the volume's centre, along the
        scanner's axes.
    """

    shape: tuple[int, int, int]
    affine: Array

    @classmethod
    def of_zooms(cls, shape: tuple[int, int, int], zooms: Sequence[float]) -> Grid:
        """Return the grid of voxels of these sides (mm), its axes those of the scanner."""
        return cls(shape, np.diag([*zooms, 1.0]))

    @cached_property
    def zooms(self) -> Array:
        """Voxel sides in mm."""
        return np.asarray(np.sqrt((np.asarray(self.affine, np.float64)[:3, :3] ** 2).sum(axis=0)))

    @cached_property
    def to_mm(self) -> Array:
        """4×4, voxel → mm about the volume's centre."""
        matrix = np.eye(4)
        matrix[:3, :3] = np.asarray(self.affine)[:3, :3]
        matrix[:3, 3] = -matrix[:3, :3] @ (np.array(self.shape) - 1) / 2
        return matrix

    @cached_property
    def to_voxels(self) -> Array:
        """4×4, mm about the volume's centre → voxel."""
        return np.asarray(np.linalg.inv(self.to_mm), np.float64)

    def same_as(self, other: Grid) -> bool:
        """Return whether no corner of the box of voxels is farther than SAME of a voxel from its twin."""
        if self.shape != other.shape:
            return False
        corners = np.array(np.meshgrid(*[(0, size - 1) for size in self.shape], [1.0], indexing="ij")).reshape(4, -1)
        apart = np.sqrt((((self.affine - other.affine) @ corners)[:3] ** 2).sum(axis=0)).max()
        return bool(apart <= SAME * self.zooms.min())

    def moved(self, voxels: Array, matrix: Array) -> Array:
        """Return where voxels (3, n) of the reference are after the head moved by `matrix` (mm, 4×4)."""
        a = self.to_voxels @ matrix @ self.to_mm
        x, y, z = voxels  # summed here, so that the last bit does not depend on the threads that a matrix product takes
        return np.stack([row[0] * x + row[1] * y + (row[2] * z + row[3]) for row in a[:3]])

    def holds(self, voxels: Array, beyond: float = 1e-9) -> NDArray[np.bool_]:
        """Return which places (3, n), in voxels, are no more than `beyond` outside the outermost voxels' centres."""
        inside = np.ones(voxels.shape[1], bool)
        for places, size in zip(voxels, self.shape, strict=True):
            inside &= (places >= -beyond) & (places <= size - 1 + beyond)
        return inside


def rigid(parameters: Sequence[float] | Array) -> Array:
    """Return the 4×4 transform ``Trans Rz Ry Rx`` of three translations (mm) and three right-handed rotations (rad)."""
    (sx, sy, sz), (cx, cy, cz) = np.sin(parameters[3:6]), np.cos(parameters[3:6])
    about_x = np.array([[1, 0, 0], [0, cx, -sx], [0, sx, cx]])
    about_y = np.array([[cy, 0, sy], [0, 1, 0], [-sy, 0, cy]])
    about_z = np.array([[cz, -sz, 0], [sz, cz, 0], [0, 0, 1]])
    transform = np.eye(4)
    transform[:3, :3] = about_z @ about_y @ about_x
    transform[:3, 3] = parameters[:3]
    return transform


def parameters_of(transform: Array) -> Array:
    """Return the three translations (mm) and three rotations (rad) of a rigid transform: what `rigid` takes."""
    r = transform[:3, :3]
    turns = np.arctan2(r[2, 1], r[2, 2]), -np.arcsin(np.clip(r[2, 0], -1, 1)), np.arctan2(r[1, 0], r[0, 0])
    return np.concatenate([transform[:3, 3], turns])


def inverse(transform: Array) -> Array:
    """Return the inverse of a rigid transform."""
    turned_back = np.eye(4)
    turned_back[:3, :3] = transform[:3, :3].T
    turned_back[:3, 3] = -transform[:3, :3].T @ transform[:3, 3]
    return turned_back
