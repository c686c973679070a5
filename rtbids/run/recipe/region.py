"""A region of an experiment's config: where its mask is, and what its number is of the voxels inside."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from rtbids import config
from rtbids.analysis import masks
from rtbids.analysis.roi import Roi, Summary
from rtbids.bids.events import Events
from rtbids.volume import Volume


@dataclass(frozen=True)
class Region:
    """What an entry of ``rois:`` may say; a path alone is that of the mask.

    Attributes
    ----------
    mask
        NIfTI file, relative to the experiment's folder.
    weights
        NIfTI file with a weight for each voxel of the mask, for the weighted mean.
    summary
        What the region's number is of its voxels: ``mean``, ``median`` or ``weighted mean``. By default the weighted mean where
        there are weights, else the mean.
    resample
        Whether mask and weights may lie on other grids than the volumes: each voxel then has the value of their nearest; where
        a file does not reach it is 0.
    """

    mask: Path
    weights: Path | None = None
    summary: Summary | None = None
    resample: bool = False

    def __post_init__(self) -> None:
        if self.summary == "weighted mean" and self.weights is None:
            raise ValueError("a weighted mean needs weights")

    def absolute(self, folder: Path) -> Region:
        """Return the same with paths relative to `folder` made absolute."""
        weights = (folder / self.weights).resolve() if self.weights else None
        return Region((folder / self.mask).resolve(), weights, self.summary, self.resample)

    def check(self) -> None:
        """Raise what is wrong with the files; whether their grid is the volumes' is known with the first volume only."""
        mask, affine = masks.read(self.mask)
        if self.weights is not None:
            masks.read(self.weights)
            if not self.resample:
                masks.check_weights(self.weights, mask.shape, affine, "mask's")

    def check_grid(self, volume: Volume) -> None:
        """Raise BadData where the files are not on the volume's grid, and are not to be taken to it."""
        if self.resample:
            masks.resampled(self.mask, volume.shape, volume.affine)
        else:
            masks.check_grid(self.mask, volume.shape, volume.affine)
            if self.weights is not None:
                masks.check_weights(self.weights, volume.shape, volume.affine)

    def roi(self, name: str, first: Volume, events: Events) -> Roi:
        """Return the region of the run that `first` begins."""
        self.check_grid(first)
        mask = masks.on_grid(self.mask, first.shape, first.affine, resample=self.resample)
        weights = None
        if self.weights is not None:  # in the order of the region's voxels: first axis fastest
            given = masks.weights(self.weights, first.shape, first.affine, resample=self.resample)
            weights = given.ravel(order="F")[np.flatnonzero(mask.ravel(order="F"))]
        summary = self.summary or ("mean" if weights is None else "weighted mean")
        return Roi(mask, events, first.repetition_time, name=name, summary=summary, weights=weights, affine=first.affine)

    def to_json(self) -> Mapping[str, Any]:
        """Return the entry as JSON has it."""
        weights = None if self.weights is None else str(self.weights)
        return {"mask": str(self.mask), "weights": weights, "summary": self.summary, "resample": self.resample}


def of(entry: Path | Region) -> Region:
    """Return what an entry of ``rois:`` says."""
    return entry if isinstance(entry, Region) else Region(entry)


def from_json(fields: Mapping[str, Any]) -> Region:
    """Return what `Region.to_json` gave."""
    return config.read(Region, fields, "rois")
