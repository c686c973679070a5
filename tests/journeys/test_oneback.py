"""A public BIDS run, replayed into a new data set, comes out as it went in."""

from __future__ import annotations

import json
import tarfile
from pathlib import Path

import nibabel
import numpy as np
import pytest
from journeys.validity import errors

pytestmark = pytest.mark.alone

NAME = "sub-01/func/sub-01_task-oneback_run-1_bold.nii.gz"
EVENTS = ("events.tsv", "events.json")


def test_a_replayed_run_equals_its_source(real_data, call, tmp_path):
    source, study = real_data / "bids_oneback", tmp_path / "study"
    outcome = call("run", "roi_feedback", source, "--speed", "max", "--bids-dir", study, "--feedback", "-")
    assert outcome.code == 0, outcome.err
    assert [line["volume"] for line in outcome.lines] == list(range(156))
    assert errors(study) == []
    before, after = nibabel.load(source / NAME), nibabel.load(study / NAME)
    assert np.array_equal(before.dataobj.get_unscaled(), after.dataobj.get_unscaled())
    assert (before.dataobj.slope, before.dataobj.inter) == (after.dataobj.slope, after.dataobj.inter)
    assert np.array_equal(before.affine, after.affine)
    assert before.header.get_zooms() == after.header.get_zooms()
    assert (study / NAME.replace("bold.nii.gz", "events.tsv")).read_bytes() == (
        source / NAME.replace("bold.nii.gz", "events.tsv")
    ).read_bytes()


def assert_whole(source: Path, study: Path) -> None:
    """Compare the run and all that belongs to it."""
    assert errors(study) == []
    before, after = nibabel.load(source / NAME), nibabel.load(study / NAME)
    assert np.array_equal(before.dataobj.get_unscaled(), after.dataobj.get_unscaled())
    for name in ("README.md", "participants.tsv", "participants.json", *(NAME.replace("bold.nii.gz", e) for e in EVENTS)):
        assert (study / name).read_bytes() == (source / name).read_bytes(), name
    told, expected = (json.loads((root / "dataset_description.json").read_text()) for root in (study, source))
    assert [one["Name"] for one in told["GeneratedBy"]] == ["dcm2niix", "rtbids"]
    assert {**told, "GeneratedBy": []} == {**expected, "GeneratedBy": []}


def test_convert_takes_a_data_set_to_a_stream_and_back(real_data, call, tmp_path):
    source, study = real_data / "bids_oneback", tmp_path / "study"
    assert call("convert", source, "--to", tmp_path / "run.tar").code == 0
    outcome = call("convert", tmp_path / "run.tar", "-o", study)
    assert outcome.code == 0, outcome.err
    assert_whole(source, study)


def test_a_stream_that_tar_has_unpacked_becomes_the_data_set_too(real_data, call, tmp_path):
    source, unpacked, study = real_data / "bids_oneback", tmp_path / "unpacked", tmp_path / "study"
    assert call("replay", source, "--speed", "max", "--to", tmp_path / "run.tar").code == 0
    with tarfile.open(tmp_path / "run.tar") as archive:
        archive.extractall(unpacked, filter="data")
    outcome = call("archive", "add", study, unpacked)
    assert outcome.code == 0, outcome.err
    assert_whole(source, study)
