"""What EXPERIMENT and ``--set`` on the command line come to."""

from __future__ import annotations

import pytest

from rtbids.errors import InputMissing, UsageFault
from rtbids.run.recipe import recipe
from rtbids.run.recipe.region import Region


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "experiment.py").write_text("def feedback(volume, run): ...\n")
    (tmp_path / "config.yaml").write_text("rois:\n  target: mask.nii\nsettings:\n  baseline: rest\n")
    return tmp_path


def test_paths_of_the_config_are_relative_to_its_folder(folder):
    assert recipe.read(str(folder)).regions == {"target": Region(folder / "mask.nii")}


def test_a_script_may_be_named_itself(folder):
    assert recipe.read(str(folder / "experiment.py")).name == folder.name


def test_a_path_that_is_set_is_relative_to_the_working_directory_and_taken_to_the_letter(folder, monkeypatch):
    monkeypatch.chdir(folder.parent)
    read = recipe.read(str(folder), ["rois.target=my mask #2: new.nii"])
    assert read.regions == {"target": Region(folder.parent / "my mask #2: new.nii")}


def test_a_plain_key_is_one_of_the_scripts_settings(folder):
    assert recipe.read(str(folder), ["baseline=pause", "gain=2"]).config.settings == {"baseline": "pause", "gain": 2}


def test_a_region_that_the_config_does_not_have_is_an_error_that_names_the_nearest(folder):
    with pytest.raises(UsageFault, match="did you mean 'target'"):
        recipe.read(str(folder), ["rois.targt=mask.nii"])


def test_a_config_without_regions_takes_any(tmp_path):
    (tmp_path / "experiment.py").write_text("def feedback(volume, run): ...\n")
    read = recipe.read(str(tmp_path), ["rois.left=/l.nii", "rois.right=/r.nii"])
    assert set(read.config.rois) == {"left", "right"}


def test_a_sample_goes_by_its_name():
    assert recipe.read("roi_feedback").script.name == "experiment.py"
    assert "roi_feedback" in recipe.samples()


def test_what_is_no_experiment_is_said_with_the_samples(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputMissing, match="no such experiment") as caught:
        recipe.read("nothing")
    assert caught.value.hint is not None
    assert "roi_feedback" in caught.value.hint
