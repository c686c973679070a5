"""The runs of a data set and its description."""

from __future__ import annotations

from pathlib import Path

import pytest

from rtbids.bids import dataset, sidecar
from rtbids.errors import InputMissing, NotBids

FILES = [
    "sub-01/func/sub-01_task-nf_run-1_bold.nii.gz",
    "sub-01/func/sub-01_task-nf_run-02_bold.nii",
    "sub-01/func/sub-01_task-nf_run-02_events.tsv",
    "sub-01/func/sub-01_task-nf_run-02_sbref.nii",
    "sub-01/anat/sub-01_T1w.nii.gz",
    "sub-02/ses-a/func/sub-02_ses-a_task-rest_bold.nii.gz",
    "derivatives/other/sub-01/func/sub-01_task-nf_run-1_bold.nii.gz",
]


@pytest.fixture
def study(tmp_path: Path) -> Path:
    for name in FILES:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / dataset.DESCRIPTION).write_text(sidecar.dumps(dataset.description("A study", "0.1.0")))
    return tmp_path


def names(found: list[dataset.Run]) -> list[str]:
    return [run.file.name for run in found]


def test_runs_are_the_bold_files_of_the_raw_data_in_order_of_path(study: Path) -> None:
    assert names(dataset.runs(study)) == [
        "sub-01_task-nf_run-02_bold.nii",
        "sub-01_task-nf_run-1_bold.nii.gz",
        "sub-02_ses-a_task-rest_bold.nii.gz",
    ]


def test_a_run_keeps_its_labels_as_written(study: Path) -> None:
    (run,) = dataset.runs(study, {"run": "01"})
    assert run == dataset.Run(study, study / FILES[0], {"subject": "01", "task": "nf", "run": "1"})


@pytest.mark.parametrize(
    ("filters", "count"),
    [
        ({}, 3),
        ({"subject": "01"}, 2),
        ({"session": "a"}, 1),
        ({"subject": "01", "run": "2"}, 1),
        ({"subject": "1"}, 0),
        ({"echo": "1"}, 0),
    ],
)
def test_filters_pick_runs(study: Path, filters: dict[str, str], count: int) -> None:
    assert len(dataset.runs(study, filters)) == count


def test_a_run_that_is_growing_and_finished_is_listed_once_as_finished(study: Path) -> None:
    (study / FILES[1]).with_suffix(".nii.gz").touch()
    assert names(dataset.runs(study, {"run": "2"})) == ["sub-01_task-nf_run-02_bold.nii.gz"]


def test_a_folder_that_is_not_there_is_input_missing(tmp_path: Path) -> None:
    with pytest.raises(InputMissing, match="nowhere: no such folder"):
        dataset.runs(tmp_path / "nowhere")


def test_the_root_of_a_file_is_the_nearest_folder_with_a_description(study: Path) -> None:
    assert dataset.root_of(study / FILES[0]) == study.resolve()


def test_a_file_outside_any_data_set_is_not_bids(tmp_path: Path) -> None:
    with pytest.raises(NotBids, match=r"x.nii: no dataset_description.json in any folder above"):
        dataset.root_of(tmp_path / "x.nii")


def test_a_folder_with_a_description_is_a_data_set(study: Path) -> None:
    assert dataset.is_dataset(study)
    assert not dataset.is_dataset(study / "sub-01")


def test_descriptions_say_what_kind_of_data_set_it_is_and_what_made_it() -> None:
    raw, derivative = dataset.description("A", "1.2"), dataset.derivative_description("B", "1.2")
    assert (raw["Name"], raw["DatasetType"], raw["BIDSVersion"]) == ("A", "raw", "1.10.0")
    assert (derivative["Name"], derivative["DatasetType"]) == ("B", "derivative")
    assert raw["GeneratedBy"] == derivative["GeneratedBy"] == [{"Name": "rtbids", "Version": "1.2"}]


def test_runs_differ_in_nothing_but_the_run_label() -> None:
    one = {"subject": "01", "task": "nf", "run": "01"}
    assert dataset.same_but_run(one, {**one, "run": "02"})
    assert dataset.same_but_run(one, {"subject": "01", "task": "nf"})
    assert not dataset.same_but_run(one, {**one, "task": "rest"})
