"""BIDS entities and file names."""

from __future__ import annotations

from pathlib import PurePosixPath

import pytest
from bids.layout import parse_file_entities
from hypothesis import given
from hypothesis import strategies as st

from rtbids.bids import entities
from rtbids.errors import UsageFault

LABELS = st.text("abcXYZ019", min_size=1, max_size=8)
ENTITIES = st.dictionaries(st.sampled_from(sorted(entities.KEYS)), LABELS, min_size=1)


@pytest.mark.parametrize(("given_label", "label"), [("01", "01"), ("sub-01", "01"), ("sub01", "sub01"), ("sub-sub", "sub")])
def test_a_label_may_come_with_its_prefix(given_label: str, label: str) -> None:
    assert entities.label("subject", given_label) == label


@pytest.mark.parametrize("wrong", ["", "sub-", "a b", "a-b", "a_b", "../x", "é", "01\n", "ses-01"])
def test_a_label_has_only_letters_and_digits(wrong: str) -> None:
    with pytest.raises(UsageFault, match=r"subject: a BIDS label has only letters and digits, found"):
        entities.label("subject", wrong)


@pytest.mark.parametrize("wrong", ["abc", "run-1a", "1a"])
def test_a_run_is_a_number(wrong: str) -> None:
    with pytest.raises(UsageFault, match="run: expected a whole number, found"):
        entities.label("run", wrong)


@pytest.mark.parametrize(("text", "label"), [("ep2d_bold nf-1", "ep2dboldnf1"), ("Mätz", "Mtz"), ("___", "")])
def test_a_free_text_is_cleaned_to_letters_and_digits(text: str, label: str) -> None:
    assert entities.clean_label(text) == label


def test_entities_stand_in_the_order_of_the_standard() -> None:
    given_order = {"run": "1", "echo": "2", "acquisition": "hi", "task": "nf", "session": "a", "subject": "01"}
    assert entities.stem(given_order) == "sub-01_ses-a_task-nf_acq-hi_run-1_echo-2"


def test_an_empty_label_is_left_out() -> None:
    assert entities.stem({"subject": "01", "session": "", "task": "nf"}) == "sub-01_task-nf"


@pytest.mark.parametrize(
    ("given_entities", "path"),
    [
        ({"subject": "01", "task": "nf"}, "sub-01/func/sub-01_task-nf_bold.nii.gz"),
        ({"subject": "01", "session": "a", "task": "nf"}, "sub-01/ses-a/func/sub-01_ses-a_task-nf_bold.nii.gz"),
    ],
)
def test_a_file_stands_in_the_folder_of_its_subject_and_session(given_entities: dict[str, str], path: str) -> None:
    assert entities.path(given_entities, "bold", ".nii.gz") == PurePosixPath(path)


@given(ENTITIES)
def test_a_name_is_read_back_as_it_was_made(made: dict[str, str]) -> None:
    assert entities.parse(entities.stem(made) + "_bold.nii.gz") == (made, "bold", ".nii.gz")


def test_a_name_is_read_as_pybids_reads_it() -> None:
    name = "sub-01/ses-a/func/sub-01_ses-a_task-nf_acq-hi_dir-AP_run-02_echo-1_part-mag_bold.nii.gz"
    theirs = parse_file_entities("/" + name)
    ours, suffix, extension = entities.parse(name)
    assert (suffix, extension) == (theirs["suffix"], theirs["extension"])
    assert set(ours) == set(theirs) - {"suffix", "extension", "datatype"}
    assert all(entities.same_run(str(theirs[entity]), label) for entity, label in ours.items())


@pytest.mark.parametrize(
    ("name", "parsed"),
    [
        ("participants.tsv", ({}, "participants", ".tsv")),
        ("sub-01_vol-00012_bold.nii", ({"subject": "01"}, "bold", ".nii")),
        ("sub-_task_bold.json", ({}, "bold", ".json")),
        ("README", ({}, "README", "")),
    ],
)
def test_what_is_no_entity_is_left_out(name: str, parsed: tuple[dict[str, str], str, str]) -> None:
    assert entities.parse(name) == parsed


@pytest.mark.parametrize(
    ("wanted", "found", "same"),
    [
        ("1", "01", True),
        ("01", "1", True),
        ("2", "01", False),
        ("a", "a", True),
        ("a", "b", False),
        ("1", "1a", False),
        ("²", "2", False),
    ],
)
def test_run_labels_are_compared_as_numbers(wanted: str, found: str, same: bool) -> None:
    assert entities.same_run(wanted, found) is same


@pytest.mark.parametrize(
    ("protocol", "task"),
    [
        ("func_task-nf_run-1", "nf"),
        ("task-rest", "rest"),
        ("ep2d bold TR2", "ep2dboldTR2"),
        ("multitask-a", "multitaska"),
        ("--", "rest"),
    ],
)
def test_the_task_is_the_one_that_the_protocol_names(protocol, task):
    assert entities.task_label(protocol) == task
