"""Field maps say which images they are for: the ones measured after them, unless their sidecar says more."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from rtbids.archive.fieldmaps import intend
from rtbids.archive.study import Study

OWNER = {"subject": "01", "session": "2"}
RUNS = r"func/.*_bold\."


@pytest.fixture
def study(tmp_path: Path):
    made = Study(tmp_path / "study", "0")
    yield made
    made.close()


def image(study: Study, name: str, **fields: Any) -> None:
    """Put an image and its sidecar in place, as far as this needs them."""
    datatype, _, base = name.partition("/")
    folder = study.root / "sub-01/ses-2" / datatype
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"sub-01_ses-2_{base}.nii.gz").write_bytes(b"")
    (folder / f"sub-01_ses-2_{base}.json").write_text(json.dumps(fields))


def intended(study: Study, name: str) -> list[str] | None:
    """Return the runs that a field map is for, by their numbers."""
    datatype, _, base = name.partition("/")
    fields = json.loads((study.root / f"sub-01/ses-2/{datatype}/sub-01_ses-2_{base}.json").read_text())
    found = fields.get("IntendedFor")
    return found and [uri.removeprefix("bids::sub-01/ses-2/").replace("sub-01_ses-2_", "") for uri in found]


def runs(study: Study, *numbers: int) -> None:
    for number in numbers:
        image(study, f"func/task-nf_run-{number:02d}_bold", SeriesNumber=number)


def name(number: int) -> str:
    return f"func/task-nf_run-{number:02d}_bold.nii.gz"


def test_each_run_goes_with_the_last_map_of_each_kind_before_it_or_the_first(study):
    runs(study, 2, 5, 9)
    for number, run in ((3, ""), (7, "run-02_")):
        image(study, f"fmap/{run}phasediff", SeriesNumber=number)
        for direction in ("AP", "PA"):
            image(study, f"fmap/dir-{direction}_{run}epi", SeriesNumber=number)
    image(study, "fmap/magnitude1", SeriesNumber=3)
    changed = intend(study, OWNER, lambda fields: RUNS)
    assert len(changed) == 6
    for kind in ("{}phasediff", "dir-AP_{}epi", "dir-PA_{}epi"):
        assert intended(study, f"fmap/{kind.format('')}") == [name(2), name(5)]
        assert intended(study, f"fmap/{kind.format('run-02_')}") == [name(9)]
    assert intended(study, "fmap/magnitude1") is None


def test_runs_that_come_later_are_added_and_nothing_is_written_twice(study):
    runs(study, 5)
    image(study, "fmap/phasediff", SeriesNumber=3, EchoTime1=0.004)
    intend(study, OWNER, lambda fields: RUNS)
    assert intend(study, OWNER, lambda fields: RUNS) == []
    runs(study, 6)
    (path,) = intend(study, OWNER, lambda fields: RUNS)
    assert intended(study, "fmap/phasediff") == [name(5), name(6)]
    assert json.loads(path.read_text())["EchoTime1"] == 0.004


@pytest.mark.parametrize("place", ["bids::sub-01/ses-2", "ses-2"])  # paths were the way before BIDS 1.8
def test_what_a_map_says_already_stays_and_one_that_works_by_identifiers_gets_nothing(study, place):
    runs(study, 5)
    image(study, "fmap/phasediff", SeriesNumber=3, IntendedFor=f"{place}/func/sub-01_ses-2_task-nf_run-05_bold.nii.gz")
    image(study, "fmap/run-02_phasediff", SeriesNumber=4)
    image(study, "fmap/dir-AP_epi", SeriesNumber=4, B0FieldIdentifier="pepolar0")
    (changed,) = intend(study, OWNER, lambda fields: RUNS)
    assert changed.name == "sub-01_ses-2_task-nf_run-05_bold.json"
    assert intended(study, "fmap/dir-AP_epi") is None


def test_a_map_that_names_its_images_and_a_field_is_for_these_alone(study):
    runs(study, 5, 6)
    uri = "bids::sub-01/ses-2/func/sub-01_ses-2_task-nf_run-05_bold.nii.gz"
    image(study, "fmap/dir-AP_epi", SeriesNumber=4, B0FieldIdentifier="pepolar0", IntendedFor=[uri])
    intend(study, OWNER, lambda fields: RUNS)
    assert sources(study, 5, 6) == ["pepolar0", None]


def sources(study: Study, *numbers: int) -> list[Any]:
    place = study.root / "sub-01/ses-2/func"
    paths = [place / f"sub-01_ses-2_task-nf_run-{number:02d}_bold.json" for number in numbers]
    return [json.loads(path.read_text()).get("B0FieldSource") for path in paths]


def test_images_name_the_field_of_the_maps_that_work_by_identifiers(study):
    runs(study, 5, 9)
    image(study, "func/task-nf_run-10_bold", SeriesNumber=10, B0FieldSource="mine")
    for number, run in ((3, ""), (7, "run-02_")):
        for direction in ("AP", "PA"):
            image(study, f"fmap/dir-{direction}_{run}epi", SeriesNumber=number, B0FieldIdentifier=f"pepolar{number}")
    image(study, "fmap/phasediff", SeriesNumber=4, B0FieldIdentifier=["phasediff", "both"])
    image(study, "fmap/run-02_phasediff", SeriesNumber=8)
    changed = intend(study, OWNER, lambda fields: RUNS)
    assert sources(study, 5, 9, 10) == [["pepolar3", "phasediff", "both"], ["pepolar7", "phasediff", "both"], "mine"]
    assert intended(study, "fmap/run-02_phasediff") == [name(5), name(9), name(10)]
    assert intended(study, "fmap/dir-AP_epi") is None
    assert len(changed) == 3
    assert intend(study, OWNER, lambda fields: RUNS) == []


def test_an_image_that_a_map_with_an_identifier_is_not_for_names_none(study):
    runs(study, 5)
    image(study, "fmap/dir-AP_epi", SeriesNumber=3, B0FieldIdentifier="pepolar")
    assert intend(study, OWNER, lambda fields: r"dwi/.*_dwi\.") == []
    assert sources(study, 5) == [None]


def test_the_caller_chooses_what_a_map_is_for(study):
    runs(study, 5)
    image(study, "dwi/dwi", SeriesNumber=6)
    image(study, "fmap/acq-dwi_epi", SeriesNumber=3, SeriesDescription="dwi topup")
    image(study, "fmap/phasediff", SeriesNumber=3)
    intend(study, OWNER, lambda fields: r"dwi/.*_dwi\." if fields.get("SeriesDescription") else "")
    assert intended(study, "fmap/acq-dwi_epi") == ["dwi/dwi.nii.gz"]
    assert intended(study, "fmap/phasediff") is None


def test_odd_sidecars_cost_themselves_only(study):
    runs(study, 5)
    image(study, "fmap/phasediff", SeriesNumber="three", IntendedFor=[7, None])
    image(study, "fmap/dir-AP_epi")
    (study.root / "sub-01/ses-2/fmap/sub-01_ses-2_dir-AP_epi.json").write_text("{")
    intend(study, OWNER, lambda fields: RUNS)
    assert intended(study, "fmap/phasediff") == [name(5)]


def test_a_session_without_field_maps_is_left_as_it_is(study):
    assert intend(study, OWNER, lambda fields: RUNS) == []
