"""The few elements by which an image is sent, read without the rest of it."""

from __future__ import annotations

import hashlib
from io import BytesIO

from pydicom.errors import InvalidDicomError
from pydicom.filereader import read_partial

from rtbids.errors import BadData
from rtbids.send.steps import Cleaned

_LAST = 0x0020000E  # SeriesInstanceUID
_PIXELS = (0x7FE00008, 0x7FE00009, 0x7FE00010)
_UNDEFINED = 0xFFFFFFFF
_END = bytes.fromhex("feffdde000000000")  # of a sequence; compressed pixels are always little endian


def syntax_of(content: bytes) -> str:
    """Return the transfer syntax of a Part-10 file."""
    found = read_partial(BytesIO(content), stop_when=lambda tag, _, __: tag.group > 2)
    return str(found.file_meta.TransferSyntaxUID)


def identified(content: bytes, raw: tuple[int, int]) -> Cleaned:
    """Return what an image is called that goes out as it is; raise BadData where it is none."""
    try:
        found = read_partial(BytesIO(content), stop_when=lambda tag, _, __: tag > _LAST)
        _check_whole(content)
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
    except BadData:
        raise
    except InvalidDicomError:
        raise BadData("not a DICOM file") from None
    except Exception as error:  # of a damaged header anything may come
        raise BadData(f"a damaged DICOM header ({type(error).__name__})") from None


def _check_whole(content: bytes) -> None:
    """Raise where a file ends before its pixels do."""
    file, ends = BytesIO(content), []

    def in_pixels(tag: int, _: str | None, length: int) -> bool:
        if tag in _PIXELS:
            ends.append(length if length == _UNDEFINED else file.tell() + length)
        return tag in _PIXELS

    rest = read_partial(file, stop_when=in_pixels)
    promises = rest.get("Rows") and rest.get("Columns") and not ends
    if promises or any(_END not in content[-4096:] if end == _UNDEFINED else end > len(content) for end in ends):
        raise BadData("the file ends before its pixels do")
