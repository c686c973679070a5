"""The key ``analysis:``: what it takes, and what it refuses in one line."""

from __future__ import annotations

from pathlib import Path

import nibabel
import numpy as np
import pytest

from rtbids.errors import BadData, UsageFault
from rtbids.run.recipe import analysis_config, recipe
from rtbids.run.recipe.analysis_config import Analysis, Reference
from rtbids.volume import volume_of

ROIS = "rois: {target: target.nii, wm: wm.nii}\n"


def analysis(folder: Path, text: str, rois: str = ROIS) -> Analysis | None:
    (folder / "experiment.py").write_text("def feedback(volume, run): ...\n")
    (folder / "config.yaml").write_text(f"{rois}analysis: {text}\n")
    return recipe.read(str(folder)).config.analysis


def test_without_the_key_nothing_is_worked_out(tmp_path):
    (tmp_path / "experiment.py").write_text("def feedback(volume, run): ...\n")
    assert recipe.read(str(tmp_path)).config.analysis is None


FULL = (
    "{motion: true, smooth: 5, drift: cosine, motion_terms: 24, nuisance: [wm, global], despike: true,"
    ' contrasts: {faces: "face > scene"}, quality: true, volumes: 150}'
)


def test_every_key_is_read(tmp_path):
    read = analysis(tmp_path, FULL)
    assert read == Analysis(
        True, 5.0, "cosine", 24, ("wm", "global"), True, {"faces": "face > scene"}, volumes=150, quality=True
    )


def test_a_reference_is_relative_to_the_experiment(tmp_path):
    read = analysis(tmp_path, "{motion: {reference: earlier.nii.gz}}")
    assert read is not None
    assert read.motion == Reference(tmp_path / "earlier.nii.gz")


@pytest.mark.parametrize(
    "text",
    [FULL, "{motion: {reference: a.nii, resample: true}, conditions: [face], quality: {criterion: 5}, activation: 90}"],
)
def test_the_keys_reach_the_experiments_process_as_they_are(tmp_path, text):
    read = analysis(tmp_path, text)
    assert analysis_config.from_json(analysis_config.to_json(read)) == read


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{moton: true}", "did you mean 'analysis.motion'"),
        ("{motion: yes please}", "analysis.motion: expected"),
        ("{motion: {referenc: a.nii}}", "did you mean 'analysis.motion.reference'"),
        ("{smooth: 0}", "analysis.smooth: expected mm above 0"),
        ("{smooth: .nan}", "analysis.smooth: expected mm above 0"),
        ("{smooth: wide}", "analysis.smooth: expected"),
        ("{drift: linear}", "analysis.drift: expected"),
        ("{motion_terms: 6}", "analysis.motion_terms: 6 needs the head's pose"),
        ("{motion: true, motion_terms: 7}", "analysis.motion_terms: expected"),
        ("{nuisance: [globl]}", "no region 'globl', did you mean 'global'"),
        ("{nuisance: [wm, wm]}", "named twice"),
        ('{contrasts: {"faces > scenes": face}}', "a name has letters and digits only"),
        ("{contrasts: {faces: ' '}}", "expected a contrast such as"),
        ("{contrasts: {up: 'regulate >> rest'}}", "analysis.contrasts.up: a contrast is like 'face > house'"),
        ("{volumes: 0}", "analysis.volumes: expected 1 or more"),
        ("{activation: 0}", "analysis.activation: expected true, or 1 volume or more, found 0"),
        ("{activation: often}", "analysis.activation: expected true or false or a whole number"),
        ("{quality: {criterion: 0}}", "analysis.quality: criterion: expected a number above 0, found 0"),
        ("{quality: {good_displacment: 1}}", "did you mean 'analysis.quality.good_displacement'"),
    ],
)
def test_what_makes_no_sense_is_said_with_its_key(tmp_path, text, said):
    with pytest.raises(UsageFault, match=said):
        analysis(tmp_path, text)


@pytest.mark.parametrize(
    ("text", "said"),
    [("{despike: true}", "despike"), ("{activation: 9}", "activation"), ("{drift: cosine, volumes: 9}", "drift")],
)
def test_what_is_for_regions_needs_one(tmp_path, text, said):
    with pytest.raises(UsageFault, match=said):
        analysis(tmp_path, text, rois="")


def test_a_reference_on_another_grid_is_known_from_its_header(tmp_path):
    volume = volume_of(np.zeros((4, 5, 6), np.int16), np.eye(4), {"subject": "01"}, {"RepetitionTime": 1.0}, 0)
    for name, shape in {"same": (4, 5, 6, 3), "other": (4, 5, 7)}.items():
        nibabel.save(nibabel.Nifti1Image(np.zeros(shape, np.float32), np.eye(4)), tmp_path / f"{name}.nii")
    analysis_config.check_grid(Analysis(motion=Reference(tmp_path / "same.nii")), volume)
    analysis_config.check_grid(Analysis(motion=Reference(tmp_path / "other.nii", resample=True)), volume)
    with pytest.raises(BadData, match="the reference's grid is 4×5×7 voxels"):
        analysis_config.check_grid(Analysis(motion=Reference(tmp_path / "other.nii")), volume)
