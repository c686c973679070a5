"""The report tells what was done to which element, and never a value."""

import csv
import io
import json
import re
from dataclasses import replace

import pydicom
import pytest
from small_image import image, written

from rtbids.deidentify import report_page
from rtbids.deidentify.engine import Deidentifier
from rtbids.deidentify.mapping import Key, Mapping
from rtbids.deidentify.profile import Action, Change, Options, Profile
from rtbids.deidentify.report import About, Report, check
from rtbids.deidentify.weakening import of
from rtbids.errors import CannotWrite, UsageFault

SECRETS = ("Doe", "Jane", "MRN-4711", "20240229", "Mercy", "2.25.8", "1.2.3.77")
STATION, NAME = 0x00081010, 0x00100010


def person(**values):
    item = pydicom.Dataset()
    item.ReferencedSOPInstanceUID = "1.2.3.77"
    return image(
        PatientName="Doe^Jane",
        PatientID="MRN-4711",
        StudyDate="20240229",
        InstitutionName="Mercy",
        ReferencedImageSequence=[item, item],
        **values,
    )


def clean(profile, dataset):
    return Deidentifier(profile, Mapping(Key(bytes(32)))).clean(written(dataset))


@pytest.fixture
def report():
    profile = Profile()
    report = Report(About(profile, verified=True))
    for instance in ("2.25.71", "2.25.72"):
        report.written(clean(profile, person(SOPInstanceUID=instance)))
    report.written(clean(profile, person(SeriesInstanceUID="2.25.99", InstitutionAddress="Mercy lane")))
    report.left_out("refused", "its header says that there is text in its pixels")
    report.left_out("bad", "the file ends within an element")
    return report


def test_what_bids_lacks_stands_before_the_tables_and_lengths_of_groups_nowhere(report):
    one = clean(Profile(), person(SOPInstanceUID="2.25.73"))
    report.written(replace(one, done={**one.done, "(0008,0000)": Action.REMOVE, "(0008,1140)[0].(0008,0000)": Action.REMOVE}))
    assert not [row for series in report.content()["series"] for row in series["elements"] if ",0000)" in row["element"]]
    page = report_page.page(report.content())
    assert page.index("InstitutionAddress") < page.index("<h2>All series</h2>")


def with_private_blocks(first_block):
    """Return a dataset with blocks of a maker, of nobody known and of nobody, the first of them anywhere."""
    inner = pydicom.Dataset()
    inner.AccessionNumber = "A4712345"
    inner.private_block(0x0051, "SIEMENS MR HEADER", create=True).add_new(0x0F, "LO", "Mercy coil")
    dataset = person(SOPInstanceUID=f"2.25.{first_block}")
    for number in range(0x10, first_block):
        dataset.add_new(0x00190000 | number, "LO", f"PADDING {number}")
    dataset.private_block(0x0019, "SIEMENS MR HEADER", create=True).add_new(0xF0, "LO", "Mercy")
    dataset.private_block(0x0021, "Doe Jane 4711", create=True).add_new(0x01, "LO", "Mercy")
    dataset.add_new(0x00231001, "LO", "Mercy")
    dataset.ReferencedImageSequence = [inner]
    return dataset


def test_private_elements_are_named_by_their_creator_wherever_the_block_is(tmp_path):
    report = Report(About(Profile()))
    for first_block in (0x10, 0x12):
        report.written(clean(Profile(), with_private_blocks(first_block)))
    [series] = report.content()["series"]
    private = {one["element"]: one["files"] for one in series["elements"] if one["keyword"] == "private"}
    assert private == {
        "(0019,xxF0 SIEMENS MR HEADER)": 2,
        "(0021,xx01 unknown creator)": 2,
        "(0023,xx01 no creator)": 2,
        "(0008,1140)[].(0051,xx0F SIEMENS MR HEADER)": 2,
    }
    for form in ("json", "tsv", "html"):
        report.write(tmp_path / f"report.{form}")
        text = (tmp_path / f"report.{form}").read_text()
        assert "(0019,xxF0 SIEMENS MR HEADER)" in text
        assert "Doe" not in text


def test_elements_are_counted_by_series(report):
    first, second = report.content()["series"]
    done = {(one["element"], one["keyword"]): (one["action"], one["files"]) for one in first["elements"]}
    assert done["(0008,0020)", "StudyDate"] == ("shifted", 2)
    assert done["(0008,1140)[].(0008,1155)", "ReferencedSOPInstanceUID"][1] == 2  # files, not items
    assert (first["files"], second["files"]) == (2, 1)
    assert "InstitutionAddress" in second["lost_for_bids"]
    assert "InstitutionAddress" not in first["lost_for_bids"]
    assert report.content()["files"] == {"bad": 1, "refused": 1, "written": 3}


@pytest.mark.parametrize("form", ["json", "tsv", "html"])
def test_no_form_holds_a_value(report, tmp_path, form):
    path = tmp_path / f"report.{form}"
    report.write(path)
    text = path.read_text()
    assert "(0010,0010)" in text
    assert "PatientName" in text
    assert not any(secret in text for secret in SECRETS)


def test_the_forms_say_the_same(report, tmp_path):
    for form in ("json", "tsv", "html"):
        report.write(tmp_path / f"report.{form}")
    content = json.loads((tmp_path / "report.json").read_text())
    rows = list(csv.DictReader(io.StringIO((tmp_path / "report.tsv").read_text()), delimiter="\t"))
    listed = [(series["series"], one) for series in content["series"] for one in series["elements"]]
    assert [(row["series"], row["element"], row["files"]) for row in rows] == [
        (uid, one["element"], str(one["files"])) for uid, one in listed
    ]
    page = (tmp_path / "report.html").read_text()
    heads, reasons, together = 4, 2, {(one["element"], one["action"]) for _, one in listed}
    assert page.count("<tr>") == heads + reasons + len(together) + len(listed)
    assert not re.search(r"<script|https?://|<link|<img", page)


def test_a_reason_cannot_become_markup(report, tmp_path):
    report.left_out("bad", "<script>alert(1)</script>")
    report.write(tmp_path / "report.html")
    assert "<script" not in (tmp_path / "report.html").read_text()


def test_what_a_recipe_lets_through_is_said_and_marked_in_the_file():
    profile = Profile(changes=(Change(Action.KEEP, (STATION,)),))
    report = Report(About(profile, recipe_sha256="ab"))
    assert report.content()["recipe"] == {"sha256": "ab", "rules": 1, "lets_through": ["StationName"]}
    assert "113100" not in report.content()["codes"]
    dataset = pydicom.dcmread(io.BytesIO(clean(profile, person(StationName="MR7")).content))
    assert (dataset.StationName, dataset.PatientIdentityRemoved) == ("MR7", "YES")
    assert "113100" not in [item.CodeValue for item in dataset.DeidentificationMethodCodeSequence]
    assert "Basic Profile" not in dataset.DeidentificationMethod


def test_a_name_that_is_kept_is_an_identity_that_is_not_removed():
    profile = Profile(changes=(Change(Action.KEEP, (NAME,)),))
    dataset = pydicom.dcmread(io.BytesIO(clean(profile, person()).content))
    assert (str(dataset.PatientName), dataset.PatientIdentityRemoved) == ("Doe^Jane", "NO")
    assert "nor as without the patient's identity" in str(of(profile))


@pytest.mark.parametrize(
    ("options", "change", "names"),
    [
        (Options(), Change(Action.REMOVE, ("*Date",)), ()),
        (Options(), Change(Action.KEEP, (0x00280010,)), ()),
        (Options(device=True), Change(Action.KEEP, (STATION,)), ()),
        (Options(), Change(Action.KEEP, (STATION,)), ("StationName",)),
        (Options(), Change(Action.KEEP, ("StationNam*",)), ("StationName",)),
        (Options(), Change(Action.SHIFT, (0x00100030,)), ("PatientBirthDate",)),
        (Options(), Change(Action.KEEP, ("0019xx99",), creator="ACME"), ("(0019,xx99) of ACME",)),
        (Options(), Change(Action.KEEP, (STATION,), (("Modality", "MR"),)), ("StationName",)),
    ],
)
def test_rules_that_let_more_through_are_told_from_others(options, change, names):
    assert of(Profile(options, (change,))).names == names


def test_a_rule_for_other_series_leaves_a_files_marks_alone():
    profile = Profile(changes=(Change(Action.KEEP, (STATION,), (("Modality", "CT"),)),))
    dataset = pydicom.dcmread(io.BytesIO(clean(profile, person(Modality="MR")).content))
    assert "113100" in [item.CodeValue for item in dataset.DeidentificationMethodCodeSequence]


@pytest.mark.parametrize(
    ("options", "changes", "lost"),
    [
        (Options(), (), False),
        (Options(private=False), (), True),
        (Options(), (Change(Action.REMOVE, ("0029xx10",), creator="SIEMENS CSA HEADER"),), True),
    ],
)
def test_private_elements_that_fmri_needs_and_that_went_are_named(options, changes, lost):
    facts = Report(About(Profile(options, changes))).content()["private_facts_lost"]
    assert ("SliceTiming" in facts) is lost


def test_a_name_for_a_report_is_looked_at_before_any_work(tmp_path):
    (tmp_path / "there.json").write_text("{}")
    with pytest.raises(UsageFault, match=r"ends with \.json, \.tsv or \.html"):
        check(tmp_path / "report.pdf", overwrite=False)
    with pytest.raises(CannotWrite, match="no such folder"):
        check(tmp_path / "none/report.json", overwrite=False)
    with pytest.raises(CannotWrite, match="there already"):
        check(tmp_path / "there.json", overwrite=False)
    check(tmp_path / "there.json", overwrite=True)
