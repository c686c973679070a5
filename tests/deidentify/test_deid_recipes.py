"""Recipes of deid are read as recipes of ours, and what has no counterpart is named line by line."""

import importlib.util
import textwrap
from pathlib import Path

import pytest
import yaml

from rtbids.deidentify import deid_recipe, recipe
from rtbids.errors import InputMissing, UsageFault

HEAD = "FORMAT dicom\n\n%header\n\n"


def translated(body, head=HEAD):
    return deid_recipe.translate(head + textwrap.dedent(body), "deid.dicom")


@pytest.mark.parametrize(
    ("line", "elements"),
    [
        ("KEEP PatientSex", {"PatientSex": "keep"}),
        ("KEEP patientsex", {"PatientSex": "keep"}),
        ("BLANK (0010,4000)", {"PatientComments": "empty"}),
        ("REMOVE 00104000", {"PatientComments": "remove"}),
        ("JITTER StudyDate 31", {"StudyDate": "shift"}),
        ("JITTER StudyDate var:jitter", {"StudyDate": "shift"}),
        ("REPLACE PatientID var:entity_id", {"PatientID": "patient"}),
        ("REPLACE StationName MR1 # the old scanner", {"StationName": {"replace": "MR1"}}),
        ("ADD StudyDate var:item_timestamp", {"StudyDate": "shift"}),
        ("REPLACE SOPInstanceUID deid_func:pydicom_uuid stable_remapping=true", {"SOPInstanceUID": "uid"}),
        ("REMOVE startswith:IssueDate", {"IssueDate*": "remove"}),
        ("REMOVE contains:Trial", {"*Trial*": "remove"}),
        ("REMOVE contains:trial", {"*Trial*": "remove"}),
        ("REMOVE endswith:Date", {"*Date": "remove"}),
        ("ADD PatientIdentityRemoved YES", {}),
        ("ADD AccessionNumber var:item_id", {}),
    ],
)
def test_a_line_has_its_counterpart(line, elements):
    translation = translated(line)
    assert (translation.mapping.get("elements", {}), translation.untranslated) == (elements, ())


def test_private_elements_keep_their_creator():
    translation = translated('KEEP (0033,"MITRA OBJECT UTF8 ATTRIBUTES 1.0",1E)')
    assert translation.mapping == {"private": {"MITRA OBJECT UTF8 ATTRIBUTES 1.0": {"(0033,xx1E)": "keep"}}}


def test_lists_of_fields_are_looked_up_wherever_they_stand():
    translation = translated("REMOVE fields:who\n%fields who\nFIELD PatientName\nFIELD contains:Trial\n")
    assert translation.mapping["elements"] == {"*Trial*": "remove", "PatientName": "remove"}


def test_keep_wins_over_whatever_else_is_said_as_in_deid():
    elements = translated("KEEP IssueDateOfImagingServiceRequest\nREMOVE IssueDateOfImagingServiceRequest\n").mapping[
        "elements"
    ]
    assert elements == {"IssueDateOfImagingServiceRequest": "keep"}
    elements = translated("KEEP startswith:Clinical\nREMOVE ClinicalTrialSiteName\nREMOVE contains:Trial").mapping["elements"]
    assert elements == {"*Trial*": "remove", "Clinical*": "keep"}
    assert list(elements) == ["*Trial*", "Clinical*"]  # of two patterns the later wins


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("REMOVE contains:UID", "without its SOPClassUID, which *UID* means too; the profile gives UIDs new values"),
        ("REMOVE endswith:Time", "without its RepetitionTime, which *Time means too"),
        ("REMOVE SOPInstanceUID", "an image without its SOPInstanceUID cannot be sent"),
        ("REMOVE ALL", "all elements at once"),
        ("REMOVE except:Manufacturer", "all elements but some"),
        ("REMOVE ALL func:is_name", "needs a function"),
        ("REPLACE PatientID func:generate", "a function of somebody's program"),
        ("REPLACE PatientID var:mine", "'mine' is set by a program"),
        ("REPLACE PatientID deid_func:suffix_uuid", "a function of somebody's program"),
        ("REPLACE PatientID", "no value is given"),
        ("JITTER PatientSex 3", "shift is for elements of VR DA, DT"),
        ("REMOVE jitter", "no element has this name"),
        ("REMOVE values:names", "lists of values do not map"),
        ("REMOVE fields:none", "there is no list"),
        ("REMOVE RequestAttributesSequence__ScheduledProcedureStepID", "not named by path"),
        ("KEEP (0019,100A)", "is named with its creator"),
        ("REMOVE select:VR:QQ", "no public element is meant"),
        ("REMOVE contains:(", "no regular expression"),
        ("SCRUB PatientName", "expected one of KEEP"),
        ("REMOVE", "no field is named"),
    ],
)
def test_a_line_without_a_counterpart_is_named_with_the_reason(line, why):
    (untranslated,) = translated(line).untranslated
    assert why in untranslated.why
    assert (untranslated.line, untranslated.text) == (5, line)


def test_a_blacklist_refuses_series():
    translation = translated(
        """
        LABEL not for us # by a colleague
          contains Modality RF|XA
          + equals Manufacturer ACME
        LABEL feet
          contains StudyDescription FOOT || contains BodyPartExamined FOOT
        """,
        "FORMAT dicom\n%filter blacklist\n",
    )
    assert translation.untranslated == ()
    assert translation.mapping["series"] == [
        {"where": {"Modality": ["*RF*", "*XA*"], "Manufacturer": ["ACME"]}, "do": "refuse"},
        {"where": {"StudyDescription": ["*FOOT*"]}, "do": "refuse"},
        {"where": {"BodyPartExamined": ["*FOOT*"]}, "do": "refuse"},
    ]


@pytest.mark.parametrize(
    ("section", "members", "why"),
    [
        ("graylist", "contains Modality US\n  coordinates 0,0,512,121", "pixels are not painted over"),
        ("whitelist", "contains Modality MR", "lets images pass"),
        ("blacklist", "missing ImageType", "missing cannot be said"),
        ("blacklist", "notcontains Modality MR", "notcontains cannot be said"),
        ("blacklist", "contains Modalty MR", "no element has the keyword"),
        ("blacklist", "contains Modality ^M[RT]$", "a regular expression"),
        (
            "blacklist",
            "contains Modality MR || contains Modality CT + contains BodyPartExamined FOOT",
            "'or' followed by 'and'",
        ),
        ("blacklist", "contains ImageType A + contains ImageType B", "two conditions"),
        ("blacklist", "", "no condition"),
    ],
)
def test_a_filter_without_a_counterpart_is_named(section, members, why):
    (untranslated,) = translated(f"LABEL one\n  {members}\n", f"FORMAT dicom\n%filter {section}\n").untranslated
    assert why in untranslated.why


def test_what_is_printed_can_be_read_again(tmp_path):
    translation = translated(
        "KEEP PatientSex\nREMOVE contains:Trial\nREPLACE StationName NO\nREMOVE contains:UID\nREMOVE jitter"
    )
    path = tmp_path / "ours.yaml"
    path.write_text(translation.text())
    assert yaml.safe_load(translation.text()) == translation.mapping
    assert recipe.load(path) == recipe.read(translation.mapping, path)
    assert "# not translated, line 8: REMOVE contains:UID: " in translation.text()


@pytest.fixture
def file(tmp_path):
    def file(text):
        path = tmp_path / "deid.dicom"
        path.write_text(text)
        return path

    return file


def test_lines_without_a_counterpart_refuse_the_recipe_unless_told_otherwise(file):
    path = file(HEAD + "KEEP PatientSex\nREMOVE contains:UID\nREPLACE PatientID func:mine\n")
    with pytest.raises(UsageFault, match=r"2 lines cannot be translated:\n  line") as caught:
        deid_recipe.load(path)
    assert "line 6: REMOVE contains:UID" in str(caught.value)
    assert "line 7: REPLACE PatientID func:mine" in str(caught.value)
    assert len(deid_recipe.load(path, partly=True).changes) == 1


def test_one_recipe_is_told_from_the_other(file):
    assert deid_recipe.is_deid(file("# ours\n\nFORMAT dicom\n%header\n"))
    assert deid_recipe.is_deid(file("%header\nREMOVE PatientName\n"))
    assert not deid_recipe.is_deid(file("elements: {PatientSex: keep}\n"))
    assert not deid_recipe.is_deid(file(""))
    with pytest.raises(InputMissing, match="no such file"):
        deid_recipe.is_deid(Path("none"))


@pytest.mark.parametrize(
    ("text", "words"), [("FORMAT nifti\n", "line 1: expected FORMAT dicom"), ("%head\nREMOVE A\n", "line 1: expected %header")]
)
def test_what_is_no_recipe_of_deid_is_refused_with_its_line(file, text, words):
    with pytest.raises(UsageFault, match=words):
        deid_recipe.load(file(text))


INSTALLED = importlib.util.find_spec("deid")
SHIPPED = Path(*INSTALLED.submodule_search_locations, "data") if INSTALLED else Path("none")
with_deid = pytest.mark.skipif(not INSTALLED, reason="the package deid is not installed: its own recipes are not looked at")


@with_deid
@pytest.mark.parametrize("path", sorted(SHIPPED.glob("deid.dicom*")), ids=lambda path: path.name)
def test_of_the_recipes_that_deid_ships_every_line_is_translated_or_named(path):
    translation = deid_recipe.translate(path.read_text(), str(path))
    assert recipe.read(translation.mapping, path).changes or translation.mapping.get("series")
    named = {one.line: one.why for one in translation.untranslated}
    for number, line in enumerate(path.read_text().splitlines(), 1):
        if line.strip() in ("REMOVE contains:UID", "REMOVE endswith:Time", "REMOVE endswith:ID"):
            assert "an image cannot be" in named[number]
        if line.strip().startswith(("coordinates", "ctpcoordinates", "keepcoordinates")):
            assert "pixels are not painted over" in named[number]


@with_deid
def test_what_deid_itself_reads_in_its_recipe_is_what_we_read():
    """Its own parser, on the actions of its default recipe: each is either ours or named."""
    from deid.config import DeidRecipe

    path = SHIPPED / "deid.dicom"
    theirs = [(action["action"], action["field"]) for action in DeidRecipe(str(path)).deid["header"]]
    translation = deid_recipe.translate(path.read_text(), str(path))
    named = {tuple(one.text.split()[:2]) for one in translation.untranslated}
    elements = {key.lower() for key in translation.mapping["elements"]}
    patterns = {"contains": "*{}*", "startswith": "{}*", "endswith": "*{}"}
    own = {"accessionnumber", "patientidentityremoved"}
    for action, field in theirs:
        kind, colon, text = field.partition(":")
        key = patterns[kind].format(text).lower() if colon else field.lower()
        assert (action, field) in named or key in elements | own, (action, field)
