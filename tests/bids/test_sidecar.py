"""JSON sidecars and the inheritance principle."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from rtbids.bids import sidecar
from rtbids.errors import BadData


@pytest.fixture
def study(tmp_path: Path) -> Path:
    """A data set whose sidecars stand on every level."""
    (tmp_path / "sub-01" / "ses-a" / "func").mkdir(parents=True)
    for name, fields in {
        "task-nf_bold.json": {"RepetitionTime": 1, "EchoTime": 0.03, "from": "root"},
        "task-other_bold.json": {"RepetitionTime": 9},
        "bold.json": {"Manufacturer": "Siemens", "EchoTime": 0.02},
        "sub-01/sub-01_task-nf_bold.json": {"RepetitionTime": 2, "from": "subject"},
        "sub-01/ses-a/func/sub-01_ses-a_task-nf_run-01_bold.json": {"from": "run"},
        "sub-01/ses-a/func/sub-01_ses-a_task-nf_run-02_bold.json": {"from": "another run"},
        "sub-01/ses-a/func/sub-01_ses-a_task-nf_run-01_events.json": {"from": "events"},
        "sub-01/ses-a/func/sub-01_ses-a_task-nf_run-01_sbref_bold.json.bak": {"from": "nowhere"},
    }.items():
        (tmp_path / name).write_text(json.dumps(fields))
    return tmp_path


RUN = Path("sub-01/ses-a/func/sub-01_ses-a_task-nf_run-01_bold.nii.gz")


def test_nearer_sidecars_override_farther_ones(study: Path) -> None:
    assert sidecar.inherited(study, study / RUN, "bold") == {
        "Manufacturer": "Siemens",
        "EchoTime": 0.03,
        "RepetitionTime": 2,
        "from": "run",
    }


def test_companions_come_from_the_farthest_to_the_nearest(study: Path) -> None:
    found = [str(path.relative_to(study)) for path in sidecar.companions(study, study / RUN, "bold", ".json")]
    assert found == [
        "bold.json",
        "task-nf_bold.json",
        "sub-01/sub-01_task-nf_bold.json",
        "sub-01/ses-a/func/sub-01_ses-a_task-nf_run-01_bold.json",
    ]


def test_a_run_without_sidecars_has_no_fields(tmp_path: Path) -> None:
    assert sidecar.inherited(tmp_path, tmp_path / RUN, "bold") == {}


def test_a_sidecar_is_read_back_as_it_was_written(tmp_path: Path) -> None:
    fields = {"RepetitionTime": 1.97, "InstitutionName": "Médecine", "SliceTiming": [0, 0.5], "Nested": {"a": None}}
    (tmp_path / "x.json").write_text(sidecar.dumps(fields), encoding="utf-8")
    assert sidecar.read(tmp_path / "x.json") == fields


def test_a_sidecar_ends_with_a_newline_and_keeps_letters_readable() -> None:
    assert sidecar.dumps({"a": "é"}) == '{\n  "a": "é"\n}\n'


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b'{"a": 1,\n "b": }', r"x.json, line 2: not JSON"),
        (b"[1]", r"x.json: expected a JSON object, found list"),
        (b'{"a": "\xff"}', r"x.json: not JSON"),
        (b"", r"x.json, line 1: not JSON"),
    ],
)
def test_what_is_no_json_object_is_bad_data(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "x.json").write_bytes(content)
    with pytest.raises(BadData, match=message):
        sidecar.read(tmp_path / "x.json")


def test_a_value_that_json_does_not_know_is_not_written() -> None:
    with pytest.raises(ValueError, match="JSON compliant"):
        sidecar.dumps({"RepetitionTime": float("nan")})


def test_two_files_of_one_folder_that_both_apply_are_found(study: Path) -> None:
    (study / "run-01_bold.json").write_text("{}")
    pairs = sidecar.ambiguous(study, study / RUN, "bold", ".json")
    assert [(one.name, other.name) for one, other in pairs] == [("run-01_bold.json", "task-nf_bold.json")]


def test_a_more_specific_file_in_the_same_folder_is_not_ambiguous(study: Path) -> None:
    assert sidecar.ambiguous(study, study / RUN, "bold", ".json") == []


def test_pybids_finds_the_same_metadata_for_every_run(tmp_path: Path) -> None:
    from bids import BIDSLayout

    fields = {
        "bold.json": {"Manufacturer": "Siemens", "Deep": {"a": 1}},  # in one folder no field twice: BIDS does not say who wins
        "task-nf_bold.json": {"RepetitionTime": 1, "EchoTime": 0.03},
        "task-nf_dir-AP_bold.json": {"PhaseEncodingDirection": "j-"},
        "dir-PA_bold.json": {"PhaseEncodingDirection": "j"},
        "sub-01/sub-01_task-nf_bold.json": {"RepetitionTime": 2, "from": "subject"},
        "sub-01/sub-01_echo-2_bold.json": {"EchoTime": 0.05},
        "sub-01/ses-a/sub-01_ses-a_bold.json": {"from": "session"},
        "sub-01/ses-a/func/sub-01_ses-a_task-nf_dir-AP_run-1_bold.json": {"from": "run", "Deep": {"b": 2}},
        "sub-01/ses-a/func/sub-01_ses-a_task-nf_dir-AP_run-1_events.json": {"from": "events"},
        "dataset_description.json": {"Name": "made", "BIDSVersion": "1.10.0", "DatasetType": "raw"},
    }
    images = [
        "sub-01/ses-a/func/sub-01_ses-a_task-nf_dir-AP_run-1_bold.nii.gz",
        "sub-01/ses-a/func/sub-01_ses-a_task-nf_dir-PA_run-1_echo-2_bold.nii.gz",
        "sub-01/ses-b/func/sub-01_ses-b_task-nf_dir-AP_bold.nii.gz",
        "sub-02/func/sub-02_task-rest_dir-PA_bold.nii.gz",
        "sub-02/func/sub-02_task-nf_bold.nii.gz",
    ]
    for name in images:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    for name, content in fields.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(json.dumps(content))
    layout = BIDSLayout(tmp_path, validate=False)
    for name in images:
        assert sidecar.inherited(tmp_path, tmp_path / name, "bold") == dict(layout.get_metadata(str(tmp_path / name)))


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity"])
def test_a_number_that_json_does_not_have_is_named(tmp_path: Path, number: str) -> None:
    (tmp_path / "bold.json").write_text(f'{{"EchoTime": {number}}}')
    with pytest.raises(BadData, match=rf"bold\.json: not JSON \(JSON has no {number}\)"):
        sidecar.read(tmp_path / "bold.json")


def test_half_a_character_is_written_as_it_was_read() -> None:
    fields = sidecar.loads(r'{"Note": "\ud800 é"}')
    assert sidecar.loads(sidecar.dumps(fields).encode()) == fields
