"""A run of a data set, replayed."""

from __future__ import annotations

import json

import nibabel
import numpy as np
import pytest

from rtbids.clock import ManualClock
from rtbids.errors import NothingMatched
from rtbids.replay import dataset
from rtbids.volume import RunEnd


@pytest.fixture
def study(tmp_path):
    """A data set of two runs of three volumes."""
    (tmp_path / "dataset_description.json").write_text('{"Name": "made", "BIDSVersion": "1.10.0"}')
    (tmp_path / "sub-01" / "func").mkdir(parents=True)
    for run in (1, 2):
        stem = tmp_path / "sub-01" / "func" / f"sub-01_task-nf_run-{run}_bold"
        array = np.full((4, 4, 3, 3), run, dtype=np.int16)
        nibabel.save(nibabel.Nifti1Image(array, np.eye(4)), f"{stem}.nii.gz")
        stem.with_suffix(".json").write_text(json.dumps({"RepetitionTime": 1.5}))
    return tmp_path


@pytest.mark.parametrize(("speed", "step"), [(1.0, 1.5), (3.0, 0.5)])
def test_volumes_of_a_data_set_leave_at_the_pace_asked_for(study, speed, step):
    items = list(dataset.items(study, {"run": "02"}, speed, ManualClock(10.0)))
    *volumes, end = items
    assert np.diff([volume.times["received"] for volume in volumes]).tolist() == pytest.approx([step, step])
    assert all(volume.paced and (volume.data == 2).all() for volume in volumes)
    assert end == RunEnd(volumes[0].entities, 3)


def test_runs_follow_one_another_flat_out(study):
    items = list(dataset.items(study, speed=None, clock=ManualClock()))
    assert [isinstance(item, RunEnd) for item in items] == [False, False, False, True] * 2
    assert [item.paced for item in items if not isinstance(item, RunEnd)] == [False] * 6


def test_a_replay_of_nothing_says_so_before_the_first_volume(study):
    with pytest.raises(NothingMatched, match="task rest"):
        dataset.items(study, {"task": "rest"})
