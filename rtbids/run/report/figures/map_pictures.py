"""Pictures of a t-map: axial slices of the mean volume with what exceeds a threshold in colours."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import nibabel
import numpy as np
from numpy.typing import NDArray

from rtbids.errors import BadData
from rtbids.run.report.figures.pictures import Mean, Slice, planes, slices

THRESHOLD = 3.1  # about p < 0.001 of one voxel with many degrees of freedom, uncorrected
FEW = 6  # slices with nothing in colours, where that is all there is


@dataclass(frozen=True)
class Painted:
    """A slice, and its colours over it (rows, columns, 4), transparent where there is none."""

    under: Slice
    colours: NDArray[np.uint8]


@dataclass(frozen=True)
class MapFound:
    """What a report says of a map.

    Attributes
    ----------
    above, below
        Voxels with t over `THRESHOLD`, and under its negative.
    peak, place
        The greatest t and where it is, in mm of the scanner.
    """

    contrast: str
    painted: tuple[Painted, ...]
    above: int
    below: int
    peak: float
    place: tuple[float, float, float]
    greatest: float
    degrees_of_freedom: int | None
    volumes: int | None


def read(file: Path, contrast: str, mean: Mean) -> MapFound:
    """Read a map on the grid of `mean`; raise BadData where it is on another, or says nothing."""
    image: Any = nibabel.load(file)
    values = np.asarray(image.dataobj, np.float64)
    if values.shape != mean.data.shape:
        raise BadData(f"{file.name}: expected the run's grid {mean.data.shape}, found {values.shape}")
    if not np.isfinite(values).any():
        raise BadData(f"{file.name}: no voxel has a t")
    place = np.unravel_index(int(np.nanargmax(values)), values.shape)
    x, y, z = (float(number) for number in (mean.affine @ [*place, 1])[:3])
    said = _sidecar(file)
    return MapFound(
        contrast,
        tuple(_painted(values, mean)),
        int(np.count_nonzero(values > THRESHOLD)),
        int(np.count_nonzero(values < -THRESHOLD)),
        float(values[place]),
        (x, y, z),
        float(np.nanmax(np.abs(values))),
        said.get("DegreesOfFreedom"),
        said.get("Volumes"),
    )


def _sidecar(file: Path) -> dict[str, Any]:
    try:
        found = json.loads(file.with_name(file.name.replace(".nii.gz", ".json")).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return cast("dict[str, Any]", found) if isinstance(found, dict) else {}


def _painted(values: NDArray[np.float64], mean: Mean) -> list[Painted]:
    known = np.nan_to_num(values)
    peak = {"peak": values == np.nanmax(values)}  # its slice is among those that are shown
    under, over = slices(mean, peak), planes(known, mean.affine, peak)
    greatest = max(float(np.nanmax(np.abs(values))), THRESHOLD + 1.0)
    painted = [Painted(a, colours(b, greatest)) for a, b in zip(under, over, strict=True)]
    seen = [piece for piece in painted if piece.colours[..., 3].any()]
    step = max(1, len(painted) // FEW)
    return seen or painted[step // 2 :: step]


def colours(t: NDArray[np.float64], greatest: float) -> NDArray[np.uint8]:
    """Return red to yellow for t from the threshold to `greatest`, blue to cyan below its negative; else nothing."""
    rgba = np.zeros((*t.shape, 4), np.uint8)
    for sign, (steady, rising) in ((1, (0, 1)), (-1, (2, 1))):
        beyond = sign * t > THRESHOLD
        share = np.clip((sign * t[beyond] - THRESHOLD) / max(greatest - THRESHOLD, 1e-9), 0, 1)
        rgba[beyond, steady] = 230 + 25 * share
        rgba[beyond, rising] = 40 + 200 * share
        rgba[beyond, 3] = 255
    return rgba
