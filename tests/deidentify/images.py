"""Small MR images of a made-up person, written by pydicom, and what the engine makes of them."""

from __future__ import annotations

from io import BytesIO
from typing import Any

from pydicom import dcmread
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, MRImageStorage

from rtbids.deidentify.clean import Clean
from rtbids.deidentify.engine import Deidentifier
from rtbids.deidentify.mapping import Key, Mapping
from rtbids.deidentify.profile import Change, Options, Profile

KEY = Key(bytes(range(32)))
INSTANCE, SERIES, STUDY = (
    "1.3.12.2.1107.5.2.32.35131.2014.1",
    "1.3.12.2.1107.5.2.32.35131.2014.2",
    "1.3.12.2.1107.5.2.32.35131.2014.3",
)
PIXELS = bytes(range(256)) * 2


def header(**elements: Any) -> Dataset:
    """Return an MR image of 16×16 pixels, with these elements beside or in place of its own; None takes one away."""
    dataset = Dataset()
    own = {
        "SOPClassUID": MRImageStorage,
        "SOPInstanceUID": INSTANCE,
        "SeriesInstanceUID": SERIES,
        "StudyInstanceUID": STUDY,
        "Modality": "MR",
        "ImageType": ["ORIGINAL", "PRIMARY", "M", "ND", "MOSAIC"],
        "StudyDate": "20190203",
        "PatientName": "Doe^Jane",
        "PatientID": "4711-X",
        "PatientBirthDate": "19330405",
        "Rows": 16,
        "Columns": 16,
        "BitsAllocated": 16,
        "BitsStored": 16,
        "HighBit": 15,
        "PixelRepresentation": 0,
        "SamplesPerPixel": 1,
        "PhotometricInterpretation": "MONOCHROME2",
    }
    for keyword, value in (own | elements).items():
        if value is not None:
            setattr(dataset, keyword, value)
    if "PixelData" not in elements:
        dataset.add_new(0x7FE00010, "OW", PIXELS)
    return dataset


def content(dataset: Dataset, syntax: str = ExplicitVRLittleEndian) -> bytes:
    """Return the file of a dataset."""
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = syntax
    written = BytesIO()
    dataset.save_as(written, enforce_file_format=True)
    return written.getvalue()


def clean(given: Dataset | bytes, *changes: Change, **options: Any) -> Clean:
    """De-identify with the options."""
    whole = given if isinstance(given, bytes) else content(given)
    return Deidentifier(Profile(Options(**options), changes), Mapping(KEY)).clean(whole)


def after(given: Dataset | bytes, *changes: Change, **options: Any) -> Dataset:
    """Return what is left, read by pydicom."""
    return dcmread(BytesIO(clean(given, *changes, **options).content))
