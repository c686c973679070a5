"""The few elements by which an image is sent, read without the rest of it."""

from __future__ import annotations

import hashlib
from io import BytesIO

from pydicom.errors import InvalidDicomError
from pydicom.filereader import read_partial

from rtbids.errors import BadData
from rtbids.send.steps import Cleaned

_LAST = 0x0020000E  # SeriesInstanceUID


def syntax_of(content: bytes) -> str:
    """Return the transfer syntax of a Part-10 file."""
    found = read_partial(BytesIO(content), stop_when=lambda tag, _, __: tag.group > 2)
    return str(found.file_meta.TransferSyntaxUID)


def identified(content: bytes, raw: tuple[int, int]) -> Cleaned:
    """Return what an image is called that goes out as it is; raise BadData where it is none."""
    try:
        found = read_partial(BytesIO(content), stop_when=lambda tag, _, __: tag > _LAST)
        return Cleaned(
            sop_class=str(found["SOPClassUID"].value),
            instance=str(found["SOPInstanceUID"].value),
            series=str(found["SeriesInstanceUID"].value),
            study=str(found["StudyInstanceUID"].value),
            patient=str(found.get("PatientID", "")),
            syntax=str(found.file_meta.TransferSyntaxUID),
            size=len(content),
            sha256=hashlib.sha256(content).hexdigest(),
            raw=raw,
            clean=None,
        )
    except InvalidDicomError:
        raise BadData("not a DICOM file") from None
    except Exception as error:  # of a damaged header anything may come
        raise BadData(f"a damaged DICOM header ({type(error).__name__})") from None
