"""How far the head moved, in one number."""

from __future__ import annotations

import numpy as np

from rtbids.analysis.space import Array, inverse, parameters_of

POWER_RADIUS = 50.0  # mm: a head of that radius turns rotations into displacements (Power et al.; FIRMM, OpenNFT, murfi)
FSL_RADIUS = 80.0  # mm; pyneal takes 50


def framewise(before: Array, matrix: Array, radius: float = POWER_RADIUS) -> float:
    """Return Power's framewise displacement in mm between two poses (4×4, mm about the volume's centre).

    ``sum |dt| + radius * sum |dr|`` over translations (mm) and rotations (rad): NeuroImage 59 (2012) 2142.
    """
    change = np.abs(parameters_of(matrix) - parameters_of(before))
    return float(change[:3].sum() + radius * change[3:].sum())


def rms(before: Array, matrix: Array, radius: float = FSL_RADIUS) -> float:
    """Return the root mean square displacement in mm, between two poses, of a ball of `radius` about the volume's centre.

    ``sqrt(R²/5 tr(A'A) + t't)``: Jenkinson, FMRIB technical report TR99MJ1.
    """
    change = matrix @ inverse(before) - np.eye(4)
    a, t = change[:3, :3], change[:3, 3]
    return float(np.sqrt(radius**2 / 5 * np.trace(a.T @ a) + t @ t))
