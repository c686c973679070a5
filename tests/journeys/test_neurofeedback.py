"""The real neurofeedback run of 155 volumes, from DICOM files dropped into a folder to the effect in the feedback."""

from __future__ import annotations

import csv
import hashlib
import json
import os
import shutil
from pathlib import Path

import nibabel
import numpy as np
import pytest
from journeys.validity import errors
from scipy import stats

pytestmark = pytest.mark.alone

TR = 1.97
SKIPPED = 5  # volumes before the first block, as the recording system counted
SCRIPT = "def feedback(volume, run):\n    return {name: run.roi(name).mean() for name in ('left', 'right')}\n"


@pytest.fixture
def dropped(recorded, script, start, tmp_path):
    """Run an experiment on a watched folder into which the files are dropped, and return its lines and its study."""
    whole, files = recorded
    export, study = tmp_path / "export", tmp_path / "study"
    export.mkdir()
    masks = [f"--set=rois.{side}={whole / name}" for side, name in (("left", "lROI_1.nii"), ("right", "rROI_2.nii"))]
    events = ["--events", whole / "nf_run_events.tsv"]
    arguments = [script(SCRIPT), export, *masks, *events, "--bids-dir", study, "--feedback", "-", "--volumes", 155]
    process = start("run", *arguments)
    assert b"watching" in process.stderr.readline()
    for file in sorted(files.iterdir()):
        shutil.copy(file, export)
    out, err = process.communicate(timeout=100)
    assert process.returncode == 0, err.decode()
    return [json.loads(line) for line in out.splitlines()], study


def regulate_against_rest(series: np.ndarray, events: Path) -> float:
    """t of the blocks in a least-squares fit: constant, linear, quadratic, and the boxcar convolved with g6 - g16/6."""
    percent = 100 * series[SKIPPED:] / series[SKIPPED:].mean()
    count = len(percent)
    boxcar = np.zeros(count)
    with events.open() as file:
        for row in csv.DictReader(file, delimiter="\t"):
            first = round(float(row["onset"]) / TR) - SKIPPED
            boxcar[first : first + round(float(row["duration"]) / TR)] = 1
    times = np.arange(0, 32, TR)
    response = stats.gamma.pdf(times, 6) - stats.gamma.pdf(times, 16) / 6
    ramp = np.linspace(-1, 1, count)
    design = np.column_stack([np.convolve(boxcar, response)[:count], np.ones(count), ramp, ramp**2])
    beta, residual, *_ = np.linalg.lstsq(design, percent, rcond=None)
    variance = residual[0] / (count - design.shape[1]) * np.linalg.inv(design.T @ design)[0, 0]
    return float(beta[0] / np.sqrt(variance))


def test_the_dropped_run_gives_its_lines_its_effect_and_its_voxels(dropped, recorded):
    lines, study = dropped
    whole, _ = recorded
    assert [line["volume"] for line in lines] == list(range(155))
    assert {line["status"] for line in lines} == {"ok"}
    for side, expected in (("left", 13.7), ("right", 5.6)):
        series = np.array([line["value"][side] for line in lines])
        # The published figures have one decimal.
        assert regulate_against_rest(series, whole / "nf_run_events.tsv") == pytest.approx(expected, abs=0.1)
    (file,) = study.rglob("*_bold.nii.gz")
    voxels = np.asarray(nibabel.load(file).dataobj)
    rows = [line.split("\t") for line in (whole / "nf_run_volumes.tsv").read_text().splitlines() if line[:1].isdigit()]
    hashes = [hashlib.sha256(voxels[..., n].tobytes(order="F")).hexdigest() for n in range(155)]
    assert hashes == [row[1] for row in rows]


def test_replaying_the_archived_run_gives_the_live_values_bit_for_bit(dropped, recorded, script, start, call, tmp_path):
    lines, study = dropped
    whole, _ = recorded
    assert errors(study) == []
    live = {line["volume"]: line["value"] for line in lines if line["status"] == "ok"}
    masks = [f"--set=rois.{side}={whole / name}" for side, name in (("left", "lROI_1.nii"), ("right", "rROI_2.nii"))]
    stream = call("replay", study, "--speed", "max").out
    through_a_pipe = call("run", script(SCRIPT), "-", *masks, stdin=stream)
    os.mkfifo(tmp_path / "volumes", 0o600)
    replay = start("replay", study, "--speed", "max", "--to", tmp_path / "volumes")
    through_a_named_pipe = call("run", script(SCRIPT), tmp_path / "volumes", *masks)
    assert replay.wait(30) == 0
    for outcome in (through_a_pipe, through_a_named_pipe):
        assert outcome.code == 0, outcome.err
        assert {line["volume"]: line["value"] for line in outcome.lines if line["status"] == "ok"} == live


def test_the_samples_percent_signal_change_has_the_same_sign(recorded, call, tmp_path):
    whole, files = recorded
    for name in ("lROI_1.nii", "rROI_2.nii"):
        mask, events = ("--set", f"rois.target={whole / name}"), ("--events", whole / "nf_run_events.tsv")
        outcome = call("run", "roi_feedback", files, "--no-wait", *mask, *events)
        assert outcome.code == 0, outcome.err
        values = np.array([line["value"] for line in outcome.lines], dtype=float)
        assert len(values) == 155
        assert regulate_against_rest(100 + values, whole / "nf_run_events.tsv") > 3
