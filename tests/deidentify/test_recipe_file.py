"""A recipe changes the profile, and what it cannot mean is said with file, line and key."""

import re
from dataclasses import fields

import pytest

from rtbids.deidentify import recipe, recipe_rules
from rtbids.deidentify.profile import Action, Profile
from rtbids.errors import InputMissing, UsageFault

SEX, NAME, COMMENTS, STATION = 0x00100040, 0x00100010, 0x00104000, 0x00081010


@pytest.fixture
def read(tmp_path):
    def read(text, name="recipe.yaml"):
        path = tmp_path / name
        path.write_text(text)
        return recipe.load(path)

    return read


def profile(found, **said):
    return Profile(found.applied(), found.changes).for_file(lambda keyword: said.get(keyword, ""))


@pytest.mark.parametrize("written", ["PatientSex", '"(0010,0040)"', "(0010,0040)", '"00100040"', '"(0010, 0040)"', "0010004x"])
def test_an_element_is_named_by_keyword_or_tag(read, written):
    found = read(f"elements:\n  {written}: keep\n")
    assert profile(found).action(SEX, "CS") is Action.KEEP
    assert profile(read("")).action(SEX, "CS") is not Action.KEEP


@pytest.mark.parametrize(
    ("rule", "action"),
    [
        ("keep", Action.KEEP),
        ("remove", Action.REMOVE),
        ("empty", Action.EMPTY),
        ("dummy", Action.DUMMY),
        ("clean", Action.CLEAN),
        ("patient", Action.PATIENT),
        ("{replace: gone}", Action.REPLACE),
    ],
)
def test_every_action_has_its_word(read, rule, action):
    assert profile(read(f"elements: {{PatientComments: {rule}}}")).action(COMMENTS, "LT") is action


def test_a_value_takes_the_place_of_another(read):
    found = read('elements:\n  StationName: {replace: MR1}\n  SeriesNumber: {replace: 7}\n  PatientSex: {replace: "O"}\n')
    assert {change.tags[0]: change.value for change in found.changes} == {STATION: "MR1", 0x00200011: "7", SEX: "O"}


def test_one_element_wins_over_a_pattern_and_that_over_a_vr_wherever_they_stand(read):
    found = profile(read('elements:\n  PatientComments: clean\n  "*Comments": empty\nvr:\n  LT: remove\n'))
    assert found.action(COMMENTS, "LT") is Action.CLEAN
    assert found.action(0x00204000, "LT") is Action.EMPTY  # ImageComments
    assert found.action(0x00102000, "LO") is not Action.EMPTY
    assert found.action(0x001021B0, "LT") is Action.REMOVE  # AdditionalPatientHistory


def test_the_later_of_two_patterns_wins(read):
    assert profile(read('elements: {"*Comments": empty, "Patient*": remove}')).action(COMMENTS, "LT") is Action.REMOVE


SERIES = """
elements: {ProtocolName: remove}
series:
  - where: {SeriesDescription: "*bold*", Modality: [MR, PT]}
    elements: {ProtocolName: clean}
  - where: {SeriesDescription: "*localizer*"}
    do: skip
  - where: {SeriesNumber: 99}
    do: refuse
"""


@pytest.mark.parametrize(
    ("said", "action"),
    [
        ({"SeriesDescription": "ep2d_BOLD_task", "Modality": "MR"}, Action.CLEAN),
        ({"SeriesDescription": "ep2d_bold_task", "Modality": "PT"}, Action.CLEAN),
        ({"SeriesDescription": "ep2d_bold_task", "Modality": "CT"}, Action.REMOVE),
        ({"SeriesDescription": "t1"}, Action.REMOVE),
        ({}, Action.REMOVE),
    ],
)
def test_a_rule_may_be_for_some_series(read, said, action):
    assert profile(read(SERIES), **said).action(0x00181030, "LO") is action


@pytest.mark.parametrize(
    ("said", "verdict"),
    [
        ({"SeriesDescription": "AAHead_Localizer_32ch"}, "skip"),
        ({"SeriesDescription": "bold", "SeriesNumber": "99"}, "refuse"),
        ({"SeriesDescription": "bold", "SeriesNumber": "9"}, None),
    ],
)
def test_whole_series_may_be_skipped_or_refused(read, said, verdict):
    found = read(SERIES)
    assert found.verdict(lambda keyword: said.get(keyword, "")) == verdict


def test_private_elements_are_named_by_creator(read):
    found = profile(
        read('private:\n  SIEMENS MR HEADER:\n    "(0019,xx0A)": keep\n    "(0051,xxxx)": remove\nvr: {US: keep}\n')
    )
    assert found.change(0x0019110A, "US", "SIEMENS MR HEADER").action is Action.KEEP
    assert found.change(0x0051100C, "LO", "SIEMENS MR HEADER").action is Action.REMOVE
    assert found.change(0x0019110A, "US", "SIEMENS CSA HEADER") is None
    assert found.change(0x0019110B, "US", "SIEMENS MR HEADER") is None


def test_options_of_the_command_win_over_those_of_the_recipe(read):
    found = read("options: {patient: true, dates: removed, words: [pain, nback]}")
    options = found.applied(dates="kept", device=None)
    assert (options.patient, options.dates, options.device, options.words) == (True, "kept", False, {"pain", "nback"})


def test_toml_will_do(read):
    found = read(
        '[options]\npatient = true\n[elements]\nPatientSex = "keep"\n"(0010,4000)" = {replace = "n/a"}\n', "recipe.toml"
    )
    assert (len(found.changes), found.options) == (2, {"patient": True})


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("elments: {PatientSex: keep}", "line 1: unknown key 'elments', did you mean 'elements'?"),
        ("options:\n  patients: true", "line 2: unknown key 'options.patients', did you mean 'options.patient'?"),
        ("options:\n  dates: moved", "line 2: options.dates: expected 'shifted', 'removed' or 'kept'"),
        ("elements:\n\n  PatientSx: keep", "line 3: elements.PatientSx: no element has the keyword 'PatientSx', did you mean"),
        ("elements:\n  PatientSex: kept", "line 2: elements.PatientSex: expected keep, remove"),
        ("elements:\n  PatientSex: {replace: NO}", "line 2: elements.PatientSex: replace: found false"),
        ("elements:\n  PatientSex: {replaced: M}", "line 2: elements.PatientSex: expected keep"),
        ("elements:\n  PatientSex:", "found nothing"),
        ("elements:\n  00100040: keep", "expected a keyword such as PatientSex, or a tag in quotes"),
        ('elements:\n  "(0019,100A)": keep', "private, and its number says nothing without its creator"),
        ('elements:\n  "(0010,0011)": keep', "the standard has no element"),
        ('elements:\n  "*Nonsense": keep', "no keyword matches"),
        ("elements:\n  PatientSex: shift", "shift is for elements of VR DA, DT, and PatientSex is CS"),
        ("elements:\n  PatientSex: uid", "uid is for elements of VR UI"),
        ('elements:\n  "*Name": shift', "which *Name means too"),
        ("elements:\n  SOPInstanceUID: remove", "an image without its SOPInstanceUID cannot be sent"),
        ('elements:\n  "*UID": remove', "which *UID means too"),
        ("elements:\n  SeriesInstanceUID: keep", "is kept with all other UIDs or not at all: options: {uids: true}"),
        ("vr:\n  UI: remove", "line 2: vr.UI: an image"),
        ("vr:\n  XX: remove", "there is no VR 'XX'"),
        ("elements:\n  Rows: empty", "cannot be read or placed without its Rows"),
        ("elements:\n  StudyDate: {replace: yesterday}", "'yesterday' is no value of StudyDate (DA): a date: YYYYMMDD"),
        ("elements:\n  StationName: {replace: a name of twenty char}", "up to 16 characters"),
        ("elements:\n  PatientSex: {replace: male}", "capitals"),
        ("elements:\n  PixelData: remove", "cannot be read"),
        ("elements:\n  TransferSyntaxUID: remove", "written anew"),
        ("private:\n  ACME:\n    '(0018,xx01)': keep", "line 3: private.ACME.(0018,xx01): expected group and last two digits"),
        ("private:\n  ACME:\n    '(0019,xx01)': shift", "kept, removed or emptied"),
        ("series:\n- where: {Modality: MR}\n  do: skp", "line 3: series[0].do: expected 'skip' or 'refuse'"),
        ("series:\n- {where: {Modality: MR}, do: skip}\n- do: skip", "series[1]: expected where:"),
        ("series:\n- where: {Modality: MR}", "expected do: skip, do: refuse, or rules"),
        ("series:\n- do: skip\n  where: {Modallity: MR}", "line 3: series[0].where.Modallity: expected the keyword"),
        ("series:\n- do: skip\n  where: {Modality: {a: b}}", "line 3: series[0].where.Modality: expected a pattern"),
        ("elements:\n  PatientSex: keep\n  PatientSex: remove", "line 3: the key 'PatientSex' is in line 2 too"),
        ("elements: [PatientSex]", "line 1: elements: expected keys and values, found a list"),
        ("- PatientSex", "line 1: expected keys and values"),
    ],
)
def test_what_a_recipe_cannot_mean_is_said_with_its_line(read, text, words):
    with pytest.raises(UsageFault, match=re.escape(words)) as caught:
        read(text)
    assert "recipe.yaml" in str(caught.value)


def test_a_recipe_that_is_not_there_is_said_so(tmp_path):
    with pytest.raises(InputMissing, match="no such file"):
        recipe.load(tmp_path / "none.yaml")


def recipes_of(page):
    """Yield the YAML of a page's code blocks."""
    for block in re.findall(r"\.\. code-block:: yaml\n((?:   .*\n|\n)+)", page):
        lines = block.splitlines()
        yield "\n".join(line[3:] for line in lines if not line.startswith("   :"))


@pytest.mark.parametrize("page", ["how-to/deidentify-by-recipe", "reference/recipe"])
def test_the_recipes_in_the_documentation_are_recipes(read, repository, page):
    text = (repository / f"docs/{page}.rst").read_text()
    for number, found in enumerate(recipes_of(text)):
        assert read(found, f"{number}.yaml").changes
    assert page.startswith("reference") or list(recipes_of(text))


def test_the_reference_names_every_action_and_option(repository):
    text = (repository / "docs/reference/recipe.rst").read_text()
    assert all(f"``{word}``" in text for word in recipe_rules.ACTIONS)
    assert all(f"``{option.name}``" in text for option in fields(recipe._Options))
