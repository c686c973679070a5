"""One file in, one out: what goes, what is made anew, what stays byte for byte; read back by pydicom."""

from __future__ import annotations

import zlib
from datetime import date, timedelta
from io import BytesIO
from pathlib import Path

import images
import pytest
from pydicom import dcmread
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_dataset
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
)

from rtbids.deidentify.engine import InternalFault
from rtbids.deidentify.mapping import Identifiers, Mapping
from rtbids.deidentify.profile import Action, Change
from rtbids.errors import BadData

SYNTAXES = (ImplicitVRLittleEndian, ExplicitVRLittleEndian, ExplicitVRBigEndian, DeflatedExplicitVRLittleEndian)
MAPPING = Mapping(images.KEY)


def item(**elements: object) -> Dataset:
    made = Dataset()
    for keyword, value in elements.items():
        setattr(made, keyword, value)
    return made


def nested() -> Dataset:
    """Return an image with the person in sequences: of the table, not of it, private, and within each other."""
    inner = item(PatientName="Doe^Jane", FrameAcquisitionDateTime="20190203101112.5", ReferencedSOPInstanceUID=images.INSTANCE)
    middle = item(DerivationImageSequence=[inner], RepetitionTime="2000")
    return images.header(
        RequestAttributesSequence=[item(AccessionNumber="A4712345")],
        PerFrameFunctionalGroupsSequence=[middle, item(MRTimingAndRelatedParametersSequence=[])],
    )


@pytest.mark.parametrize("syntax", SYNTAXES)
def test_every_transfer_syntax_stays_and_its_pixels_with_it(syntax: str) -> None:
    given = images.content(nested(), syntax)
    before, after = dcmread(BytesIO(given)), images.after(given)
    assert after.file_meta.TransferSyntaxUID == syntax
    assert after.PixelData == before.PixelData
    assert str(after.PatientName) == after.PatientID == MAPPING.patient("4711-X")
    frame = after.PerFrameFunctionalGroupsSequence[0]
    deep = frame.DerivationImageSequence[0]
    assert deep.PatientName == ""
    assert deep.FrameAcquisitionDateTime[-8:] == "101112.5"
    assert deep.FrameAcquisitionDateTime[:8] == after.StudyDate
    assert deep.ReferencedSOPInstanceUID == after.SOPInstanceUID
    assert frame.RepetitionTime == 2000
    assert len(after.PerFrameFunctionalGroupsSequence) == 2
    assert "RequestAttributesSequence" not in after


@pytest.mark.parametrize("syntax", SYNTAXES)
@pytest.mark.parametrize("undefined", [True, False])
def test_lengths_are_right_again_whether_they_were_defined_or_not(syntax: str, undefined: bool) -> None:
    dataset = nested()
    groups = dataset["PerFrameFunctionalGroupsSequence"]
    groups.is_undefined_length = undefined
    for each in groups.value:
        each.is_undefined_length_sequence_item = undefined
    after = images.after(images.content(dataset, syntax))
    assert [element.tag for element in after][-1] == 0x7FE00010
    assert after.PerFrameFunctionalGroupsSequence[0].DerivationImageSequence[0].PatientName == ""
    assert after["PerFrameFunctionalGroupsSequence"].is_undefined_length == undefined


def test_what_stays_is_not_touched() -> None:
    """Odd but harmless writing survives as it is: a number with spaces, an empty value, a second of 60."""
    given = images.header(RepetitionTime="2000.125", AcquisitionTime="235960.5", ScanOptions="")
    whole = images.content(given).replace(b"2000.125", b"2000.0  ")
    out = images.clean(whole).content
    for raw in (b"\x18\x00\x80\x00DS\x08\x002000.0  ", b"\x08\x002\x00TM\x08\x00235960.5", b"\x18\x00\x22\x00CS\x00\x00"):
        assert raw in whole
        assert raw in out


def test_what_is_clean_already_changes_no_more() -> None:
    """Options that retain everything leave all but the person."""
    given = images.header(StudyDate="20190203", InstitutionName="Here")
    after = images.after(given, uids=True, institution=True, dates="kept")
    assert (after.SOPInstanceUID, after.StudyDate, after.InstitutionName) == (images.INSTANCE, "20190203", "Here")
    assert after.PatientBirthDate == ""


def test_the_files_own_head_holds_nothing_of_where_it_was() -> None:
    given = images.header()
    whole = bytearray(images.content(given))
    whole[:128] = b"Jane Doe".ljust(128, b"x")
    read = dcmread(BytesIO(bytes(whole)))
    read.file_meta.SourceApplicationEntityTitle = "WARD7"
    read.file_meta.ImplementationVersionName = "WARD7"
    read.file_meta.PrivateInformationCreatorUID = "1.2.3"
    read.file_meta.PrivateInformation = b"Jane Doe"
    written = BytesIO()
    read.save_as(written)
    clean = images.clean(written.getvalue())
    after = dcmread(BytesIO(clean.content))
    assert clean.content[:132] == bytes(128) + b"DICM"
    assert [f"{element.tag:08X}" for element in after.file_meta] == [
        f"000200{n}" for n in ("00", "01", "02", "03", "10", "12", "13")
    ]
    assert after.file_meta.MediaStorageSOPInstanceUID == after.SOPInstanceUID == clean.instance
    assert after.file_meta.FileMetaInformationGroupLength == clean.content.index(b"\x08\x00", 144) - 144


def test_files_without_a_head_get_one() -> None:
    for syntax in (ImplicitVRLittleEndian, ExplicitVRLittleEndian):
        given = images.content(images.header(), syntax)
        meta = 144 + int.from_bytes(given[140:144], "little")
        after = images.after(given[meta:])
        assert after.file_meta.TransferSyntaxUID == syntax
        assert after.PixelData == images.PIXELS


def test_markers_say_what_was_done() -> None:
    after = images.after(images.header())
    assert after.PatientIdentityRemoved == "YES"
    assert after.DeidentificationMethod.startswith("rtbids ")
    codes = after.DeidentificationMethodCodeSequence
    assert [code.CodeValue for code in codes] == ["113100", "113105", "113107", "113111"]
    assert {code.CodingSchemeDesignator for code in codes} == {"DCM"}
    assert after.LongitudinalTemporalInformationModified == "MODIFIED"


@pytest.mark.parametrize(
    ("options", "codes", "dates"),
    [
        ({"dates": "kept"}, ["113100", "113105", "113106", "113111"], "UNMODIFIED"),
        ({"dates": "removed", "private": False}, ["113100", "113105"], "REMOVED"),
        ({"descriptors": "removed", "device": True}, ["113100", "113107", "113109", "113111"], "MODIFIED"),
        (
            {"patient": True, "uids": True, "institution": True},
            ["113100", "113105", "113107", "113108", "113110", "113111", "113112"],
            "MODIFIED",
        ),
    ],
)
def test_only_options_that_were_applied_are_listed(options: dict[str, object], codes: list[str], dates: str) -> None:
    after = images.after(images.header(), **options)
    assert [code.CodeValue for code in after.DeidentificationMethodCodeSequence] == codes
    assert after.LongitudinalTemporalInformationModified == dates


def test_the_meanings_of_the_codes_are_those_of_the_standard() -> None:
    from pydicom.sr.codedict import codes

    from rtbids.deidentify import markers

    for code, meaning in markers.MEANINGS.items():
        named = [name for name in codes.DCM.dir() if getattr(codes.DCM, name).value == code]
        assert [getattr(codes.DCM, name).meaning for name in named] == [meaning]


def raw(tag: int, vr: str, value: bytes) -> bytes:
    """Return a short element as it lies in a file, whatever its value."""
    return (
        tag.to_bytes(4, "big")[1::-1] + tag.to_bytes(4, "big")[:1:-1] + vr.encode() + len(value).to_bytes(2, "little") + value
    )


def before(tag: int, *elements: bytes) -> bytes:
    """Return the image with elements put before that with the tag."""
    whole = images.content(images.header())
    at = whole.index(raw(tag, "", b"")[:4], 144)
    return whole[:at] + b"".join(elements) + whole[at:]


@pytest.mark.parametrize(
    "uid", ["1.2.840.10008.4711234", "1.2.840.10008./../../escaped", "1.2.3.4711234567", "1.2.840.10008.5.1.4.1.1.4711"]
)
@pytest.mark.parametrize("keyword", ["SOPInstanceUID", "ReferencedSOPClassUID", "FrameOfReferenceUID", "SeriesInstanceUID"])
def test_a_uid_is_of_the_standard_only_where_the_standard_has_it(uid: str, keyword: str) -> None:
    given = images.header(FrameOfReferenceUID="1.2.840.10008.1.4.1.1")
    given.add(DataElement(keyword, "UI", uid, validation_mode=0))
    clean = images.clean(given)
    assert uid.encode() not in clean.content
    assert uid not in clean.name
    after = dcmread(BytesIO(clean.content))
    assert after[keyword].value == MAPPING.uid(uid)
    assert keyword == "FrameOfReferenceUID" or after.FrameOfReferenceUID == "1.2.840.10008.1.4.1.1"


def test_a_class_given_twice_is_no_place_for_a_number() -> None:
    given = before(0x00080018, raw(0x00080016, "UI", b"1.2.3.4711234567"))
    assert b"4711234567" not in images.clean(given).content


def test_an_instance_uid_that_is_no_ascii_is_the_same_in_the_head_and_in_the_dataset() -> None:
    old, odd = (
        raw(0x00080018, "UI", images.INSTANCE.encode() + b"\0"),
        raw(0x00080018, "UI", "1.2.ü.3".encode("latin-1") + b"\0"),
    )
    for charset in (b"ISO_IR 100", b"ISO_IR 192"):
        given = before(0x00080008, raw(0x00080005, "CS", charset)).replace(old, odd)
        assert odd in given
        clean = images.clean(given)
        after = dcmread(BytesIO(clean.content))
        assert after.file_meta.MediaStorageSOPInstanceUID == after.SOPInstanceUID == clean.instance


def test_a_transfer_syntax_that_no_standard_has_is_refused() -> None:
    given = images.content(images.header(), ExplicitVRLittleEndian)
    odd = given.replace(b"UI\x14\x001.2.840.10008.1.2.1\0", b"UI\x14\x001.2.840.10008.1.2ZQ\0")
    assert odd != given
    with pytest.raises(BadData, match="transfer syntax"):
        images.clean(odd)


def test_the_creator_of_a_private_block_given_twice_hides_nothing() -> None:
    creators = raw(0x00290010, "LO", b"SIEMENS CSA HEADER"), raw(0x00290010, "LO", b"Jane Doe was here ")
    for pair in (creators, creators[::-1]):
        out = images.clean(before(0x7FE00010, *pair, raw(0x00291010, "OB", b"")[:8] + bytes(4))).content
        assert b"was here" not in out


def test_a_character_set_with_a_nul_in_it_does_no_harm() -> None:
    after = images.after(before(0x00080008, raw(0x00080005, "CS", b"ISO_I\0 100")))
    assert after.PatientID == MAPPING.patient("4711-X")


@pytest.mark.parametrize("missing", [("StudyInstanceUID",), ("StudyInstanceUID", "SeriesInstanceUID")])
def test_without_patient_and_study_nobody_becomes_the_same_person(missing: tuple[str, ...]) -> None:
    some = dict.fromkeys(missing)
    others = {"SeriesInstanceUID": "1.2.7", "SOPInstanceUID": "1.2.8"} | some
    one, other = (images.clean(images.header(PatientID="", **kept)) for kept in (some, others))
    assert one.patient != other.patient
    assert one.shift_days != other.shift_days
    what = "image" if "SeriesInstanceUID" in missing else "series"
    assert f"its {what} stands in" in one.remarks[0]


@pytest.mark.parametrize(("code", "stays"), [("113106", False), ("113109", False), ("113105", True), ("113102", True)])
def test_codes_of_an_earlier_de_identification_stay_only_where_they_hold(code: str, stays: bool) -> None:
    codes = [item(CodeValue=code, CodingSchemeDesignator="DCM", CodeMeaning="that")]
    after = images.after(images.header(DeidentificationMethodCodeSequence=codes))
    assert (code in {one.CodeValue for one in after.DeidentificationMethodCodeSequence}) == stays


@pytest.mark.parametrize(
    ("said", "stays"),
    [
        ("DICOMANON (rev R2010a) - PS 3.15-2008 Table E.1-1 - nondefault", True),
        ("deid", True),
        ("by Jane Doe", False),
        ("deid 2019-02-03", False),
        ("deid 12.04.33", False),
    ],
)
def test_what_an_earlier_de_identification_was_called_is_not_written_over(said: str, stays: bool) -> None:
    once = images.clean(images.header(DeidentificationMethod=said)).content
    for content in (once, images.clean(once).content):
        method = dcmread(BytesIO(content)).DeidentificationMethod
        methods = [method] if isinstance(method, str) else list(method)
        assert [one.startswith("rtbids") for one in methods] == ([False, True] if stays else [True])
        assert (said in methods) == stays


def test_a_fault_of_ours_is_told_as_such_and_quotes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(self: Mapping, old_id: str) -> int:
        raise NameError(old_id)

    monkeypatch.setattr(Mapping, "shift", broken)
    with pytest.raises(InternalFault, match=r"NameError in test_engine\.py, line \d+") as error:
        images.clean(images.header())
    assert "4711" not in f"{error.value} {error.value.hint}"
    assert "report" in str(error.value.hint)


def test_a_file_that_is_de_identified_already_is_said_to_be_changed_once_more() -> None:
    once = images.clean(images.header())
    assert once.remarks == ()
    assert images.clean(once.content).remarks == (
        "it says that it is de-identified already: its IDs and dates are changed once more",
    )


@pytest.mark.parametrize(
    ("comment", "stays"),
    [
        ("b=1500(0.895,0.000,0.445)", True),
        ("b=0(-1.000,0.000,0.000)", True),
        ("b=1500(0.895,0.000,0.445) Jane", False),
        ("b=1500(Jane,0.000,0.445)", False),
        ("b=19540723(0.895,0.000,0.445)", False),
    ],
)
def test_a_comment_stays_where_it_is_nothing_but_the_direction_of_a_gradient(comment: str, stays: bool) -> None:
    given = images.header(ImageComments=comment)
    assert images.after(given).get("ImageComments") == (comment if stays else None)
    assert "ImageComments" not in images.after(given, Change(Action.REMOVE, ("ImageComments",)))


def test_a_damaged_block_of_a_maker_is_taken_out_and_that_is_said() -> None:
    given = images.header()
    given.private_block(0x0029, "SIEMENS CSA HEADER", create=True).add_new(0x10, "OB", b"SV10 and then Jane Doe")
    clean = images.clean(given)
    assert "csa image header is damaged" in clean.remarks[0]
    assert (0x0029, 0x1010) not in dcmread(BytesIO(clean.content))
    assert b"Jane Doe" not in clean.content


def test_of_a_patients_characteristics_those_stay_that_the_option_is_known_by() -> None:
    known = {"PatientSex": "F", "PatientAge": "030Y", "PatientSize": "1.7", "PatientWeight": "60"}
    given = images.header(**known, EthnicGroup="Doe", SmokingStatus="YES", PregnancyStatus=1, PatientSexNeutered="ALTERED")
    after = images.after(given, patient=True)
    assert all(keyword in after for keyword in known)
    assert not [word for word in ("EthnicGroup", "SmokingStatus", "PregnancyStatus") if after.get(word) not in (None, "")]


def test_a_sequence_that_is_none_leaves_no_trace_on_what_follows() -> None:
    """Items that break off within items: the depth and the character set are what they were."""
    broken = b"\xfe\xff\x00\xe0\xff\xff\xff\xff" + raw(0x00080005, "CS", b"ISO_IR 192")
    odd = raw(0x00081140, "OB", b"")[:6] + b"\0\0" + len(broken).to_bytes(4, "little") + broken
    whole = before(0x00100010, *[odd] * 60, raw(0x00081140, "SQ", b"")[:6] + bytes(6))
    assert images.after(whole).PatientID == MAPPING.patient("4711-X")


def test_codes_of_an_earlier_de_identification_stay_and_its_text_goes() -> None:
    codes = [item(CodeValue=value, CodingSchemeDesignator="DCM", CodeMeaning="Jane Doe") for value in ("113101", "999")]
    given = images.header(DeidentificationMethod="by Jane Doe", DeidentificationMethodCodeSequence=codes)
    after = images.after(given)
    found = {code.CodeValue: code.CodeMeaning for code in after.DeidentificationMethodCodeSequence}
    assert found["113101"] == "Clean Pixel Data Option"
    assert "999" not in found
    assert "Doe" not in str(after)


def test_cleaning_twice_gives_a_file_of_the_same_form() -> None:
    once = images.clean(images.header())
    twice = images.clean(once.content)
    assert len(dcmread(BytesIO(twice.content))) == len(dcmread(BytesIO(once.content)))


@pytest.mark.parametrize(
    ("age", "left"),
    [("089Y", "089Y"), ("090Y", "090Y"), ("097Y", "090Y"), ("110Y", "090Y"), ("012M", "012M"), ("999M", "999M")],
)
def test_ages_above_89_are_one_class(age: str, left: str) -> None:
    assert images.after(images.header(PatientAge=age), patient=True).PatientAge == left


@pytest.mark.parametrize("age", ["97", "097", "Y097", "ninety", "97Y", "0"])
def test_ages_that_are_none_are_emptied(age: str) -> None:
    given = images.header()
    given.add(DataElement(0x00101010, "AS", age, validation_mode=0))
    assert images.after(given, patient=True).PatientAge == ""


def test_dates_of_two_studies_keep_their_distance_and_patients_do_not_move_alike() -> None:
    first = images.after(images.header(StudyDate="20190203", AcquisitionDateTime="20190203235959.99+0100"))
    second = images.after(images.header(StudyDate="20190206", StudyInstanceUID="1.2.3.4"))
    other = images.after(images.header(PatientID="4712-X"))
    assert int(second.StudyDate) - int(first.StudyDate) in (3, 3 + 70, 3 + 69, 3 + 72, 3 + 71, 3 + 8870, 3 + 8869)
    assert first.AcquisitionDateTime == first.StudyDate + "235959.99+0100"
    assert other.StudyDate != first.StudyDate
    assert max(image.StudyDate for image in (first, second, other)) < "19260101"


def test_without_a_patient_id_the_study_moves_and_that_is_said() -> None:
    one = images.clean(images.header(PatientID=""))
    other = images.clean(images.header(PatientID="", StudyInstanceUID="1.2.3.9"))
    assert "no patient ID" in one.remarks[0]
    assert one.patient != other.patient
    assert dcmread(BytesIO(one.content)).StudyDate != dcmread(BytesIO(other.content)).StudyDate
    assert not images.clean(images.header()).remarks


def test_identifiers_that_are_given_are_written() -> None:
    from rtbids.deidentify.engine import Deidentifier
    from rtbids.deidentify.profile import Profile

    asked = []

    def given(patient: str, accession: str) -> Identifiers:
        asked.append((patient, accession))
        return Identifiers("sub-07", "ACC1", -70_000)

    engine = Deidentifier(Profile(), MAPPING.with_identifiers(given))
    clean = engine.clean(images.content(images.header(AccessionNumber="A4712345")))
    after = dcmread(BytesIO(clean.content))
    assert asked == [("4711-X", "A4712345")]
    assert (after.PatientID, after.AccessionNumber, after.StudyDate) == (
        "sub-07",
        "ACC1",
        f"{date(2019, 2, 3) - timedelta(70_000):%Y%m%d}",
    )
    assert clean.name.startswith("sub-07/")


def test_what_was_done_is_told_by_place_and_without_values() -> None:
    done = images.clean(nested()).done
    assert done["(0010,0020)"] is Action.PATIENT
    assert done["(0040,0275)"] is Action.REMOVE
    assert done["(5200,9230)[0].(0008,9124)[0].(0018,9074)"] is Action.SHIFT
    assert "(0018,0080)" not in done
    assert not any("Doe" in f"{place} {action}" for place, action in done.items())


def test_what_went_is_known_in_memory_and_not_shown() -> None:
    clean = images.clean(nested())
    assert {"Doe^Jane", "4711-X", "A4712345", "19330405", images.INSTANCE} <= clean.removed
    assert "Doe" not in repr(clean)


def test_a_class_that_goes_with_a_sequence_is_no_value_that_must_be_nowhere() -> None:
    gone = item(ReferencedSOPClassUID="1.2.840.10008.5.1.4.1.1.4", ReferencedSOPInstanceUID="1.2.3.4.5")
    removed = images.clean(images.header(RequestAttributesSequence=[gone])).removed
    assert "1.2.3.4.5" in removed
    assert "1.2.840.10008.5.1.4.1.1.4" not in removed


def test_names_of_files_are_made_of_new_values() -> None:
    clean = images.clean(images.header())
    assert clean.name == f"{clean.patient}/{clean.series}/{clean.instance}.dcm"
    assert (clean.series, clean.study) == (MAPPING.uid(images.SERIES), MAPPING.uid(images.STUDY))


def test_a_patient_within_a_sequence_is_the_same_or_one_of_his_own() -> None:
    people = [item(PatientID=number, PatientName="Doe^Jane") for number in ("4711-X", "0815", "")]
    given = images.header(ReferencedImageSequence=people)
    after = images.after(given).ReferencedImageSequence
    assert [one.PatientID for one in after] == [MAPPING.patient("4711-X"), MAPPING.patient("0815"), ""]
    assert [one.PatientName for one in after] == ["", "", ""]


@pytest.mark.parametrize("charset", ["ISO_IR 192", "GB18030", "ISO_IR 144"])
def test_a_patient_id_in_any_script_gives_one_new_id(charset: str) -> None:
    number = "ЖЩ-4711"
    clean = images.clean(
        images.header(SpecificCharacterSet=charset, PatientID=number, ReferencedImageSequence=[item(PatientID=number)])
    )
    after = dcmread(BytesIO(clean.content))
    assert after.PatientID == after.ReferencedImageSequence[0].PatientID == clean.patient == MAPPING.patient(number)


def test_private_elements_without_a_creator_and_of_unknown_creators_go() -> None:
    given = images.header()
    given.add_new(0x00091001, "LO", "nobody's")
    block = given.private_block(0x0011, "SOMEBODY", create=True)
    block.add_new(0x01, "LO", "somebody's")
    after = images.after(given)
    assert not [element for element in after if element.tag.is_private]


def test_public_sequences_that_say_they_are_unknown_are_looked_into() -> None:
    """PS3.5, 6.2.2: what has VR UN and holds items is implicit VR, little endian."""
    sequence = item(ReferencedImageSequence=[item(PatientName="Doe^Jane", ReferencedSOPInstanceUID="1.2.3")])
    buffer = DicomBytesIO()
    buffer.is_implicit_VR, buffer.is_little_endian = True, True
    write_dataset(buffer, sequence)
    value = buffer.getvalue()[8:]
    whole, name = images.content(images.header()), b"\x10\0\x10\0PN"
    out = images.clean(whole.replace(name, b"\x08\0\x40\x11UN\0\0" + len(value).to_bytes(4, "little") + value + name)).content
    assert b"Doe^Jane" not in out
    assert b"1.2.3\0" not in out
    assert MAPPING.uid("1.2.3").encode() in out


@pytest.mark.parametrize("action", [Action.REMOVE, Action.EMPTY, Action.KEEP, Action.REPLACE, Action.DUMMY])
def test_a_recipes_rule_is_done(action: Action) -> None:
    given = images.header(StationName="MR7", BodyPartExamined="HEAD")
    after = images.after(
        given, Change(action, ("BodyPartExamined",), value="BRAIN"), Change(action, ("StationName",), value="S1")
    )
    expected = {Action.REMOVE: (None, None), Action.EMPTY: ("", ""), Action.KEEP: ("HEAD", "MR7")}
    assert (after.get("BodyPartExamined"), after.get("StationName")) == expected.get(action, ("BRAIN", "S1"))


def test_a_recipe_may_keep_an_element_that_no_dictionary_has() -> None:
    given = images.header()
    given.add_new(0x00187FF0, "US", 7)
    assert 0x00187FF0 not in images.after(given)
    assert images.after(given, Change(Action.KEEP, (0x00187FF0,)))[0x00187FF0].value == 7


def test_a_recipes_rule_for_some_series_leaves_others() -> None:
    change = Change(Action.KEEP, ("StationName",), series=(("Modality", "mr"), ("ImageType", "*MOSAIC")))
    assert images.after(images.header(StationName="MR7"), change).StationName == "MR7"
    assert images.after(images.header(StationName="MR7", ImageType=["ORIGINAL"]), change).StationName == "REMOVED"


def test_an_interrupted_deflated_file_is_refused_and_a_whole_one_grows_no_other() -> None:
    given = images.content(images.header(), DeflatedExplicitVRLittleEndian)
    out = images.clean(given).content
    start = 144 + int.from_bytes(out[140:144], "little")
    assert images.PIXELS in zlib.decompress(out[start:], wbits=-zlib.MAX_WBITS)
    assert len(out) % 2 == 0


def test_real_series_keep_their_pixels_and_are_written_as_pydicom_reads_them(real_data: Path) -> None:
    for folder in sorted(real_data.glob("*/dicom")):
        given = next(path for path in sorted(folder.rglob("*")) if path.is_file()).read_bytes()
        before, after = dcmread(BytesIO(given)), images.after(given)
        assert after.PixelData == before.PixelData
        assert [element.tag for element in after] == sorted(element.tag for element in after)
        for element in after.iterall():
            assert element.VR != "PN" or str(element.value) in ("", after.PatientID)
