"""Volumes as one of the forms of DICOM that scanners export."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Literal, TypeAlias, get_args

import numpy as np
from numpy.typing import NDArray

from rtbids.replay.enhanced import EnhancedSeries
from rtbids.replay.mosaic import MosaicSeries
from rtbids.replay.series import Series
from rtbids.replay.slices import SliceSeries
from rtbids.volume import Metadata, Volume

Form: TypeAlias = Literal["mosaic", "enhanced", "slices"]
FORMS: tuple[Form, ...] = get_args(Form)
SERIES: dict[Form, type[Series]] = {"mosaic": MosaicSeries, "enhanced": EnhancedSeries, "slices": SliceSeries}
_DIRECTIONS = {"j-": ("j", 1), "j": ("j", 0), "i": ("i", 1), "i-": ("i", 0)}


def series_of(first: Volume, form: Form = "mosaic", *, number: int = 1, study: int = 1, volumes: int | None = None) -> Series:
    """Return the series that a run of `volumes` becomes whose first is `first`: what its sidecar says goes into the headers.

    Raises
    ------
    BadData
        Where the voxels are no whole numbers of 16 bits, or lie in a sheared grid.
    """
    fields = first.metadata
    series = SERIES[form](
        first.shape,
        first.affine,
        first.repetition_time,
        number=number,
        study=study,
        volumes=volumes,
        protocol=f"func_task-{first.entities.get('task', 'rest')}",
        image_type=("P" if first.entities.get("part") == "phase" else "M", "ND"),
        echo=int(first.entities.get("echo", "1")),
        echoes=max(2, int(first.entities["echo"])) if "echo" in first.entities else None,  # a name with one says there are more
        slope=first.slope,
        inter=first.inter,
        echo_time=_number(fields.get("EchoTime")),
        flip_angle=_number(fields.get("FlipAngle")),
        timing=_timing(fields.get("SliceTiming"), first),
        **_stored_as(first.data),
    )
    return _with_encoding(series, fields)


def _stored_as(data: NDArray[Any]) -> dict[str, Any]:
    """Return the bits that hold these voxels, so that they come back in the same type where DICOM has it."""
    match data.dtype.kind, data.dtype.itemsize:
        case "u", 1:
            return {"bits": 8}
        case "u", 2:
            return {"bits": 16}
        case "i", 2:
            return {"bits": 16, "signed": True}
    return {"bits": 16, "signed": bool(data.min() < 0 or data.max() <= np.iinfo(np.int16).max)}


def _number(value: Any) -> float | None:
    return float(value) if isinstance(value, (int, float)) else None


def _timing(value: Any, first: Volume) -> tuple[float, ...] | None:
    """Return slice times along k, which the sidecar may count backwards; None where they are not those of these slices."""
    if not isinstance(value, list) or len(value) != first.shape[2]:
        return None
    direction = first.metadata.get("SliceEncodingDirection", "k")
    return {"k": tuple(map(float, value)), "k-": tuple(map(float, reversed(value)))}.get(direction)


def _with_encoding(series: Series, fields: Metadata) -> Series:
    """Return the series with the sidecar's phase encoding: its axis, its sign where it is known, its bandwidth."""
    axis, sign = _DIRECTIONS.get(str(fields.get("PhaseEncodingDirection")), (fields.get("PhaseEncodingAxis"), None))
    series = replace(series, phase_axis=axis if axis in ("i", "j") else None, phase_sign=sign, bandwidth=None)
    readout, spacing = _number(fields.get("TotalReadoutTime")), _number(fields.get("EffectiveEchoSpacing"))
    if spacing is None and readout is not None and series.steps > 1:
        spacing = readout / (series.steps - 1)
    if axis is None or not spacing:
        return series
    return replace(series, bandwidth=1.0 / (spacing * series.steps))
