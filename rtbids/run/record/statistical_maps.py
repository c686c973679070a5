"""Maps of a contrast as files of a BIDS derivative: ``*_contrast-faces_stat-t_statmap.nii.gz``, each with its sidecar."""

from __future__ import annotations

import gzip
import os
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from rtbids import nifti
from rtbids.bids import sidecar
from rtbids.errors import cannot_write

SUFFIX = "statmap"
_SAID = {"t": "t value", "effect": "effect: weighted sum of betas, in the scanner's units"}


@dataclass(frozen=True, eq=False)
class StatMap:
    """A map of one contrast.

    Attributes
    ----------
    values
        (i, j, k) float32, NaN where there is nothing to say.
    affine
        4×4, voxel → scanner mm.
    fields
        What its sidecar says.
    """

    contrast: str
    statistic: str
    values: NDArray[np.float32]
    affine: NDArray[np.float64]
    fields: Mapping[str, Any]


class Growing(Protocol):
    """What says where a run's derivatives stand."""

    def derivative(self, description: str, suffix: str, extension: str) -> Path: ...


def write(growing: Growing, found: StatMap) -> Path:
    """Write a map and its sidecar, each whole or not at all; return where the map is."""
    name = f"contrast-{found.contrast}_stat-{found.statistic}_{SUFFIX}"
    path = growing.derivative("", name, ".nii.gz")
    fields = {"Description": f"{_SAID.get(found.statistic, found.statistic)} of the contrast {found.contrast}", **found.fields}
    _put(path.with_name(path.name.replace(".nii.gz", ".json")), sidecar.dumps(fields).encode())
    _put(path, gzip.compress(content(found), 6, mtime=0))
    return path


def content(found: StatMap) -> bytes:
    """Return the map as a NIfTI file."""
    i, j, k = found.values.shape
    header = nifti.Header((i, j, k), np.dtype("<f4"), found.affine, 1.0, 0.0, 0.0)
    return nifti.pack(header) + found.values.astype("<f4").tobytes(order="F")


def _put(path: Path, what: bytes) -> None:
    whole = path.with_name(f".{os.getpid()}.{path.name}")
    try:
        whole.write_bytes(what)
        os.replace(whole, path)
    except OSError as error:
        with suppress(OSError):
            whole.unlink()
        raise cannot_write(path, error) from None
