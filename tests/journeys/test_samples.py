"""The samples do what they say on real data."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import rtbids
from rtbids.analysis import localizer
from rtbids.bids import events as bids_events

SAMPLES = sorted(path.parent.name for path in (Path(__file__).parents[2] / "sample_experiments").glob("*/experiment.py"))


@pytest.mark.parametrize("sample", SAMPLES)
def test_a_sample_gives_what_it_says_a_replay_must_give(sample, call, real_data, repository):
    outcome = call("run", sample, real_data / "bids_oneback", "--speed", "max")
    assert outcome.code == 0, outcome.err
    expected = read(repository / "sample_experiments" / sample / "expected.tsv")
    found = {line["volume"]: line["value"] for line in outcome.lines}
    assert found.keys() == expected.keys()
    for volume, value in expected.items():
        # Sums may be taken in another order on another machine: some units in the last place.
        assert numbers(found[volume]) == pytest.approx(numbers(value), rel=1e-9, abs=1e-9), volume
    assert {line["status"] for line in outcome.lines} == {"ok"}


def read(table: Path) -> dict[int, object]:
    """Return the values of an expected.tsv by volume."""
    _, *rows = [line.split("\t") for line in table.read_text().splitlines()]
    return {int(volume): None if cell == "n/a" else json.loads(cell) for volume, cell in rows}


def numbers(given: object) -> dict[str, object]:
    """Return a value as pytest.approx compares it."""
    return given if isinstance(given, dict) else {"value": given}


@pytest.mark.parametrize("sample", SAMPLES)
def test_a_sample_has_what_its_user_needs(sample, repository):
    folder = repository / "sample_experiments" / sample
    assert {"experiment.py", "config.yaml", "README.rst", "expected.tsv"} <= {file.name for file in folder.iterdir()}


def test_the_decoder_sample_is_trained_as_its_readme_says(real_data, repository, tmp_path):
    """The file that is there was made by this script from this run; another machine's solver may stop a step away."""
    run = real_data / "bids_oneback" / "sub-01" / "func" / "sub-01_task-oneback_run-1_bold.nii.gz"
    script = repository / "sample_experiments" / "decoder_feedback" / "train.py"
    command = [sys.executable, script, run, "--volumes", "78", "--to", tmp_path / "again.npz"]
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("again.npz: {'face': 9, 'scene': 9}, accuracy not known (chance 0.50)")
    again, there = (rtbids.read_decoder(path) for path in (tmp_path / "again.npz", script.with_name("decoder.npz")))
    assert again.about["sources"] == there.about["sources"]
    assert again.mean == pytest.approx(there.mean, abs=1e-9)
    assert np.corrcoef(again.coefficients[0], there.coefficients[0])[0, 1] > 0.999


def test_the_decoder_sample_tells_faces_from_scenes_in_the_part_that_it_has_not_seen(real_data, repository):
    run = real_data / "bids_oneback" / "sub-01" / "func" / "sub-01_task-oneback_run-1_bold.nii.gz"
    face = read(repository / "sample_experiments" / "decoder_feedback" / "expected.tsv")
    table = bids_events.read(next(rtbids.volumes(run)).events, "events")
    shown = {volume: localizer.shown(table, volume, 2.0, 5.0) for volume in range(78, 156)}
    right = [(face[volume] > 0.5) == (name == "face") for volume, name in shown.items() if name in ("face", "scene")]
    assert (len(right), sum(right)) == (18, 16)  # at the first and the last volume of the faces it is wrong


def test_the_decoder_sample_refuses_other_voxels_when_the_run_starts(call, small):
    outcome = call("run", "decoder_feedback", small.root, "--speed", "max", "--set", f"rois.voxels={small.mask_file}")
    assert outcome.code == 70
    assert "the decoder was trained on 80×80×35 voxels of 3×3×3.3 mm" in outcome.err
    assert "Traceback" not in outcome.err
