"""Imaginary scanners that write one file a slice: what the tests of classic series read."""

from __future__ import annotations

from io import BytesIO
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom import dcmwrite
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import PYDICOM_ROOT_UID, UID, ExplicitVRLittleEndian, MRImageStorage

from rtbids.convert import dicom

SHAPE = (5, 4, 6)  # columns, rows, slices
SPACING = 3.5
_COMMON: dict[str, Any] = {
    "ImageType": ["ORIGINAL", "PRIMARY", "M"],
    "Modality": "MR",
    "ScanningSequence": ["EP", "GR"],
    "MRAcquisitionType": "2D",
    "RepetitionTime": "2000",
    "EchoTime": "30",
    "SliceThickness": "3",
    "PixelSpacing": ["2", "2.5"],
    "ImageOrientationPatient": ["1", "0", "0", "0", "1", "0"],
    "SamplesPerPixel": 1,
    "PhotometricInterpretation": "MONOCHROME2",
    "Columns": SHAPE[0],
    "Rows": SHAPE[1],
    "BitsAllocated": 16,
    "BitsStored": 16,
    "HighBit": 15,
    "PixelRepresentation": 1,
}


def pixels(volume: int, place: int) -> NDArray[np.int16]:
    """Return the pixels (row from the top, column) of slice `place` of a volume, both from 0."""
    return (np.arange(20).reshape(4, 5) + 100 * place + 1000 * volume).astype("<i2")


def expected(volume: int) -> NDArray[np.int16]:
    """Return a volume (i, j, k) as its file shall have it: rows upwards, slices from the feet to the head."""
    return np.stack([pixels(volume, place)[::-1].T for place in range(SHAPE[2])], axis=-1)


def slice_file(volume: int, place: int, maker: str, number: int, series: int = 4, **elements: Any) -> bytes:
    """Return slice `place` of a volume as one file; `number` is its instance number."""
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID = MRImageStorage
    uid = UID(f"{PYDICOM_ROOT_UID}9.{series}.{number}")
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID = uid
    own = {
        "Manufacturer": maker,
        "SeriesInstanceUID": f"{PYDICOM_ROOT_UID}9.{series}",
        "SeriesNumber": series,
        "InstanceNumber": number,
        "ImagePositionPatient": ["-4", "-3", str(place * SPACING - 7)],
        "PixelData": pixels(volume, place).tobytes(),
    }
    for keyword, value in {**_COMMON, **own, **elements}.items():
        setattr(dataset, keyword, value)
    file = BytesIO()
    dcmwrite(file, dataset, enforce_file_format=True)
    return file.getvalue()


def read(content: bytes, name: str = "slice.dcm", received: float = 0.0) -> dicom.Instance:
    return dicom.read(content, name, received)


def ge(volume: int, place: int, **elements: Any) -> dicom.Instance:
    """GE: numbered slice by slice; the number of slices in the header."""
    number = volume * SHAPE[2] + place + 1
    content = slice_file(volume, place, "GE MEDICAL SYSTEMS", number, ImagesInAcquisition=SHAPE[2], **elements)
    return read(content, f"ge-{number}")


def canon(volume: int, place: int) -> dicom.Instance:
    """Canon: numbered slice by slice, and no word of how many slices there are."""
    number = volume * SHAPE[2] + place + 1
    return read(slice_file(volume, place, "CANON_MEC", number), f"canon-{number}")


def xa_export(volume: int, place: int) -> dicom.Instance:
    """Siemens XA, classic export: every volume a series of its own, and here without the vendor's counts."""
    elements = {"SoftwareVersions": "syngo MR XA30", "StudyInstanceUID": f"{PYDICOM_ROOT_UID}9"}
    content = slice_file(volume, place, "Siemens Healthineers", place + 1, 7000 + volume + 1, **elements)
    return read(content, f"xa-{volume}-{place}")
