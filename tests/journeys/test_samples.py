"""The samples do what they say on real data."""

from __future__ import annotations

import json
import math
import re
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import nibabel
import numpy as np
import pytest

import rtbids
from rtbids.analysis import localizer
from rtbids.bids import events as bids_events
from rtbids.run.script.script_file import load

SAMPLES = sorted(path.parent.name for path in (Path(__file__).parents[2] / "sample_experiments").glob("*/experiment.py"))

LIVE = 40  # volumes: as many as the samples need to have something to say


@pytest.mark.alone
@pytest.mark.slow
@pytest.mark.parametrize("sample", SAMPLES)
def test_a_sample_gives_what_it_says_a_replay_must_give(sample, call, real_data, repository):
    outcome = call("run", sample, real_data / "bids_oneback", "--speed", "max")
    assert outcome.code == 0, outcome.err
    expected = read(repository / "sample_experiments" / sample / "expected.tsv")
    found = {line["volume"]: line["value"] for line in outcome.lines}
    assert found.keys() == expected.keys()
    # Sums may be taken in another order on another machine: some units in the last place, of float32 where the head was found.
    tolerance = 1e-9 if sample in ("roi_feedback", "decoder_feedback") else 1e-5
    for volume, value in expected.items():
        assert numbers(found[volume]) == pytest.approx(numbers(value), rel=tolerance, abs=tolerance, nan_ok=True), volume
    assert {line["status"] for line in outcome.lines} == {"ok"}


@pytest.mark.alone
@pytest.mark.slow
def test_all_samples_beside_each_other_give_the_same_live_and_replayed(call, start, real_data, tmp_path):
    """A scanner is played from a past run; what was archived is replayed. The scanner is ten times too fast: nothing is due."""
    source, export, study = real_data / "bids_oneback", tmp_path / "export", tmp_path / "study"
    export.mkdir()
    events = source / "sub-01" / "func" / "sub-01_task-oneback_run-1_events.tsv"
    all_of_them = [SAMPLES[0], *(word for name in SAMPLES[1:] for word in ("--experiment", name))]
    start("replay", source, "--as", "dicom", "--to", export, "--speed", 10)
    patient = ("--deadline", 90, "--backlog", "all", "--events", events)
    live = call(
        "run", *all_of_them[:1], export, *all_of_them[1:], *patient, "--bids-dir", study, "--volumes", LIVE, "--feedback", "-"
    )
    assert live.code == 0, live.err
    replayed = call("run", *all_of_them[:1], study, *all_of_them[1:], "--speed", "max")
    assert replayed.code == 0, replayed.err
    assert by_volume(live.lines) == by_volume(replayed.lines)
    assert len(by_volume(live.lines)) == LIVE * len(SAMPLES)


def by_volume(lines: list[dict]) -> dict[tuple[str, int], object]:
    """Return what each experiment said of each volume, all of it in time."""
    assert {line["status"] for line in lines} == {"ok"}
    return {(line["experiment"], line["volume"]): line["value"] for line in lines}


def read(table: Path) -> dict[int, object]:
    """Return the values of an expected.tsv by volume."""
    _, *rows = [line.split("\t") for line in table.read_text().splitlines()]
    return {int(volume): None if cell == "n/a" else json.loads(cell) for volume, cell in rows}


def numbers(given: object) -> dict[str, object]:
    """Return a value as pytest.approx compares it; null, which it does not know, is the one NaN here."""
    values = given if isinstance(given, dict) else {"value": given}
    return {name: math.nan if value is None else value for name, value in values.items()}


@pytest.mark.parametrize("sample", SAMPLES)
def test_a_sample_has_what_its_user_needs(sample, repository):
    folder = repository / "sample_experiments" / sample
    assert {"experiment.py", "config.yaml", "README.rst", "expected.tsv"} <= {file.name for file in folder.iterdir()}


def train(repository: Path, *arguments: object) -> subprocess.CompletedProcess[str]:
    """Call the sample's train.py as its user does."""
    script = repository / "sample_experiments" / "decoder_feedback" / "train.py"
    command = list(map(str, [sys.executable, script, *arguments]))
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("nowhere",), "train.py: nowhere: no such file or folder"),
        (("ROOT",), "train.py: {mask}: the mask's grid is 80×80×35"),
        (("ROOT", "regulate", "watch", "--mask", "MASK"), "train.py: no event has the trial_type 'watch'; there are: regulate"),
        (("ROOT", "regulate", "rest", "--mask", "MASK"), "train.py: the class 'regulate' has fewer than two volumes"),
    ],
)
def test_training_that_cannot_be_done_is_said_in_a_line(arguments, said, small, repository, tmp_path):
    words = {"ROOT": small.root, "MASK": small.mask_file}
    done = train(repository, *(words.get(word, word) for word in arguments), "--to", tmp_path / "decoder.npz")
    assert done.returncode == 1
    own = repository / "sample_experiments" / "decoder_feedback" / "voxels.nii.gz"
    assert any(line.startswith(said.format(mask=own)) for line in done.stderr.splitlines())
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "decoder.npz").exists()


def test_the_decoder_sample_is_trained_as_its_readme_says(real_data, repository, tmp_path):
    """The file that is there was made by this script from this run; another machine's solver may stop a step away."""
    run = real_data / "bids_oneback" / "sub-01" / "func" / "sub-01_task-oneback_run-1_bold.nii.gz"
    done = train(repository, run, "--volumes", 78, "--to", tmp_path / "again.npz")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("again.npz: {'face': 9, 'scene': 9}, accuracy not known (chance 0.50)")
    own = repository / "sample_experiments" / "decoder_feedback" / "decoder.npz"
    again, there = (rtbids.read_decoder(path) for path in (tmp_path / "again.npz", own))
    assert again.about["sources"] == there.about["sources"]
    assert again.mean == pytest.approx(there.mean, abs=1e-9)
    assert np.corrcoef(again.coefficients[0], there.coefficients[0])[0, 1] > 0.999


@pytest.mark.alone
@pytest.mark.slow
def test_the_decoder_sample_is_used_on_ones_own_scanner_as_its_readme_says(repository, tmp_path):
    """On a grid that is not the sample's: step by step, in its words, but that the scanner is a past run and waits."""
    pytest.importorskip("sklearn")
    mask = localizer_run(tmp_path / "export")
    steps = typed(repository / "sample_experiments" / "decoder_feedback" / "README.rst")
    assert [" ".join(words[:2]) for words in steps] == ["rtbids init", "rtbids run", "python my_decoder/train.py", "rtbids run"]
    for words in steps:
        if words[0] == "python":
            mask.rename(tmp_path / "my_decoder" / "voxels.nii.gz")
        call = [sys.executable, *(["-m", "rtbids"] if words[0] == "rtbids" else []), *words[1:]]
        waits = ["--speed", "max"] if "/data/export" in words else []
        call = ["export" if word == "/data/export" else word for word in call]
        done = subprocess.run([*call, *waits], capture_output=True, text=True, check=False, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
    values = [json.loads(line)["value"] for line in (tmp_path / "feedback.jsonl").read_text().splitlines()]
    table = bids_events.read((tmp_path / "localizer.tsv").read_text(), "events")
    shown = {volume: localizer.shown(table, volume, 2.0, 5.0) for volume in range(len(values))}
    right = [(values[volume] > 0.5) == (name == "face") for volume, name in shown.items() if name in ("face", "scene")]
    assert len(right) > 10
    assert all(right)  # it is the run that taught it


def typed(readme: Path) -> list[list[str]]:
    """Return what a README tells its user to type, in order."""
    lines = [re.sub(r"^.*``(rtbids init.*)``.*$", r"       \1", line) for line in readme.read_text().splitlines()]
    return [line.split() for line in lines if re.match(r"       (rtbids|python) \S", line)]


def localizer_run(folder: Path) -> Path:
    """Write a run of faces and scenes in a data set, and its events and a mask beside it; return the mask."""
    func = folder / "sub-01" / "func"
    func.mkdir(parents=True)
    (folder / "dataset_description.json").write_text(json.dumps({"Name": "export", "BIDSVersion": "1.10.0"}))
    rows = [f"{onset}\t8\t{'face' if number % 2 else 'scene'}" for number, onset in enumerate(range(12, 92, 16))]
    for table in (
        func / "sub-01_task-localizer_run-01_events.tsv",
        folder.parent / "localizer.tsv",
        folder.parent / "events.tsv",
    ):
        table.write_text("\n".join(["onset\tduration\ttrial_type", *rows, ""]))
    events = bids_events.read(table.read_text(), "events")
    rng = np.random.default_rng(0)
    patterns = {"face": rng.normal(size=(12, 11, 6)), "scene": rng.normal(size=(12, 11, 6))}
    shown = [patterns.get(localizer.shown(events, volume, 2.0, 5.0) or "", 0.0) for volume in range(50)]
    voxels = np.stack([1000 + 20 * pattern + rng.normal(size=(12, 11, 6)) for pattern in shown], axis=-1)
    image = nibabel.Nifti1Image(voxels.astype("i2"), np.diag([3.0, 3.0, 4.0, 1.0]))
    image.header.set_zooms((3, 3, 4, 2.0))
    image.header.set_xyzt_units("mm", "sec")
    image.to_filename(func / "sub-01_task-localizer_run-01_bold.nii.gz")
    (func / "sub-01_task-localizer_run-01_bold.json").write_text(json.dumps({"RepetitionTime": 2.0, "TaskName": "localizer"}))
    nibabel.Nifti1Image(np.ones((12, 11, 6), "u1"), image.affine).to_filename(folder.parent / "mask.nii.gz")
    return folder.parent / "mask.nii.gz"


def test_the_decoder_sample_tells_faces_from_scenes_in_the_part_that_it_has_not_seen(real_data, repository):
    run = real_data / "bids_oneback" / "sub-01" / "func" / "sub-01_task-oneback_run-1_bold.nii.gz"
    face = read(repository / "sample_experiments" / "decoder_feedback" / "expected.tsv")
    table = bids_events.read(next(rtbids.volumes(run)).events, "events")
    shown = {volume: localizer.shown(table, volume, 2.0, 5.0) for volume in range(78, 156)}
    right = [(face[volume] > 0.5) == (name == "face") for volume, name in shown.items() if name in ("face", "scene")]
    assert (len(right), sum(right)) == (18, 16)  # at the first and the last volume of the faces it is wrong


def test_the_decoder_sample_refuses_a_class_that_it_does_not_know_when_the_run_starts(call, real_data):
    outcome = call("run", "decoder_feedback", real_data / "bids_oneback", "--speed", "max", "--set", "target=house")
    assert outcome.code == 70
    assert "the decoder knows no class 'house'; its classes: face, scene" in " ".join(outcome.err.split())


def test_the_decoder_sample_refuses_other_voxels_when_the_run_starts(call, small):
    outcome = call("run", "decoder_feedback", small.root, "--speed", "max", "--set", f"rois.voxels={small.mask_file}")
    assert outcome.code == 70
    assert "the decoder was trained on 80×80×35 voxels of 3×3×3.3 mm" in outcome.err
    assert "Traceback" not in outcome.err


@pytest.mark.parametrize(
    ("moved", "score"),
    [([0.0], 100.0), ([0.25], 50.0), ([0.5], 0.0), ([9.0], 0.0), ([0.0, 0.25], 75.0), ([np.nan, 0.25], 50.0)],
)
def test_the_score_of_stillness_goes_from_100_to_0(moved, score, repository):
    script = load(repository / "sample_experiments" / "motion_feedback" / "experiment.py")
    run = SimpleNamespace(
        motion=SimpleNamespace(converged=True, displacements=np.array(moved)), settings=script.Settings(volumes=2)
    )
    assert script.feedback(None, run) == pytest.approx(score)


def test_a_head_that_cannot_be_found_scores_0_and_the_first_volume_nothing(repository):
    script = load(repository / "sample_experiments" / "motion_feedback" / "experiment.py")
    lost, first = (SimpleNamespace(converged=found, displacements=np.array([np.nan])) for found in (False, True))
    assert script.feedback(None, SimpleNamespace(motion=lost, settings=script.Settings())) == 0.0
    assert script.feedback(None, SimpleNamespace(motion=first, settings=script.Settings())) is None


@pytest.mark.parametrize("setting", ["limit=0", "limit=-1", "volumes=0"])
def test_a_score_that_makes_no_sense_is_refused(setting, call, small):
    outcome = call("run", "motion_feedback", small.root, "--speed", "max", "--set", setting)
    assert outcome.code == 64
    assert "expected a limit above 0 mm and 1 volume or more" in outcome.err


@pytest.mark.parametrize(
    ("good", "volumes", "left"), [(0, 10, None), (30, 30, 11.5), (15, 30, 24.0), (375, 375, 0.0), (900, 900, 0.0)]
)
def test_the_minutes_left_are_those_of_good_data_at_the_rate_so_far(good, volumes, left, repository):
    script = load(repository / "sample_experiments" / "quality_monitor" / "experiment.py")
    so_far = SimpleNamespace(good=good, volumes=volumes, good_minutes=good * 2 / 60)
    assert script.minutes_left(so_far, 12.5) == (None if left is None else pytest.approx(left))


@pytest.mark.alone
def test_two_regions_correlate_as_numpy_says(call, small, script):
    """The sample's own script without its analysis: 30 volumes of noise, and a window of 10."""
    text = (Path(__file__).parents[2] / "sample_experiments" / "connectivity_feedback" / "experiment.py").read_text()
    other = np.zeros(small.mask.shape, np.uint8)
    other[5:7, 1:3, 3:5] = 1
    nibabel.Nifti1Image(other, small.affine).to_filename(small.root.parent / "other.nii.gz")
    folder = script(text, f"rois:\n  first: {small.mask_file}\n  second: {small.root.parent / 'other.nii.gz'}\n")
    lines = call("run", folder, small.root, "--speed", "max", "--set", "window=10").lines
    a, b = (small.voxels[inside > 0].mean(axis=0) for inside in (small.mask, other))
    own = [np.corrcoef(a[max(0, n - 9) : n + 1], b[max(0, n - 9) : n + 1])[0, 1] for n in range(2, 30)]
    assert [line["value"] for line in lines[:2]] == [None, None]
    assert [line["value"] for line in lines[2:]] == pytest.approx(own, abs=1e-12)
