"""The sidecar of a run: BIDS fields from DICOM elements. What the DICOM does not say is left out, never guessed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pydicom.dataset import Dataset

from rtbids import __version__
from rtbids.convert import encoding, ge, philips, private, siemens
from rtbids.convert.encoding import Encoding
from rtbids.convert.vendor import vendor
from rtbids.volume import NOTHING

_TEXTS = {
    "ManufacturersModelName": "ManufacturerModelName",
    "SoftwareVersions": "SoftwareVersions",
    "BodyPart": "BodyPartExamined",
    "ReceiveCoilName": "ReceiveCoilName",
    "MRAcquisitionType": "MRAcquisitionType",
    "ScanningSequence": "ScanningSequence",
    "SequenceVariant": "SequenceVariant",
    "ScanOptions": "ScanOptions",
    "ParallelAcquisitionTechnique": "ParallelAcquisitionTechnique",
    "PartialFourierDirection": "PartialFourierDirection",
}
_NUMBERS = {
    "MagneticFieldStrength": ("MagneticFieldStrength", 1.0),
    "EchoTime": ("EchoTime", 1e-3),
    "FlipAngle": ("FlipAngle", 1.0),
    "SliceThickness": ("SliceThickness", 1.0),
    "SpacingBetweenSlices": ("SpacingBetweenSlices", 1.0),
    "ParallelReductionFactorOutOfPlane": ("ParallelReductionFactorOutOfPlane", 1.0),
}
_STATES = {"MTState": "MagnetizationTransfer", "SpoilingState": "Spoiling"}
_MAKERS = {"siemens": "Siemens", "ge": "GE", "philips": "Philips", "uih": "UIH", "canon": "Canon", "toshiba": "Toshiba"}


def repetition_time(header: Dataset) -> float | None:
    """Return seconds from volume to volume: the header's value is the value."""
    if vendor(header) == "ge":
        return ge.repetition_time(header)
    milliseconds = header.get("RepetitionTime")
    return round(float(milliseconds) / 1000.0, 7) if milliseconds else None


def scale(header: Dataset) -> tuple[float, float]:
    """Return slope and inter that turn stored values into the scanner's."""
    if vendor(header) == "philips":
        return philips.scale(header)
    return float(header.get("RescaleSlope") or 1.0), float(header.get("RescaleIntercept") or 0.0)


def sidecar(
    header: Dataset,
    shape: tuple[int, int, int],
    seconds: float | None,
    task: str,
    said: Mapping[str, Any] = NOTHING,
) -> dict[str, Any]:
    """Return a run's sidecar without the slice times; `seconds` is the repetition time.

    `said` are fields of the scanner's protocol, for what the header itself does not tell.
    No dates, names, institutions, serial numbers or UIDs go in. Where dcm2niix writes a field it has the same value.
    """
    kind = _sequence_type(header)
    header = philips.with_frame(header)
    fields: dict[str, Any] = {"TaskName": task}
    fields["SeriesNumber"] = int(header.SeriesNumber) if header.get("SeriesNumber") else None
    fields["Manufacturer"] = _MAKERS.get(vendor(header)) or _joined(header.get("Manufacturer"))
    fields |= {field: _joined(header.get(keyword)) for field, keyword in _TEXTS.items()}
    kinds = _texts(header.get("ImageType"))
    fields["ImageType"] = [kinds] if isinstance(kinds, str) else kinds
    fields["SequenceName"] = _joined(header.get("SequenceName") or header.get("PulseSequenceName"))
    fields["PulseSequenceType"] = kind
    fields["RepetitionTime"] = seconds
    for field, (keyword, unit) in _NUMBERS.items():
        fields[field] = _number(header, keyword, unit)
    fields |= {field: _state(header.get(keyword)) for field, keyword in _STATES.items()}
    fields |= _acceleration(header, fields["ParallelReductionFactorOutOfPlane"])
    if vendor(header) == "siemens":
        fields |= siemens.coils(header)
    fields |= _phase_encoding(header, shape)
    fields |= {"ConversionSoftware": "rtbids", "ConversionSoftwareVersion": __version__}
    fields |= {field: value for field, value in said.items() if fields.get(field) is None}
    return {field: value for field, value in fields.items() if value is not None}


def with_timing(fields: dict[str, Any], timing: Sequence[float] | None) -> dict[str, Any]:
    """Return the fields with slice times and what follows from them: how many slices are excited at once."""
    if timing is None:
        return fields
    rounded = [round(time, 6) for time in timing]
    shots = len(set(rounded))
    told = {field: value for field, value in fields.items() if field != "MultibandAccelerationFactor"}
    together = {"MultibandAccelerationFactor": len(rounded) // shots} if shots * 2 <= len(rounded) else {}
    kind = str(told.get("PulseSequenceType") or "")
    if together and kind and not kind.startswith("Multiband"):
        told["PulseSequenceType"] = f"Multiband {kind}"
    return {**told, "SliceTiming": rounded, **together}


def _phase_encoding(header: Dataset, shape: tuple[int, int, int]) -> dict[str, Any]:
    axis = encoding.axis(header)
    said = _encoding(header, encoding.steps(axis, shape))
    direction = encoding.direction(axis, said.sign)
    return {
        "PhaseEncodingDirection": direction,
        "PhaseEncodingAxis": axis if direction is None else None,
        "EffectiveEchoSpacing": _rounded(said.echo_spacing),
        "TotalReadoutTime": _rounded(said.readout),
        "EstimatedEffectiveEchoSpacing": _rounded(said.estimated_spacing),
        "EstimatedTotalReadoutTime": _rounded(said.estimated_readout),
    }


def _encoding(header: Dataset, steps: int) -> Encoding:
    maker = vendor(header)
    if maker == "siemens":
        return siemens.encoding(header, steps)
    if maker == "ge":
        return ge.encoding(header, steps)
    if maker == "philips":
        return philips.encoding(header, steps)
    first = private.item(header, 0x0065, private.UIH, 0x51)
    if first is not None and first.get("AcquisitionDuration"):
        return Encoding(readout=float(first.AcquisitionDuration) / 1000.0)
    return Encoding()


def _acceleration(header: Dataset, across: float | None) -> dict[str, float | None]:
    """Return the acceleration in plane and `across`; GE gives the inverses of both, Siemens mosaics a text."""
    inverse = [value for value in private.numbers(header, 0x0043, private.GE_PARAMETERS, 0x83)[:2] if value]
    factors: list[float | None] = [round(1.0 / value, 6) for value in inverse]
    if not factors:
        stated = _number(header, "ParallelReductionFactorInPlane", 1.0)
        factors = [siemens.acceleration(header) if stated is None else stated]
    return dict(zip(("ParallelReductionFactorInPlane", "ParallelReductionFactorOutOfPlane"), [*factors, across], strict=False))


def _sequence_type(header: Dataset) -> str | None:
    kinds = _texts(header.get("ScanningSequence")) or []
    kinds = [kinds] if isinstance(kinds, str) else kinds
    spin = "SE" in kinds or str(header.get("EchoPulseSequence") or "").startswith("SPIN")
    echo = "Spin Echo" if spin else "Gradient Echo"
    if "EP" in kinds or str(header.get("EchoPlanarPulseSequence") or "") == "YES":
        return f"{echo} EPI"
    return echo if spin or "GR" in kinds or str(header.get("EchoPulseSequence") or "") == "GRADIENT" else None


def _state(value: Any) -> bool | None:
    """Return whether something is on: DICOM names what it is, or says NONE."""
    return None if not value else str(value) not in ("NONE", "NO")


def _joined(value: Any) -> str | None:
    """Return one text of a value's parts, as DICOM writes it."""
    parts = _texts(value)
    return "\\".join(parts) or None if isinstance(parts, list) else parts


def _texts(value: Any) -> str | list[str] | None:
    if value is None or value == "":
        return None
    return value if isinstance(value, str) else [str(single) for single in value]


def _number(header: Dataset, keyword: str, unit: float) -> float | None:
    values = private.as_numbers(header.get(keyword))
    return round(values[0] * unit, 9) if values else None


def _rounded(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds, 10)
