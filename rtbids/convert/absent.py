"""Why a field that BIDS recommends is not in a sidecar: what the maker does not write, or what a copy has lost.

One table, looked up by maker and field; it is read for ``convert -v`` alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from pydicom.dataset import Dataset

from rtbids.convert import encoding, enhanced, ge
from rtbids.convert.vendor import vendor

WISHED = (
    "RepetitionTime",
    "EchoTime",
    "FlipAngle",
    "MagneticFieldStrength",
    "PhaseEncodingDirection",
    "EffectiveEchoSpacing",
    "TotalReadoutTime",
    "SliceTiming",
)
# What a maker does not put into its DICOM at all.
_NEVER = {
    "philips": {
        "PhaseEncodingDirection": "Philips does not write its sign, only the axis",
        "EffectiveEchoSpacing": "Philips does not write it; EstimatedEffectiveEchoSpacing is an estimate",
        "TotalReadoutTime": "Philips does not write it; EstimatedTotalReadoutTime is an estimate",
        "SliceTiming": "Philips does not write slice times",
    },
    "uih": {
        "PhaseEncodingDirection": "UIH does not write its sign, only the axis",
        "EffectiveEchoSpacing": "UIH does not write the echo spacing",
    },
    "canon": {
        "PhaseEncodingDirection": "Canon does not write its sign, only the axis",
        "EffectiveEchoSpacing": "Canon does not write the echo spacing",
        "TotalReadoutTime": "Canon does not write the echo spacing",
        "SliceTiming": "Canon does not write slice times",
    },
}
_NEVER["toshiba"] = {field: reason.replace("Canon", "Toshiba") for field, reason in _NEVER["canon"].items()}
# The private elements that a field is read from: a copy that lacks the field has lost them.
_PRIVATE = {
    "ge": {
        "PhaseEncodingDirection": "neither RectilinearPhaseEncodeReordering nor (0043,xx2A) of GEMS_PARM_01 tells the sign",
        "EffectiveEchoSpacing": "no (0043,xx2C) of GEMS_PARM_01, or no AcquisitionMatrix",
        "TotalReadoutTime": "no (0043,xx2C) of GEMS_PARM_01, or no AcquisitionMatrix",
        "SliceTiming": "no protocol block, (0025,xx1B) of GEMS_SERS_01",
    },
    "mosaic": {
        "PhaseEncodingDirection": "no CSA image header, (0029,xx10) of SIEMENS CSA HEADER, which has its sign",
        "EffectiveEchoSpacing": "no bandwidth per pixel, in the CSA image header or (0019,xx28) of SIEMENS MR HEADER",
        "TotalReadoutTime": "no bandwidth per pixel, in the CSA image header or (0019,xx28) of SIEMENS MR HEADER",
        "SliceTiming": "no MosaicRefAcqTimes, in the CSA image header or (0019,xx29) of SIEMENS MR HEADER",
    },
    "xa": {
        "PhaseEncodingDirection": "no (0021,xx1C) of SIEMENS MR SDI 02, which has its sign",
        "EffectiveEchoSpacing": "no (0021,xx53) of SIEMENS MR SDI 02, the bandwidth per pixel",
        "TotalReadoutTime": "no (0021,xx53) of SIEMENS MR SDI 02, the bandwidth per pixel",
        "SliceTiming": "no (0021,xx04) of SIEMENS MR SDI 02 and no times of frames",
    },
    "uih": {
        "TotalReadoutTime": "no (0065,xx51) of Image Private Header",
        "SliceTiming": "no (0065,xx51) of Image Private Header",
    },
}
_STANDARD = {
    "RepetitionTime": "no RepetitionTime (0018,0080)",
    "EchoTime": "no EchoTime (0018,0081)",
    "FlipAngle": "no FlipAngle (0018,1314)",
    "MagneticFieldStrength": "no MagneticFieldStrength (0018,0087)",
}


def reasons(fields: Mapping[str, Any], header: Dataset, *, has_timing: bool) -> Iterator[str]:
    """Yield one line for each recommended field that a run's sidecar has not: the field, and the reason."""
    for field in WISHED:
        if field not in fields and not (field == "SliceTiming" and has_timing):
            yield f"{field} left out: {_reason(field, header)}"


def _reason(field: str, header: Dataset) -> str:
    if field in _STANDARD:
        return _STANDARD[field]
    if field != "SliceTiming" and encoding.axis(header) is None:
        return "no InPlanePhaseEncodingDirection (0018,1312)"
    maker = vendor(header)
    never = _NEVER.get(maker, {}).get(field)
    if never:
        return never
    if maker == "ge" and field == "SliceTiming" and ge.protocol(header):
        return "the protocol block does not tell slice times (diffusion, or variable delays)"
    lost = _PRIVATE.get(_form(header, maker), {}).get(field)
    return f"{lost}{_anonymised(header)}" if lost else "rtbids knows no element of this maker that has it"


def _form(header: Dataset, maker: str) -> str:
    """Return which private elements a header should have."""
    if maker != "siemens":
        return maker
    return "xa" if enhanced.is_enhanced(header) or "XA" in str(header.get("SoftwareVersions") or "") else "mosaic"


def _anonymised(header: Dataset) -> str:
    """Ask so where not one private element that rtbids uses is left."""
    kept = any(tag.is_private for tag in header.keys())  # noqa: SIM118 (iteration converts)
    return "" if kept else " (removed by an anonymiser?)"
