"""Scanners that write one file a slice: what the tests of classic series read. All but GE's are GE's under another name."""

from __future__ import annotations

from io import BytesIO
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom import dcmread
from pydicom.uid import PYDICOM_ROOT_UID

from rtbids.convert import dicom
from rtbids.replay.series import set_elements, written
from rtbids.replay.slices import SliceSeries

SHAPE = (5, 4, 6)  # columns, rows, slices
SPACING = 3.5
AFFINE = np.array([[-2.5, 0, 0, 4], [0, -2, 0, 3], [0, 0, SPACING, -7], [0, 0, 0, 1]]) @ np.array(
    [[1, 0, 0, 0], [0, -1, 0, SHAPE[1] - 1], [0, 0, 1, 0], [0, 0, 0, 1]]
)


def pixels(volume: int, place: int) -> NDArray[np.int16]:
    """Return the pixels (row from the top, column) of slice `place` of a volume, both from 0."""
    return (np.arange(20).reshape(4, 5) + 100 * place + 1000 * volume).astype("<i2")


def expected(volume: int) -> NDArray[np.int16]:
    """Return a volume (i, j, k) as its file shall have it: rows upwards, slices from the feet to the head."""
    return np.stack([pixels(volume, place)[::-1].T for place in range(SHAPE[2])], axis=-1)


def slice_file(volume: int, place: int, maker: str, number: int, series: int = 4, **elements: Any) -> bytes:
    """Return slice `place` of a volume as one file without the maker's own elements; `number` is its instance number."""
    scan = SliceSeries(SHAPE, AFFINE, 2.0, series, study=9, protocol="", bits=16, signed=True, timing=None)
    dataset = dcmread(BytesIO(scan.dicoms(expected(volume), volume)[place]))
    dataset.remove_private_tags()
    for keyword in ("ImagesInAcquisition", "TemporalPositionIdentifier", "InStackPositionNumber", "AcquisitionNumber"):
        delattr(dataset, keyword)
    set_elements(dataset, {"Manufacturer": maker, "InstanceNumber": number, "ImageType": ["ORIGINAL", "PRIMARY", "M"]})
    for keyword, value in elements.items():
        setattr(dataset, keyword, value)
    return written(dataset, f"{scan.uid}.{number}")


def read(content: bytes, name: str = "slice.dcm", received: float = 0.0) -> dicom.Instance:
    return dicom.read(content, name, received)


def ge(volume: int, place: int, **elements: Any) -> dicom.Instance:
    """GE: numbered slice by slice; the number of slices in the header."""
    number = volume * SHAPE[2] + place + 1
    elements = {"ImagesInAcquisition": SHAPE[2], **elements}
    content = slice_file(volume, place, "GE MEDICAL SYSTEMS", number, **elements)
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
