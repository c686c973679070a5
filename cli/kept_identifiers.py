"""What headers say of the person, the place and the day, as BIDS and dcm2niix (``-ba n``) call it; and how it was taken out."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from io import BytesIO
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

    from rtbids.deidentify.notes import Element

WARNING = "--identified: names, dates and serial numbers of the DICOM headers go into what is written: keep it safe"
_LAST = 0x00401001  # beyond what is read: then come pixels
_TEXTS = {
    "InstitutionName": "InstitutionName",
    "InstitutionAddress": "InstitutionAddress",
    "InstitutionalDepartmentName": "InstitutionalDepartmentName",
    "StationName": "StationName",
    "DeviceSerialNumber": "DeviceSerialNumber",
    "StudyDescription": "StudyDescription",
    "ProcedureStepDescription": "PerformedProcedureStepDescription",
    "SeriesDescription": "SeriesDescription",
    "ProtocolName": "ProtocolName",
    "ImageComments": "ImageComments",
    "PatientName": "PatientName",
    "PatientID": "PatientID",
    "PatientSex": "PatientSex",
    "AccessionNumber": "AccessionNumber",
    "StudyID": "StudyID",
    "StudyInstanceUID": "StudyInstanceUID",
    "SeriesInstanceUID": "SeriesInstanceUID",
}
_NUMBERS = ("PatientSize", "PatientWeight")
_DATE = re.compile(r"(\d{4})\.?(\d{2})\.?(\d{2})")
_TIME = re.compile(r"(\d{2}):?(\d{2}):?(\d{2})(\.\d{1,6})?")
_CODE = {
    "CodeValue": "CodeValue",
    "CodeMeaning": "CodeMeaning",
    "CodingSchemeDesignator": "CodingSchemeDesignator",
    "CodingSchemeVersion": "CodingSchemeVersion",
}


def of(content: bytes) -> dict[str, Any]:
    """Return the identifying fields of an image's header; what it does not say is left out."""
    header = _header(content)
    fields: dict[str, Any] = {field: _text(header, keyword) for field, keyword in _TEXTS.items()}
    fields |= {keyword: _number(header, keyword) for keyword in _NUMBERS}
    fields |= {"PatientAge": _years(_text(header, "PatientAge")), "PatientBirthDate": _day(_text(header, "PatientBirthDate"))}
    day, time = _moment(header)
    fields |= {"AcquisitionTime": time, "AcquisitionDateTime": f"{day}T{time}" if day and time else None}
    return {field: value for field, value in fields.items() if value is not None}


def elements(fields: Mapping[str, Any]) -> Iterator[Element]:
    """Give identifying fields of a sidecar, which somebody else may have written, as elements of a header."""
    for field in (*_TEXTS, "PatientBirthDate"):
        if isinstance(value := fields.get(field), str) and value and field not in ("ProtocolName", "SeriesDescription"):
            yield _element(_TEXTS.get(field, field), value.replace("-", "") if field == "PatientBirthDate" else value)


def _element(keyword: str, text: str) -> Element:
    from pydicom.datadict import dictionary_VR, tag_for_keyword

    from rtbids.deidentify.notes import Element

    tag = tag_for_keyword(keyword)
    assert tag is not None, keyword
    return Element(int(tag), dictionary_VR(tag), text.encode(), b"ISO_IR 192")


def markers(content: bytes) -> dict[str, Any]:
    """Return what a file says of its de-identification, in the fields of BIDS; nothing where it says nothing."""
    header = _header(content)
    methods = [part for part in (_text(header, "DeidentificationMethod") or "").split("\\") if part]
    codes = [dict(_code(item)) for item in header.get("DeidentificationMethodCodeSequence") or ()]
    found = {"DeidentificationMethod": methods, "DeidentificationMethodCodeSequence": [code for code in codes if code]}
    return {field: value for field, value in found.items() if value}


def _header(content: bytes) -> Dataset:
    from pydicom import Dataset
    from pydicom.filereader import read_partial

    try:
        return read_partial(BytesIO(content), lambda tag, vr, length: int(tag) >= _LAST, force=True)
    except Exception:  # a header can hold anything, and parsers raise whatever they stumble over
        return Dataset()


def _code(item: Dataset) -> Iterator[tuple[str, str]]:
    for field, keyword in _CODE.items():
        if text := _text(item, keyword):
            yield field, text


def _value(header: Dataset, keyword: str) -> Any:
    try:
        return header.get(keyword)
    except Exception:  # as above
        return None


def _text(header: Dataset, keyword: str) -> str | None:
    value = _value(header, keyword)
    if value is None or isinstance(value, str | int | float) or not hasattr(value, "__iter__") or hasattr(value, "components"):
        return str(value).strip() or None if value is not None else None
    return "\\".join(str(part) for part in value) or None


def _number(header: Dataset, keyword: str) -> float | None:
    try:
        return float(_text(header, keyword) or "")
    except ValueError:
        return None


def _years(age: str | None) -> int | None:
    found = re.fullmatch(r"(\d{3})Y", age or "")
    return int(found[1]) if found else None


def _day(text: str | None) -> str | None:
    found = _DATE.match(text or "")
    return "-".join(found.groups()) if found else None


def _moment(header: Dataset) -> tuple[str | None, str | None]:
    """Return the day and the time of day at which the image was acquired."""
    whole = _text(header, "AcquisitionDateTime") or ""
    day = _day(_text(header, "AcquisitionDate") or whole)
    found = _TIME.match(_text(header, "AcquisitionTime") or whole[8:])
    if not found:
        return day, None
    hours, minutes, seconds, fraction = found.groups()
    return day, f"{hours}:{minutes}:{seconds}{fraction or '.0':0<7}"
