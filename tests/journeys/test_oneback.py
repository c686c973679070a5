"""A public BIDS run, replayed into a new data set, comes out as it went in."""

from __future__ import annotations

import nibabel
import numpy as np
from journeys.validity import errors

NAME = "sub-01/func/sub-01_task-oneback_run-1_bold.nii.gz"


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


def test_convert_takes_a_data_set_to_a_stream_and_back(real_data, call, tmp_path):
    source, study = real_data / "bids_oneback", tmp_path / "study"
    assert call("convert", source, "--to", tmp_path / "run.tar").code == 0
    outcome = call("convert", tmp_path / "run.tar", "-o", study)
    assert outcome.code == 0, outcome.err
    assert errors(study) == []
    before, after = nibabel.load(source / NAME), nibabel.load(study / NAME)
    assert np.array_equal(before.dataobj.get_unscaled(), after.dataobj.get_unscaled())
