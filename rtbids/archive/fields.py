"""What of a volume's metadata goes into the run's sidecar."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rtbids.volume import Entities, Metadata

_INTERNAL = frozenset({"Paced", "ReplaySpeed", "MissingVolumes", "FilledVolumes"})
# Conversion leaves identifiers out already; this holds even for a stream that somebody else made.
_IDENTIFYING = frozenset(
    {
        "AccessionNumber",
        "AcquisitionDateTime",
        "AcquisitionTime",
        "ContentTime",
        "ConversionComments",
        "DeviceSerialNumber",
        "ImageComments",
        "InstitutionAddress",
        "InstitutionName",
        "InstitutionalDepartmentName",
        "IssuerOfPatientID",
        "MedicalRecordLocator",
        "NameOfPhysiciansReadingStudy",
        "OperatorsName",
        "OtherPatientIDs",
        "OtherPatientNames",
        "PatientAddress",
        "PatientAge",
        "PatientBirthDate",
        "PatientBirthTime",
        "PatientComments",
        "PatientID",
        "PatientName",
        "PatientSex",
        "PatientSize",
        "PatientTelephoneNumbers",
        "PatientWeight",
        "PerformedProcedureStepDescription",
        "PerformingPhysicianName",
        "PhysiciansOfRecord",
        "ProcedureStepDescription",
        "ReferringPhysicianName",
        "RequestedProcedureDescription",
        "RequestingPhysician",
        "SeriesTime",
        "StationName",
        "StudyDescription",
        "StudyID",
        "StudyTime",
    }
)
_IDENTIFYING_ENDS = ("UID", "Date", "DateTime")


def of_run(
    metadata: Metadata, entities: Entities, missing: Sequence[int], filled: Sequence[int], *, identified: bool = False
) -> dict[str, Any]:
    """Return the sidecar: BIDS fields without what identifies a person, the task's name, and the gaps where there are any.

    With `identified` what identifies stays. `missing` are the indices of volumes that are not in the file, `filled` of those
    that stand in for volumes that never came.
    """
    kept = metadata if identified else without_identifiers(metadata)
    fields: dict[str, Any] = {key: value for key, value in kept.items() if key not in _INTERNAL}
    fields.setdefault("TaskName", entities.get("task", ""))
    if missing:
        fields["MissingVolumes"] = list(missing)
    if all_filled := sorted({*filled, *_filled_before(metadata)}):
        fields["FilledVolumes"] = all_filled
    return fields


def _filled_before(metadata: Metadata) -> list[int]:
    """Return the volumes that stand in for others already where the run comes from, if it says so."""
    told = metadata.get("FilledVolumes")
    return [index for index in told if isinstance(index, int)] if isinstance(told, list) else []


def without_identifiers(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields without those that identify a person, a place or a day."""
    return {
        key: without_identifiers(value) if isinstance(value, Mapping) else value
        for key, value in fields.items()
        if key not in _IDENTIFYING and not key.endswith(_IDENTIFYING_ENDS)
    }
