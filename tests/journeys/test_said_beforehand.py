"""What can be known before the scanner has begun is said before: here no volume ever comes."""

from __future__ import annotations

import pytest

SCRIPT = "def feedback(volume, run):\n    return volume.index\n"
SAME = "onset\tduration\ttrial_type\n10\t20\tface\n10\t20\thouse\n50\t20\tface\n50\t20\thouse\n"


@pytest.fixture
def empty(tmp_path):
    (tmp_path / "export").mkdir()
    return tmp_path / "export"


@pytest.fixture
def events(tmp_path):
    (tmp_path / "same.tsv").write_text(SAME)
    return tmp_path / "same.tsv"


@pytest.mark.parametrize("where", [[], ["--in-process"]], ids=["apart", "here"])
def test_conditions_that_are_one_are_named_with_the_contrast_that_is_lost(empty, events, script, call, where):
    config = "analysis:\n  drift: cosine\n  volumes: 60\n  contrasts: {faces: face > house}\n"
    outcome = call("run", script(SCRIPT, config), empty, "--no-wait", "--events", events, *where)
    assert outcome.code == 66
    assert outcome.err.count("house of the design is a sum of face") == 1
    assert "there will be no map of faces" in " ".join(outcome.err.split())


def test_a_contrast_of_no_condition_is_refused(empty, events, script, call):
    config = f"events: {events}\nanalysis:\n  contrasts: {{faces: fase > rest}}\n"
    outcome = call("run", script(SCRIPT, config), empty, "--no-wait")
    assert outcome.code == 65
    assert "did you mean 'face'" in outcome.err


def test_a_malformed_contrast_is_refused_before_a_volume(empty, script, call):
    outcome = call("run", script(SCRIPT, "analysis: {contrasts: {up: 'regulate >> rest'}}\n"), empty, "--no-wait")
    assert outcome.code == 64
    assert "analysis.contrasts.up: a contrast is like" in " ".join(outcome.err.split())
    assert "analysis.conditions" not in outcome.err


@pytest.mark.parametrize("config", ["", "events: none.tsv\n"], ids=["no events", "an empty table"])
def test_drift_of_a_run_whose_length_nobody_knows_is_refused(empty, small, script, call, tmp_path, config):
    folder = script(SCRIPT, f"{config}rois: {{a: {small.mask_file}}}\nanalysis: {{drift: cosine}}\n")
    (folder / "none.tsv").write_text("onset\tduration\ttrial_type\n")
    outcome = call("run", folder, empty, "--no-wait", "--bids-dir", tmp_path / "study")
    assert outcome.code == 64
    assert "analysis.volumes" in outcome.err
    assert not (tmp_path / "study").exists()


def test_a_data_set_tells_the_length_of_its_runs(small, script, call):
    small.file.with_name(small.file.name.replace("bold.nii.gz", "events.tsv")).unlink()
    config = f"rois: {{a: {small.mask_file}}}\nanalysis: {{drift: polynomial}}\n"
    mean = 'def feedback(volume, run):\n    return {"mean": run.roi("a").mean(), "planned": run.design.planned}\n'
    outcome = call("run", script(mean, config), small.root, "--speed", "max")
    assert outcome.code == 0, outcome.err
    assert {line["value"]["planned"] for line in outcome.lines if line["value"]} == {30}


def test_a_function_that_cannot_be_called_is_refused(empty, script, call):
    outcome = call("run", script("def feedback(volume):\n    return 1\n"), empty, "--no-wait")
    assert outcome.code == 70
    assert "experiment.py, line 1: expected feedback(volume, run)" in " ".join(outcome.err.split())
