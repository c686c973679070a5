"""A series as the objects of a BIDS data set: NIfTI, sidecar and gradients, under names made of new identifiers alone."""

from __future__ import annotations

import gzip
import hashlib
import json
import shutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rtbids.bids import dataset
from rtbids.bids import entities as bids_entities
from rtbids.convert import functional, places, whole_series
from rtbids.errors import BadData
from rtbids.send.destinations import Item
from rtbids.send.stores import Object, pieces

if TYPE_CHECKING:
    from rtbids.convert.mapping import SessionMap
    from rtbids.convert.whole_series import Output

DESCRIPTION = dataset.DESCRIPTION
_PIECE = 1 << 20
_KEPT = """
Manufacturer ManufacturersModelName Modality MagneticFieldStrength ImagingFrequency BodyPart PatientPosition
MRAcquisitionType ScanningSequence SequenceVariant ScanOptions PulseSequenceType PulseSequenceName SequenceName ImageType
NonlinearGradientCorrection SliceThickness SpacingBetweenSlices EchoTime EchoTime1 EchoTime2 EchoNumber RepetitionTime
RepetitionTimeExcitation RepetitionTimeInversion InversionTime FlipAngle PartialFourier BaseResolution PhaseResolution
ParallelReductionFactorInPlane ParallelReductionFactorOutOfPlane ParallelAcquisitionTechnique MultibandAccelerationFactor
EchoTrainLength PercentPhaseFOV PercentSampling PhaseEncodingSteps AcquisitionMatrixPE ReconMatrixPE
BandwidthPerPixelPhaseEncode EffectiveEchoSpacing DerivedVendorReportedEchoSpacing TotalReadoutTime PixelBandwidth DwellTime
PhaseEncodingDirection PhaseEncodingAxis SliceTiming SliceEncodingDirection ImageOrientationPatientDICOM
InPlanePhaseEncodingDirectionDICOM PhilipsRescaleSlope PhilipsRescaleIntercept PhilipsScaleSlope
UsePhilipsFloatNotDisplayScaling PhilipsRWVSlope PhilipsRWVIntercept Units DelayTime MTState SpoilingState SpoilingType
NumberShots WaterFatShift FrameTimesStart SeriesNumber ConversionSoftware ConversionSoftwareVersion DeidentificationMethod
DeidentificationMethodCodeSequence TaskName
"""
_FIELDS = frozenset(_KEPT.split())  # of dcm2niix's sidecar: how an image was measured, and neither who, where nor when


def objects(series: Sequence[Item], room: Path, rules: SessionMap) -> list[Object]:
    """Convert a series in the folder `room`; return nothing where BIDS has no place for all of it.

    Raises
    ------
    BadData
        It is not to be converted: its pixels may show who was measured, or dcm2niix hangs.
    OSError
        There is no room, or a file is gone.
    """
    dicom, made = room / "dicom", room / "made"
    for folder in (dicom, made):
        folder.mkdir()
    for number, item in enumerate(sorted(series, key=lambda item: item.instance)):
        shutil.copyfile(item.path, dicom / f"{number:06d}.dcm")
    if reason := whole_series.screened(dicom):
        raise BadData(reason)
    header = _header(next(dicom.iterdir()))
    outputs = whole_series.convert(dicom, made)
    owner = {"subject": _label(series[0].patient, "unknown"), "session": _short(series[0].study)}
    known = places.Known({**owner, "run": str(_number(header)).zfill(2)})
    images = [(one.fields, bool(one.gradients)) for one in outputs]
    decisions = places.decide_all(images, rules, known, last=True)
    found: list[Object] = []
    for decision, output in zip(decisions, outputs, strict=True):
        if (name := _functional(header, known.owner, output, several=len(outputs) > 1)) is not None:
            found += _files(*name, output.fields, output)
        elif decision.place is not None:
            where = decision.place
            found += _files({**where.entities, **known.owner}, where.datatype, where.suffix, decision.fields, output)
        else:
            return []
    return found if len({one.name for one in found}) == len(found) else []


def description(room: Path) -> Object:
    """Return the object that says what data set the others are of."""
    text = json.dumps({"Name": "Sent by rtbids", "BIDSVersion": dataset.BIDS_VERSION, "DatasetType": "raw"}, indent=1) + "\n"
    return written(DESCRIPTION, room / DESCRIPTION, text.encode())


def _functional(
    header: Any, owner: Mapping[str, str], output: Output, *, several: bool
) -> tuple[dict[str, str], str, str] | None:
    """Return entities, datatype and suffix of a BOLD run; None where the series is none."""
    if not functional.is_functional(header):
        return None
    task = bids_entities.task_label(str(header.get("ProtocolName") or header.get("SeriesDescription") or ""))
    entities = {**owner, "task": task}
    if several:
        entities["echo"] = str(output.fields.get("EchoNumber") or 1)
    if {"P", "PHASE"} & {str(kind).upper() for kind in output.fields.get("ImageType") or ()}:
        entities["part"] = "phase"
    return entities, "func", "bold"


def _files(
    entities: Mapping[str, str], datatype: str, suffix: str, fields: Mapping[str, Any], output: Output
) -> Iterator[Object]:
    """Give the files of an image as BIDS names them."""
    kept = {name: value for name, value in sorted(fields.items()) if name in _FIELDS}
    if suffix == "bold":
        kept["TaskName"] = entities["task"]
    base = output.nifti.with_suffix("")
    yield _file(str(bids_entities.path(entities, suffix, ".nii.gz", datatype)), _packed(output.nifti))
    text = json.dumps(kept, indent=1) + "\n"
    sidecar = bids_entities.path(entities, suffix, ".json", datatype)
    yield written(str(sidecar), base.with_suffix(".sidecar"), text.encode())
    for extension, path in output.gradients.items() if datatype == "dwi" else ():
        yield _file(str(bids_entities.path(entities, suffix, extension, datatype)), path)


def _packed(nifti: Path) -> Path:
    """Compress a file, without its name and the time, so that it is the same file each time."""
    packed = nifti.with_suffix(".nii.gz")
    with packed.open("wb") as out, gzip.GzipFile("", "wb", 6, out, mtime=0) as file:
        for piece in pieces(nifti, _PIECE):
            file.write(piece)
    nifti.unlink()
    return packed


def _file(name: str, path: Path) -> Object:
    digest = hashlib.sha256()
    for piece in pieces(path, _PIECE):
        digest.update(piece)
    return Object(name, path, path.stat().st_size, digest.hexdigest())


def written(name: str, path: Path, content: bytes) -> Object:
    """Return an object that is written into the file `path` first."""
    path.write_bytes(content)
    return _file(name, path)


def _header(path: Path) -> Any:
    from pydicom import dcmread

    try:
        return dcmread(path, stop_before_pixels=True, force=True)
    except Exception:  # foreign bytes, and parsers raise whatever they stumble over
        raise BadData("its DICOM files cannot be read") from None


def _number(header: Any) -> int:
    """Return the number of the series, which tells runs apart though their batches come in any order."""
    try:
        return max(1, int(header.get("SeriesNumber") or 1))
    except (TypeError, ValueError):
        return 1


def _label(identifier: str, otherwise: str) -> str:
    """Return a new identifier as a label of BIDS."""
    return bids_entities.clean_label(identifier) or otherwise


def _short(uid: str) -> str:
    return hashlib.sha256(uid.encode()).hexdigest()[:8]
