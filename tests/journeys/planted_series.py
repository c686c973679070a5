"""Runs of small images with a name and more in each, and the search for those in what has arrived."""

from __future__ import annotations

from io import BytesIO

from pydicom import dcmread
from pydicom.dataset import Dataset

from rtbids.replay.scanner import Phantom, dicoms

PHANTOM = Phantom(shape=(16, 16, 9), voxel=(12.0, 12.0, 14.0), volumes=12)
PLANTED = {
    "PatientName": "Quagliarella^Zsofia",
    "PatientID": "HOSP-4711-0815",
    "PatientBirthDate": "19710203",
    "InstitutionName": "St Hildegard Infirmary",
    "OperatorsName": "Wobblethorpe^Ebenezer",
    "AccessionNumber": "ACC99881",
    "DeviceSerialNumber": "SN445566",
    "ImageComments": "Quagliarella moved a lot",
}
TOKENS = [b"Quagliarella", b"Zsofia", b"HOSP-4711", b"19710203", b"Hildegard", b"Wobblethorpe", b"ACC99881", b"SN445566"]


def planted(content: bytes) -> bytes:
    image = dcmread(BytesIO(content), force=True)
    for keyword, value in PLANTED.items():
        setattr(image, keyword, value)
    item = Dataset()
    item.PatientName = PLANTED["PatientName"]
    item.RequestingPhysician = "Wobblethorpe^Ebenezer"
    image.RequestAttributesSequence = [item]
    written = BytesIO()
    image.save_as(written)
    return written.getvalue()


def series(number: int, phantom: Phantom = PHANTOM) -> list[bytes]:
    """A run of small images, with a name and more in each."""
    made = [planted(content) for content in dicoms(phantom, number=number)]
    assert all(token in made[0] for token in TOKENS)
    return made


def assert_clean(files: list[bytes], count: int) -> None:
    """Each image there once, and none of what was planted."""
    assert len(files) == count
    assert len({str(dcmread(BytesIO(content)).SOPInstanceUID) for content in files}) == count
    assert [token for token in TOKENS for content in files if token in content] == []
