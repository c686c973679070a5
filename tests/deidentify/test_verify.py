"""What was taken out is looked for in the bytes that would be written, in every spelling, and found nowhere by chance."""

from __future__ import annotations

import gzip
import io
import zlib
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pydicom
import pytest
from pydicom.dataset import Dataset
from pydicom.uid import DeflatedExplicitVRLittleEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian
from small_image import image, written

from rtbids.deidentify.clean import Clean
from rtbids.deidentify.engine import Deidentifier
from rtbids.deidentify.mapping import Key, Mapping
from rtbids.deidentify.profile import Action, Change, Profile
from rtbids.deidentify.verify import Survived, check, survivors

REMOVED = {"Doe^Jane Anne", "MRN-4711", "20240229", "St. Mary's Hospital"}


def with_private(value: bytes, vr: str = "OB") -> bytes:
    dataset = image()
    dataset.private_block(0x0029, "ACME 1.0", create=True).add_new(0x10, vr, value)
    return written(dataset)


@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, ImplicitVRLittleEndian, DeflatedExplicitVRLittleEndian])
@pytest.mark.parametrize(
    ("keyword", "value", "tag"),
    [
        ("PatientComments", "this is Doe^Jane Anne", "(0010,4000)"),
        ("PatientComments", "this is JANE, of ward 7", "(0010,4000)"),
        ("PatientComments", "see mrn-4711", "(0010,4000)"),
        ("ImageComments", "born 29.02.2024", "(0020,4000)"),
        ("ImageComments", "2024-02-29 is the day", "(0020,4000)"),
        ("SeriesDescription", "bold_20240229_1", "(0008,103E)"),
        ("SoftwareVersions", "syngo", None),
        ("PatientComments", "Janet and the does of the forest", None),
    ],
)
def test_a_value_is_found_wherever_it_is_spelt(syntax: str, keyword: str, value: str, tag: str | None) -> None:
    content = written(image(syntax, **{keyword: value}))
    assert survivors(content, REMOVED) == ((tag,) if tag else ())


def test_a_value_is_found_in_items_of_sequences() -> None:
    item = Dataset()
    item.ScheduledProcedureStepDescription = "for Jane"
    inner = Dataset()
    inner.RequestAttributesSequence = [Dataset(), item]
    found = survivors(written(image(ReferencedStudySequence=[inner])), REMOVED)
    assert found == ("(0008,1110)[0].(0040,0275)[1].(0040,0007)",)


@pytest.mark.parametrize("pack", [gzip.compress, zlib.compress, lambda text: gzip.compress(zlib.compress(text)), bytes])
def test_a_value_is_found_in_what_is_compressed(pack: Callable[[bytes], bytes]) -> None:
    assert survivors(with_private(b"\1\2" + pack(b"protocol of MRN-4711, 1.5 T") + b"\3\4"), REMOVED) == ("(0029,1010)",)
    assert survivors(with_private(b"\1\2" + pack(b"protocol of MRN-4712, 1.5 T") + b"\3\4"), REMOVED) == ()


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be", "utf-8"])
def test_a_value_is_found_in_other_widths_of_text(encoding: str) -> None:
    assert survivors(with_private("for Mrn-4711 only".encode(encoding)), REMOVED) == ("(0029,1010)",)


@pytest.mark.parametrize(
    ("encoding", "name"),
    [
        ("latin-1", "Äneas^Jürgen"),
        ("utf-8", "Äneas^Jürgen"),
        ("iso8859-5", "Люксембург^Ива"),
        ("utf-8", "山田^太郎ノ介"),
        ("gb18030", "王小东先生^小东"),
        ("shift_jis", "ﾔﾏﾀﾞ^ﾀﾛｳ"),
    ],
)
def test_a_value_is_found_in_any_character_set(encoding: str, name: str) -> None:
    assert survivors(with_private(b"x y"), {name}) == ()
    assert survivors(with_private(b"x " + name.encode(encoding) + b" "), {name}) == ("(0029,1010)",)


def test_what_is_written_in_pixels_is_found() -> None:
    assert survivors(written(image(PixelData=bytes(4000) + b"MRN-4711" + bytes(4184))), REMOVED) == ("(7FE0,0010)",)


@pytest.mark.parametrize(("at", "where"), [(0, "bytes outside of its elements")])
def test_what_is_in_no_element_is_found(at: int, where: str) -> None:
    content = bytearray(written(image()))
    content[at : at + 8] = b"MRN-4711"
    assert survivors(bytes(content), REMOVED) == (where,)


@pytest.mark.parametrize(
    ("removed", "keyword", "value"),
    [
        ("M", "PatientComments", "M"),
        ("NO", "PatientComments", "NO"),
        ("1", "SeriesNumber", "1"),
        ("70.5", "ImageComments", "70.5"),
        ("1234", "ImageComments", "1234"),
        ("12345", "ImagePositionPatient", [12345.6, 112345, 0]),
        ("19991231", "ImagePositionPatient", [0.19991231, -3.19991231, 0]),
        ("HEAD", "BodyPartExamined", "HEAD"),
        ("Head^Joe", "BodyPartExamined", "HEAD"),
        ("SIEMENS", "Manufacturer", "SIEMENS"),
        ("Prisma", "ManufacturerModelName", "Prisma"),
        ("Ann^Lee", "ImageComments", "annual sleep"),
    ],
)
def test_what_is_short_or_said_by_the_standard_is_no_find(removed: str, keyword: str, value: object) -> None:
    assert survivors(written(image(**{keyword: value})), {removed}) == ()


@pytest.mark.parametrize(
    ("keyword", "value", "tag"),
    [
        ("Manufacturer", "SIEMENS Quillberg", "(0008,0070)"),
        ("ManufacturerModelName", "Quillberg", "(0008,1090)"),
        ("SoftwareVersions", ["syngo MR B17", "quillberg"], "(0018,1020)"),
        ("SoftwareVersions", "B17 17.03.1941", "(0018,1020)"),
        ("BodyPartExamined", "QUILLBERG", "(0018,0015)"),
        ("ImageType", ["ORIGINAL", "PRIMARY", "HEAD_QUILLBERG"], "(0008,0008)"),
        ("ScanOptions", ["PFP", "ROSE"], "(0018,0022)"),
        ("ScanOptions", "19410317", "(0018,0022)"),
    ],
)
def test_a_value_is_found_in_codes_and_in_what_makers_call_their_scanners(keyword: str, value: object, tag: str) -> None:
    content = written(image(**{keyword: value}))
    assert survivors(content, {"Quillberg", "19410317", "Rose"}) == (tag,)
    assert survivors(content, {"Other"}) == ()


def test_a_code_beside_which_another_went_is_no_find() -> None:
    dataset = image(PatientName="Quillon^Jane", ImageType=["ORIGINAL", "PRIMARY", "QXCODE", "QUILLON"])
    dataset.SoftwareVersions = ["Qxware", "Quillon 3"]
    check(deidentified(dataset))


def test_a_date_among_the_digits_of_a_new_uid_is_no_find() -> None:
    uid = "2.25.119991231" + "7" * 25
    assert survivors(written(image(FrameOfReferenceUID=uid)), {"19991231"}) == ()
    assert survivors(written(image(FrameOfReferenceUID="1.3.12.2.19991231.4")), {"19991231"}) == ("(0020,0052)",)


def test_a_number_by_itself_is_a_find() -> None:
    assert survivors(written(image(ImageComments="patient 12345, left")), {"12345"}) == ("(0020,4000)",)


def test_what_only_private_elements_held_is_no_find_where_a_kept_element_says_just_that() -> None:
    content = written(image(SequenceName="*epfid2d1_64"))
    assert survivors(content, set(), {"*epfid2d1_64"}) == ()
    assert survivors(content, {"*epfid2d1_64"}) == ("(0018,0024)",)
    assert survivors(written(image(ImageComments="with *epfid2d1_64")), set(), {"*epfid2d1_64"}) == ("(0020,4000)",)


def test_technical_words_may_stand_in_two_private_blocks_but_names_and_dates_may_not() -> None:
    assert survivors(with_private(b"coils T:HEA;HEP on"), set(), {"T:HEA;HEP"}) == ()
    assert survivors(with_private(b"of Doe^Jane on"), set(), {"Doe^Jane"}) == ("(0029,1010)",)
    assert survivors(with_private(b"on 20240229, "), set(), {"20240229"}) == ("(0029,1010)",)


def test_a_part_of_a_name_that_is_a_word_of_protocols_is_no_find() -> None:
    content = written(image(PerformedProcedureStepDescription="Research"))
    assert survivors(content, {"Research^Volunteer"}) == ()


@pytest.mark.parametrize("sentence", ["ep2d HeadMatrix Weyland^Yutani bold", "HeadMatrix of Weyland^Yutani"])
def test_a_sentence_with_a_caret_is_not_all_names(sentence: str) -> None:
    kept = {"ReceiveCoilName": "HeadMatrix"}
    assert survivors(written(image(**kept)), {sentence}, names=()) == ()
    assert survivors(written(image(**kept, SequenceName="Yutani")), {sentence}, names=()) == ("(0018,0024)",)
    assert survivors(written(image(**kept)), {"HeadMatrix Weyland^Yutani"}, names={"HeadMatrix Weyland^Yutani"}) == (
        "(0018,1250)",
    )
    check(replace(deidentified(image(ImageComments=sentence)), content=written(image(**kept))))
    leaky = replace(deidentified(image(PatientName="HeadMatrix Weyland^Yutani")), content=written(image(**kept)))
    with pytest.raises(Survived, match=r"in \(0018,1250\)$"):
        check(leaky)


def test_the_digits_of_a_new_uid_are_no_date_wherever_they_stand() -> None:
    """Of new UIDs, one in a thousand holds some day of a patient's by chance."""
    uid = "2.25.119991231" + "7" * 25
    dataset = image(
        SOPInstanceUID=uid, StudyInstanceUID=uid, SourceImageSequence=[Dataset()], RelatedFrameOfReferenceUID=[uid, uid]
    )
    dataset.SourceImageSequence[0].ReferencedSOPInstanceUID = uid
    dataset.private_block(0x0029, "ACME 1.0", create=True).add_new(0x10, "OB", f"of {uid} ".encode())
    assert survivors(written(dataset), {"19991231"}, {"19991231"}) == ()


def test_bytes_that_were_removed_are_found_as_they_are() -> None:
    assert survivors(with_private(b"\1\2\3\x9a\xfe\0\7\x88\1\2"), {b"\3\x9a\xfe\0\7\x88\1\2"}) == ("(0029,1010)",)
    assert survivors(with_private(bytes(64)), {bytes(32)}) == ()


def deidentified(dataset: Dataset, *changes: Change) -> Clean:
    return Deidentifier(Profile(changes=changes), Mapping(Key(bytes(32)))).clean(written(dataset))


def test_what_the_engine_writes_passes() -> None:
    dataset = image(PatientName="Doe^Jane", PatientID="MRN-4711", StudyDate="20240229", ImageComments="Jane, MRN-4711")
    check(deidentified(dataset))


def test_what_a_faulty_rule_lets_through_is_named_without_its_value() -> None:
    clean = deidentified(image(PatientName="Doe^Jane", PatientID="MRN-4711"))
    leaky = replace(clean, content=written(image(PatientComments="of MRN-4711")))
    with pytest.raises(Survived, match=r"still to be read in \(0010,4000\)$") as caught:
        check(leaky)
    assert "4711" not in f"{caught.value} {caught.value.hint}"


def test_what_a_recipe_keeps_may_be_a_value_that_went_but_not_hold_one_among_others() -> None:
    keeps = Change(Action.KEEP, (0x00081010,))
    clean = deidentified(image(StationName="MRC35131", PerformedStationName="MRC35131"), keeps)
    leaky = replace(clean, content=written(image(StationName="MRC35131")))
    check(leaky, Profile(changes=(keeps,)))
    with pytest.raises(Survived, match=r"in \(0008,1010\)$"):
        check(leaky)
    with pytest.raises(Survived, match=r"in \(0008,1010\)$"):
        check(replace(clean, content=written(image(StationName="MRC35131 b"))), Profile(changes=(keeps,)))


def test_words_that_protocols_are_named_by_name_nobody() -> None:
    dataset = image(StudyDescription="rest fMRI", SeriesDescription="rest fMRI")
    clean = deidentified(dataset)
    assert "rest fMRI" in clean.removed
    check(clean)
    assert pydicom.dcmread(io.BytesIO(clean.content)).SeriesDescription == "rest fMRI"


def test_a_value_of_a_recipe_may_repeat_what_it_stands_for() -> None:
    check(deidentified(image(PatientID="MRN-4711"), Change(Action.REPLACE, (0x00204000,), value="of MRN-4711")))


def test_a_stand_in_that_equals_the_original_is_no_find() -> None:
    check(deidentified(image(PatientName="ANONYMIZED", PatientID="REMOVED", StationName="REMOVED")))


def one_of_each(folder: Path) -> Iterator[Path]:
    for series in sorted(path for path in folder.iterdir() if path.is_dir()):
        files = (path for path in sorted(series.rglob("*")) if path.is_file() and not path.name.startswith("."))
        yield from [path for path in files if path.open("rb").read(132)[128:] == b"DICM"][:1]


@pytest.mark.slow
def test_real_series_pass_without_a_false_alarm(real_data: Path) -> None:
    engine = Deidentifier(Profile(), Mapping(Key(bytes(32))))
    looked_at = 0
    for path in one_of_each(real_data):
        try:
            clean = engine.clean(path.read_bytes())
        except pydicom.errors.InvalidDicomError:
            continue
        except Exception as error:
            if "BadData" in [kind.__name__ for kind in type(error).__mro__]:
                continue
            raise
        looked_at += 1
        check(clean)
    assert looked_at > 10
