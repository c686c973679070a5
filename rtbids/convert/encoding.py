"""What a sidecar says about phase encoding, and the part of it that is the same for every vendor."""

from __future__ import annotations

from dataclasses import dataclass

from pydicom.dataset import Dataset

_DIRECTIONS = {("j", 1): "j-", ("j", 0): "j", ("i", 1): "i", ("i", 0): "i-"}


@dataclass(frozen=True)
class Encoding:
    """Phase encoding: `sign` 0 or 1 as the vendor has it, times in seconds; None is not in the DICOM."""

    sign: int | None = None
    echo_spacing: float | None = None
    readout: float | None = None
    estimated_spacing: float | None = None
    estimated_readout: float | None = None


def axis(header: Dataset) -> str | None:
    """Return the NIfTI axis of phase encoding, ``i`` or ``j``."""
    return {"ROW": "i", "COL": "j"}.get(str(header.get("InPlanePhaseEncodingDirection") or ""))


def direction(along: str | None, sign: int | None) -> str | None:
    """Return PhaseEncodingDirection; rows are turned upwards, hence ``j-`` for a positive column."""
    return None if along is None or sign is None else _DIRECTIONS.get((along, sign))


def steps(along: str | None, shape: tuple[int, int, int]) -> int:
    """Return the number of voxels along the phase encoding axis."""
    return shape[0] if along == "i" else shape[1]
