"""What no brain gives is warned of once a run, whatever analysis there is."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import moving_head as heads
import nibabel
import numpy as np
import pytest
from moving_head import AFFINE, LEFT

from rtbids.analysis.lifeless import LONG
from rtbids.run.recipe.analysis_config import Analysis
from rtbids.run.script.experiment import Experiment
from rtbids.volume import Volume

ANALYSES = [
    None,
    Analysis(),
    Analysis(smooth=5.0),
    Analysis(motion=True, smooth=5.0),
    Analysis(motion=True, motion_terms=6, drift="polynomial", volumes=40, quality=True),
    Analysis(despike=True),
]
NAMES = ["none", "empty", "smoothed", "realigned", "cleaned", "despiked"]
SCRIPT = "def feedback(volume, run):\n    return None\n"


def warned(folder: Path, analysis: Analysis | None, volumes: list[Volume], caplog) -> list[str]:
    (folder / "experiment.py").write_text(SCRIPT)
    nibabel.save(nibabel.Nifti1Image(LEFT.astype(np.uint8), AFFINE), folder / "left.nii")
    made = Experiment(folder / "experiment.py", {}, {"left": folder / "left.nii"}, lambda *told: None, analysis=analysis)
    made.begin(volumes[0])
    for volume in volumes:
        made.analyse(volume)
        made.settle(volume.entities)
    return caplog.messages


def changed(volumes: list[Volume], where: object, value: float, since: int, until: int = 99) -> list[Volume]:
    found = []
    for volume in volumes:
        data = np.array(volume.data, np.float32)
        if since <= volume.index < until:
            data[where] = value
        found.append(replace(volume, data=data))
    return found


@pytest.fixture(scope="module")
def volumes():
    return heads.run(LONG + 2)


@pytest.mark.parametrize("analysis", ANALYSES, ids=NAMES)
@pytest.mark.parametrize("since", [0, 3], ids=["from the first on", "later"])
def test_voxels_of_a_region_that_are_no_numbers(analysis, since, volumes, tmp_path, caplog):
    five = tuple(axis[:5] for axis in np.nonzero(LEFT))
    count = int(LEFT.sum())
    told = warned(tmp_path, analysis, changed(volumes, five, np.nan, since), caplog)
    assert told == [f"volume {since}: 5 of {count} voxels of region 'left' are no numbers and left out"]


@pytest.mark.parametrize("analysis", ANALYSES, ids=NAMES)
@pytest.mark.filterwarnings("error")
def test_a_volume_that_is_all_infinite(analysis, volumes, tmp_path, caplog):
    told = warned(tmp_path, analysis, changed(volumes, ..., np.inf, 4, 6), caplog)
    assert [text for text in told if "all without a number" in text] == [
        "volume 4 is all without a number: nothing can be said of it"
    ]


@pytest.mark.parametrize("analysis", ANALYSES, ids=NAMES)
@pytest.mark.parametrize("value", [0.0, 700.0])
def test_a_region_that_never_changes(analysis, value, volumes, tmp_path, caplog):
    told = warned(tmp_path, analysis, changed(volumes, LEFT, value, 0), caplog)
    said = f"region 'left' has had the same values in each of the first {LONG} volumes: is its mask where the brain is?"
    assert [text for text in told if "same values" in text] == [said]


@pytest.mark.parametrize("analysis", ANALYSES, ids=NAMES)
def test_a_brain_is_not_spoken_of_nor_one_that_rests_for_some_volumes(analysis, volumes, tmp_path, caplog):
    assert warned(tmp_path, analysis, changed(volumes, LEFT, 700.0, 0, LONG - 1), caplog) == []
