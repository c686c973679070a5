"""What a script sees of the analysis that its config asks for."""

from __future__ import annotations

from pathlib import Path

import moving_head as heads
import nibabel
import numpy as np
import pytest
from moving_head import AFFINE, LEFT

from rtbids.errors import ExperimentFault, InputMissing
from rtbids.run.recipe.analysis_config import Analysis, Reference
from rtbids.run.responses.responses import Response
from rtbids.run.script.experiment import Experiment

ALL = """
def feedback(volume, run):
    return {
        "fd": run.motion.framewise_displacement,
        "dvars": run.quality.volume.dvars,
        "psc": run.roi("left").percent_signal_change(),
        "t": run.glm.mean_t("going", run.roi("left").mask),
        "columns": list(run.design.columns),
    }
"""
FULL = Analysis(motion=True, smooth=5.0, motion_terms=6, contrasts={"going": "go > rest"}, quality=True)


def experiment(folder: Path, script: str, analysis: Analysis | None) -> Experiment:
    (folder / "experiment.py").write_text(script)
    nibabel.save(nibabel.Nifti1Image(LEFT.astype(np.uint8), AFFINE), folder / "left.nii")
    rois = {"left": folder / "left.nii"}
    return Experiment(folder / "experiment.py", {}, rois, lambda entities, value: None, analysis=analysis)


@pytest.fixture(scope="module")
def volumes():
    return heads.run(30)


def test_the_script_sees_all_that_the_config_asks_for(tmp_path, volumes):
    made = experiment(tmp_path, ALL, FULL)
    made.begin(volumes[0])
    for volume in volumes:
        measures = made.analyse(volume)
        value = made.feedback(volume)
        made.settle(volume.entities)
        assert value["fd"] == measures["motion"]["framewise_displacement"]
        assert value["dvars"] == measures["quality"]["dvars"]
    assert value["t"] > 1
    assert value["psc"] is not None
    assert value["columns"][:2] == ["go", "constant"]
    assert [(found.contrast, found.statistic) for found in made.maps(heads.ENTITIES)] == [("going", "t"), ("going", "effect")]


@pytest.mark.parametrize("name", ["motion", "quality", "glm", "design"])
@pytest.mark.parametrize("analysis", [None, Analysis()])
def test_what_the_config_does_not_ask_for_is_an_error_that_says_the_key(tmp_path, volumes, name, analysis):
    made = experiment(tmp_path, f"def feedback(volume, run):\n    return run.{name}.x\n", analysis)
    made.begin(volumes[0])
    made.analyse(volumes[0])
    with pytest.raises(ExperimentFault, match=rf"run\.{name} is there where the config has analysis\."):
        made.feedback(volumes[0])


def test_without_an_analysis_a_region_is_the_mean_of_its_voxels_to_the_last_bit(tmp_path, volumes):
    script = "def feedback(volume, run):\n    return [run.roi('left').mean()][0]\n"
    values = {}
    for name, analysis in {"none": None, "empty": Analysis(), "quality": Analysis(quality=True)}.items():
        made = experiment(tmp_path, script, analysis)
        made.begin(volumes[0])
        values[name] = []
        for volume in volumes[:5]:
            made.analyse(volume)
            values[name].append(made.feedback(volume))
    assert values["none"] == values["empty"] == values["quality"]


def test_a_script_that_was_started_again_is_where_it_was(tmp_path, volumes):
    whole, again = [], []
    for kept, asked in ((whole, range(30)), (again, range(20, 30))):
        made = experiment(tmp_path, ALL, FULL)
        made.begin(volumes[0])
        for volume in volumes:
            made.analyse(volume)
            if volume.index in asked:
                kept.append(made.feedback(volume))
            made.settle(volume.entities)
    assert whole[20:] == again


def test_a_reference_that_is_not_there_is_said_when_the_script_is_loaded(tmp_path):
    with pytest.raises(InputMissing, match=r"no such file \(analysis\.motion\.reference\)"):
        experiment(tmp_path, ALL, Analysis(motion=Reference(tmp_path / "none.nii")))


def test_a_response_that_is_a_condition_goes_into_the_design(tmp_path, volumes):
    script = "def feedback(volume, run):\n    return float(run.glm.beta('go') is not None)\n"
    made = experiment(tmp_path, script, Analysis(contrasts={"going": "go > rest"}, conditions=("go",)))
    made.begin(heads.volume(heads.head(), 0, events=None))
    found = []
    for volume in volumes[:12]:
        if volume.index == 4:
            made.respond(volume.entities, Response("go", onset=8.0, duration=4.0, after_volume=3))
        made.analyse(volume)
        found.append(made.feedback(volume))
    assert found[:5] == [0.0] * 5
    assert found[-1] == 1.0
