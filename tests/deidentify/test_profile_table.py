"""The table is that of the standard, and the options do what its columns say."""

from __future__ import annotations

import importlib

import pytest
from pydicom.datadict import dictionary_VR, tag_for_keyword

from rtbids.deidentify.profile import Action, Change, Options, Profile, rows, table

BASE = {
    "D": "D",
    "Z": "Z",
    "X": "X",
    "U": "U",
    "Z_D": "Z/D",
    "X_Z": "X/Z",
    "X_D": "X/D",
    "X_Z_D": "X/Z/D",
    "X_Z_U_STAR": "X/Z/U*",
}


def action(keyword: str, *changes: Change, **options: object) -> Action:
    tag = tag_for_keyword(keyword)
    assert tag is not None
    return Profile(Options(**options), changes).action(tag, dictionary_VR(tag))  # type: ignore[arg-type]


def test_the_base_codes_are_those_that_another_package_reads_from_the_same_edition() -> None:
    name = f"dicomanonymizer.dicom_anonymization_databases.dicomfields_{table()['edition']}"
    theirs = pytest.importorskip(name, reason="dicom_anonymizer is not installed")
    expected = {
        group << 16 | number: code
        for prefix, code in BASE.items()
        for group, number in (tag for tag in getattr(theirs, f"{prefix}_TAGS") if len(tag) == 2)
    }
    assert len(expected) > 600
    assert {tag: row[0] for tag, row in rows().items()} == expected


def test_every_column_is_an_option() -> None:
    fields = set(Options.__dataclass_fields__)
    assert {name for _, columns in rows().values() for name in columns} <= fields


def test_the_names_of_the_table_and_of_the_module_that_reads_it_agree() -> None:
    module = importlib.import_module("rtbids.deidentify.make_table")
    assert {row[0] for row in rows().values()} == set(module.BASE.values())


@pytest.mark.parametrize(
    ("keyword", "expected"),
    [
        ("PatientName", Action.PATIENT),
        ("PatientID", Action.PATIENT),
        ("AccessionNumber", Action.ACCESSION),
        ("PatientBirthDate", Action.EMPTY),
        ("PatientAge", Action.REMOVE),
        ("StudyDate", Action.SHIFT),
        ("FrameAcquisitionDateTime", Action.SHIFT),
        ("AcquisitionTime", Action.KEEP),
        ("SOPInstanceUID", Action.UID),
        ("FrameOfReferenceUID", Action.UID),
        ("SOPClassUID", Action.UID),  # those of the standard are no new ones
        ("ReferencedImageSequence", Action.WALK),
        ("RequestAttributesSequence", Action.REMOVE),
        ("SharedFunctionalGroupsSequence", Action.WALK),
        ("OperatorsName", Action.EMPTY),
        ("NameOfPhysiciansReadingStudy", Action.REMOVE),
        ("DeviceSerialNumber", Action.DUMMY),
        ("InstitutionName", Action.DUMMY),
        ("ProtocolName", Action.CLEAN),
        ("SeriesDescription", Action.CLEAN),
        ("StudyDescription", Action.REMOVE),
        ("ImageComments", Action.REMOVE),
        ("RepetitionTime", Action.KEEP),
        ("DigitalSignaturesSequence", Action.REMOVE),
        ("DataSetTrailingPadding", Action.REMOVE),
        ("IconImageSequence", Action.REMOVE),
        ("PersonIdentificationCodeSequence", Action.EMPTY),
        ("RetrieveURL", Action.EMPTY),
        ("PersonName", Action.DUMMY),  # has a value always
        ("VerifyingObserverName", Action.DUMMY),
        ("AcquisitionProtocolName", Action.REMOVE),
        ("PatientBirthDateInAlternativeCalendar", Action.REMOVE),
        ("ICCProfile", Action.REMOVE),
        ("LUTData", Action.REMOVE),
        ("SequenceName", Action.KEEP),
        ("BodyPartExamined", Action.KEEP),
        ("FlipAngle", Action.KEEP),
    ],
)
def test_by_default(keyword: str, expected: Action) -> None:
    assert action(keyword) is expected


@pytest.mark.parametrize(
    ("keyword", "option", "expected"),
    [
        ("PatientAge", {"patient": True}, Action.CAP),
        ("PatientWeight", {"patient": True}, Action.KEEP),
        ("PatientSex", {"patient": True}, Action.KEEP),
        ("PatientName", {"patient": True}, Action.PATIENT),
        ("PatientBirthDate", {"patient": True}, Action.EMPTY),
        ("Allergies", {"patient": True}, Action.REMOVE),  # C: to be cleaned by a person
        ("DeviceSerialNumber", {"device": True}, Action.KEEP),
        ("DeviceUID", {"device": True}, Action.UID),
        ("StationName", {"device": True}, Action.KEEP),
        ("InstitutionName", {"institution": True}, Action.KEEP),
        ("SOPInstanceUID", {"uids": True}, Action.KEEP),
        ("StudyDate", {"dates": "kept"}, Action.KEEP),
        ("PatientBirthDate", {"dates": "kept"}, Action.EMPTY),
        ("StudyDate", {"dates": "removed"}, Action.EMPTY),
        ("AcquisitionTime", {"dates": "removed"}, Action.EMPTY),
        ("SeriesDate", {"dates": "removed"}, Action.DUMMY),
        ("ProtocolName", {"descriptors": "removed"}, Action.DUMMY),
        ("SeriesDescription", {"descriptors": "removed"}, Action.REMOVE),
    ],
)
def test_with_an_option(keyword: str, option: dict[str, object], expected: Action) -> None:
    assert action(keyword, **option) is expected


@pytest.mark.parametrize(
    "tag", [0x00187FF0, 0x50000022, 0x60003000, 0x60020022, 0x00080001, 0x00100000, 0x7FDE0010, 0xFFFA0100]
)
def test_unknown_elements_curves_overlays_and_lengths_of_groups_go(tag: int) -> None:
    assert Profile().action(tag, "LO") is Action.REMOVE


def test_a_name_in_any_element_that_stays_is_emptied() -> None:
    assert Profile().action(0x00189005, "PN") is Action.EMPTY


@pytest.mark.parametrize(
    "pattern", [0x00081030, "00081030", "(0008,1030)", "0008xxxx", "StudyDescription", "Study*", "*Description", "LO"]
)
def test_a_rule_holds_for_a_tag_a_pattern_a_keyword_or_a_representation(pattern: str | int) -> None:
    assert action("StudyDescription", Change(Action.KEEP, (pattern,))) is Action.KEEP


@pytest.mark.parametrize("pattern", [0x00081032, "0018xxxx", "Patient*", "studydescription", "SH"])
def test_a_rule_for_something_else_does_not_hold(pattern: str | int) -> None:
    assert action("StudyDescription", Change(Action.KEEP, (pattern,))) is Action.REMOVE


def test_the_last_rule_wins() -> None:
    first, last = Change(Action.KEEP, ("LO",)), Change(Action.EMPTY, ("StudyDescription",))
    assert action("StudyDescription", first, last) is Action.EMPTY
    assert action("StudyDescription", last, first) is Action.KEEP
