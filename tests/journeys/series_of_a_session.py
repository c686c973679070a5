"""Series of an imaginary scanner, one file a slice: what a session brings besides BOLD."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from pydicom import dcmwrite
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import PYDICOM_ROOT_UID, UID, ExplicitVRLittleEndian, MRImageStorage

SLICES = 6
GREY = np.random.default_rng(3).integers(0, 900, (SLICES, 16, 12)).astype("<i2")
_COMMON: dict[str, Any] = {
    "Manufacturer": "GE MEDICAL SYSTEMS",
    "Modality": "MR",
    "ImageType": ["ORIGINAL", "PRIMARY", "M", "NORM"],
    "PatientName": "Nemo^Nobody",
    "PatientID": "secret-4711",
    "PatientBirthDate": "19700101",
    "PatientSex": "F",
    "PatientAge": "050Y",
    "PatientWeight": "77",
    "PatientSize": "1.77",
    "StudyDescription": "secret study",
    "PerformedProcedureStepDescription": "secret step",
    "SeriesDate": "20200102",
    "SeriesTime": "101112",
    "ReferringPhysicianName": "Nemo^Doctor",
    "InstitutionName": "Nemo's clinic",
    "StationName": "secret-station",
    "DeviceSerialNumber": "4711",
    "ImageComments": "Nemo was here",
    "StudyInstanceUID": f"{PYDICOM_ROOT_UID}8",
    "FrameOfReferenceUID": f"{PYDICOM_ROOT_UID}8.1",
    "StudyDate": "20200102",
    "StudyTime": "101112",
    "AcquisitionTime": "101112",
    "ScanningSequence": ["GR"],
    "SequenceVariant": "SP",
    "MRAcquisitionType": "3D",
    "RepetitionTime": "2000",
    "EchoTime": "3.2",
    "FlipAngle": "9",
    "SliceThickness": "3",
    "SpacingBetweenSlices": "3",
    "PixelSpacing": ["2", "2"],
    "ImageOrientationPatient": ["1", "0", "0", "0", "1", "0"],
    "AcquisitionNumber": 1,
    "SamplesPerPixel": 1,
    "PhotometricInterpretation": "MONOCHROME2",
    "Columns": 12,
    "Rows": 16,
    "BitsAllocated": 16,
    "BitsStored": 16,
    "HighBit": 15,
    "PixelRepresentation": 1,
}
BOLD: dict[str, Any] = {
    "ScanningSequence": ["EP", "GR"],
    "MRAcquisitionType": "2D",
    "EchoTime": "30",
    "ImagesInAcquisition": SLICES,
    "ImageType": ["ORIGINAL", "PRIMARY", "M"],
}


def write(folder: Path, series: int, description: str, volumes: int = 1, first: int = 0, **elements: Any) -> list[Path]:
    """Write `volumes` volumes of a series into `folder`; instance numbers go on from `first`."""
    folder.mkdir(exist_ok=True)
    return [
        _write(folder, series, first + volume * SLICES + place + 1, place, description, elements)
        for volume in range(volumes)
        for place in range(SLICES)
    ]


def _write(folder: Path, series: int, number: int, place: int, description: str, elements: dict[str, Any]) -> Path:
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    sop_class = elements.get("SOPClassUID", MRImageStorage)
    dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID = sop_class
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID = UID(f"{PYDICOM_ROOT_UID}8.{series}.{number}")
    own = {
        "SeriesInstanceUID": f"{PYDICOM_ROOT_UID}8.{series}",
        "SeriesNumber": series,
        "SeriesDescription": description,
        "ProtocolName": description,
        "InstanceNumber": number,
        "ImagePositionPatient": ["-12", "-16", str(3 * place)],
        "PixelData": GREY[place].tobytes(),
    }
    for keyword, value in {**_COMMON, **own, **elements}.items():
        setattr(dataset, keyword, value)
    path = folder / f"{series:03d}_{number:05d}.dcm"
    dcmwrite(path, dataset, enforce_file_format=True)
    return path


def bold(folder: Path, series: int = 8, description: str = "task-rest_bold", volumes: int = 3) -> None:
    write(folder, series, description, volumes, **BOLD)


def field_map(folder: Path, series: int) -> None:
    """Two echoes of magnitude, and the phase difference as a series of its own, as Siemens has it."""
    write(folder, series, "gre_field_mapping", EchoTime="4.92", EchoNumbers=1)
    write(folder, series, "gre_field_mapping", first=100, EchoTime="7.38", EchoNumbers=2)
    phase = {"EchoTime": "7.38", "EchoNumbers": 2, "ImageType": ["ORIGINAL", "PRIMARY", "P", "ND", "PHASE"]}
    write(folder, series + 1, "gre_field_mapping", Manufacturer="SIEMENS", **phase)
