"""Which series are functional, and which image of a volume (raw or corrected, magnitude or phase) one is."""

from __future__ import annotations

import re
from typing import NamedTuple

from pydicom.dataset import Dataset

from rtbids.convert import enhanced, mosaic, private

MAGNITUDE = "mag"
MANY = 5  # volumes: more than an anatomical series, a field map or a reference has
_PARTS = {"P": "phase", "PHASE": "phase", "R": "real", "REAL": "real", "I": "imag", "IMAGINARY": "imag"}
_OTHER_SEQUENCE = re.compile(r"ep_b\d|diff|dti|dwi|epse", re.IGNORECASE)
_OTHER_NAME = re.compile(  # but a task may be called so: ``task-localizer`` is BOLD
    r"(?<![a-z])(?<!task-)(dti|dwi|diffusion|sbref|field_?map|fmap|topup|pepolar|localizer|scout)(?![a-z])", re.IGNORECASE
)


class Kind(NamedTuple):
    """What tells the images of one moment apart: echo and its time (ms), part, whether the scanner has corrected it."""

    echo: int
    echo_time: float
    part: str | None
    corrected: bool


def kind(dataset: Dataset) -> Kind:
    """Return what kind of image this is."""
    return Kind(echo(dataset), echo_time(dataset), part(dataset), is_corrected(dataset))


def image_type(dataset: Dataset) -> tuple[str, ...]:
    """Return ImageType and, of a Siemens enhanced image, the classic one that it keeps frame by frame."""
    values = [value.upper() for value in _several(dataset, "ImageType")]
    for frame in (dataset.get("PerFrameFunctionalGroupsSequence") or ())[:1]:
        values += [value.upper() for value in private.texts(enhanced.sdi(frame), 0x0021, private.SDI, 0x75)]
    return tuple(values)


def is_corrected(dataset: Dataset) -> bool:
    """Say whether the scanner has corrected this image for motion; some send it beside the raw one, two in a TR."""
    return "MOCO" in image_type(dataset)


def part(dataset: Dataset) -> str | None:
    """Return the BIDS part: ``phase``, ``real`` or ``imag``; None for magnitude, which goes without saying."""
    components = [str(group.get("ComplexImageComponent") or "") for group in (*_frame_types(dataset), dataset)]
    return next((_PARTS[value] for value in (*components, *image_type(dataset)[2:]) if value in _PARTS), None)


def _frame_types(dataset: Dataset) -> list[Dataset]:
    frames = dataset.get("PerFrameFunctionalGroupsSequence") or ()
    return [enhanced.group(frame, dataset, "MRImageFrameTypeSequence") for frame in frames[:1]]


def echo(dataset: Dataset) -> int:
    """Return the number of the echo, from 1; Siemens XA has it in the ICE dimensions."""
    values = private.as_numbers(dataset.get("EchoNumbers"))
    if values:
        return max(1, int(values[0]))
    for frame in (dataset.get("PerFrameFunctionalGroupsSequence") or ())[:1]:
        fields = str(private.find(enhanced.sdi(frame), 0x0021, private.SDI, 0x8E) or "").split("_")
        return max(1, int(fields[1])) if len(fields) > 1 and fields[1].isdigit() else 1
    return 1


def echo_time(dataset: Dataset) -> float:
    """Return the echo time in ms to 1 us, 0 where the header has none."""
    for frame in (dataset.get("PerFrameFunctionalGroupsSequence") or ())[:1]:
        dataset = enhanced.group(frame, dataset, "MREchoSequence")
    values = private.as_numbers(dataset.get("EffectiveEchoTime") or dataset.get("EchoTime"))
    return round(values[0], 3) if values else 0.0


def is_functional(dataset: Dataset) -> bool:
    """Say whether this image is of a gradient-echo echo-planar series: what BOLD is measured with.

    Diffusion, field maps, single-band references and what is derived from other images are not, as far as the header says.
    """
    kinds = image_type(dataset)
    names = [str(dataset.get(keyword) or "") for keyword in ("SeriesDescription", "ProtocolName", "ImageComments")]
    sequences = [str(dataset.get(keyword) or "") for keyword in ("SequenceName", "PulseSequenceName")]
    return (
        _is_echo_planar(dataset)
        and not _is_spin_echo(dataset)
        and not ("DERIVED" in kinds and "MOCO" not in kinds)
        and "DIFFUSION" not in kinds
        and not any(value > 0 for value in private.as_numbers(dataset.get("DiffusionBValue")))
        and not any(_OTHER_SEQUENCE.search(name) for name in sequences)
        and not any(_OTHER_NAME.search(name) for name in names)
    )


def hint(number: int) -> str:
    """Say what to do about a series of so many volumes that is not functional as its header tells."""
    return f"if it is functional, --series {number} takes it as such"


def _scanning_sequence(dataset: Dataset) -> set[str]:
    return set(_several(dataset, "ScanningSequence"))


def _several(dataset: Dataset, keyword: str) -> list[str]:
    """Return the values of an element; of one that has a single value pydicom gives the text itself."""
    value = dataset.get(keyword) or ""
    return [value] if isinstance(value, str) else [str(single) for single in value]


def _is_spin_echo(dataset: Dataset) -> bool:
    return "SE" in _scanning_sequence(dataset) or str(dataset.get("EchoPulseSequence") or "").startswith("SPIN")


def _is_echo_planar(dataset: Dataset) -> bool:
    if mosaic.is_mosaic(dataset) or "EP" in _scanning_sequence(dataset) or "FMRI" in image_type(dataset):
        return True
    if str(dataset.get("EchoPlanarPulseSequence") or "") == "YES":
        return True
    if "EPI" in str(private.find(dataset, 0x2001, private.PHILIPS_IMAGE, 0x20) or ""):
        return True
    if (private.number(dataset, 0x2001, private.PHILIPS_IMAGE, 0x13) or 0) > 1:
        return True
    timing = (dataset.get("SharedFunctionalGroupsSequence") or [Dataset()])[0].get("MRTimingAndRelatedParametersSequence")
    return bool(timing) and float(timing[0].get("GradientEchoTrainLength") or 0) > 1
