"""Entries of ``rois:``: a mask alone, or with weights, a summary, and leave to be on another grid."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import moving_head as heads
import nibabel
import numpy as np
import pytest
from moving_head import AFFINE, LEFT, SHAPE
from run.sessions import UNPACED, Lines, lane, session

from rtbids.bids.events import Events
from rtbids.cli import statuses
from rtbids.errors import BadData, UsageFault
from rtbids.pipeline import Inbox
from rtbids.run.recipe import recipe, region
from rtbids.run.recipe.recipe import Recipe
from rtbids.run.recipe.region import Region
from rtbids.run.record import provenance

WEIGHTS = np.where(LEFT, np.arange(LEFT.size, dtype=np.float32).reshape(SHAPE), 0)
HALF = AFFINE @ np.diag([0.5, 0.5, 0.5, 1.0])
HALF[:3, 3] = AFFINE[:3, 3] - AFFINE[:3, :3] @ np.full(3, 0.25)  # eight of its voxels lie in one of the volumes'
NUMBERS = """
def feedback(volume, run):
    roi = run.roi("left")
    return {"signal": float(roi.signal[-1]), "median": roi.median(), "weighted": roi.weighted_mean()}
"""


@pytest.fixture
def folder(tmp_path) -> Path:
    (tmp_path / "experiment.py").write_text(NUMBERS)
    fine = LEFT.repeat(2, 0).repeat(2, 1).repeat(2, 2)
    for name, voxels, affine in (("left", LEFT, AFFINE), ("weights", WEIGHTS, AFFINE), ("fine", fine, HALF)):
        nibabel.save(nibabel.Nifti1Image(voxels.astype(np.float32), affine), tmp_path / f"{name}.nii.gz")
    return tmp_path


def read(folder: Path, entry: str, *assignments: str) -> Recipe:
    (folder / "config.yaml").write_text(f"rois:\n  left: {entry}\n")
    return recipe.read(str(folder), assignments)


def test_a_region_with_weights_has_its_weighted_mean_in_the_experiments_process(folder):
    """The whole way: config, channel, mask, and the script's answer."""
    (folder / "config.yaml").write_text("rois: {left: {mask: left.nii.gz, weights: weights.nii.gz}}\n")
    kept, volume = Lines(), replace(heads.volume(heads.head(), 0), metadata=UNPACED, times={"received": 1.0})
    session([lane(folder, NUMBERS, kept)]).run(Inbox([volume]))
    (row,) = kept.rows
    inside = volume.data[LEFT].astype(np.float64)
    assert row["value"]["weighted"] == pytest.approx(np.average(inside, weights=WEIGHTS[LEFT]), rel=1e-12)
    assert row["value"]["signal"] == row["value"]["weighted"]
    assert row["value"]["median"] == pytest.approx(np.median(inside))


@pytest.mark.parametrize(
    ("entry", "expected"),
    [
        ("left.nii.gz", np.mean),
        ("{mask: left.nii.gz}", np.mean),
        ("{mask: left.nii.gz, summary: median}", np.median),
        ("{mask: left.nii.gz, weights: weights.nii.gz, summary: mean}", np.mean),
        ("{mask: fine.nii.gz, resample: true}", np.mean),
        ("{mask: left.nii.gz, resample: true}", np.mean),
    ],
)
def test_the_regions_number_is_what_the_config_asks_for(folder, entry, expected):
    volume = heads.volume(heads.head(), 0)
    found = region.from_json(read(folder, entry).regions["left"].to_json())
    roi = found.roi("left", volume, Events())
    roi.add(volume)
    assert roi.signal[-1] == pytest.approx(expected(volume.data[LEFT].astype(np.float64)), rel=1e-12)


def test_a_mask_on_another_grid_is_refused_with_what_to_say(folder):
    with pytest.raises(BadData, match="the mask's grid is 48×48×32") as refused:
        read(folder, "fine.nii.gz").regions["left"].check_grid(heads.volume(heads.head(), 0))
    assert "resample: true" in str(refused.value.hint)


def test_weights_on_another_grid_than_the_mask_are_known_before_a_volume(folder):
    found = read(folder, "{mask: left.nii.gz, weights: fine.nii.gz}").regions["left"]
    with pytest.raises(BadData, match=r"fine\.nii\.gz: the weights' grid is 48×48×32 .*, the mask's is 24×24×16") as refused:
        found.check()
    assert "weights: PATH, resample: true" in str(refused.value.hint)
    with pytest.raises(BadData, match=r"fine\.nii\.gz: the weights' grid is 48×48×32 .*, the volumes' is 24×24×16"):
        found.check_grid(heads.volume(heads.head(), 0))


@pytest.mark.parametrize("mask", ["left", "fine"])
def test_weights_on_another_grid_are_resampled_where_that_is_asked_for(folder, mask):
    """Eight voxels have the weight of the one that they lie in: back on its grid they are the same weights."""
    eightfold = WEIGHTS.repeat(2, 0).repeat(2, 1).repeat(2, 2)
    nibabel.save(nibabel.Nifti1Image(eightfold, HALF), folder / "weights.nii.gz")
    found = read(folder, f"{{mask: {mask}.nii.gz, weights: weights.nii.gz, resample: true}}").regions["left"]
    volume = heads.volume(heads.head(), 0)
    found.check()
    found.check_grid(volume)
    roi = found.roi("left", volume, Events())
    roi.add(volume)
    assert roi.weighted_mean() == pytest.approx(
        np.average(volume.data[LEFT].astype(np.float64), weights=WEIGHTS[LEFT]), rel=1e-12
    )


def test_there_is_no_weight_outside_of_the_file_of_the_weights(folder):
    first, last = np.argwhere(LEFT).min(axis=0), np.argwhere(LEFT).max(axis=0)
    cut = (first[0] + last[0]) // 2 + 1
    nibabel.save(nibabel.Nifti1Image(WEIGHTS[:cut], AFFINE), folder / "weights.nii.gz")
    found = read(folder, "{mask: left.nii.gz, weights: weights.nii.gz, resample: true}").regions["left"]
    volume = heads.volume(heads.head(), 0)
    roi = found.roi("left", volume, Events())
    roi.add(volume)
    within = LEFT.copy()
    within[cut:] = False
    expected = np.average(volume.data[within].astype(np.float64), weights=WEIGHTS[within])
    assert roi.weighted_mean() == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        ("{mask: left.nii.gz, summary: middle}", "rois.left.summary: expected"),
        ("{mask: left.nii.gz, wieghts: weights.nii.gz}", "did you mean 'rois.left.weights'"),
        ("{mask: left.nii.gz, summary: weighted mean}", "rois.left: a weighted mean needs weights"),
        ("{resample: true}", "missing key 'rois.left.mask'"),
        ("3", "rois.left: expected"),
    ],
)
def test_what_makes_no_sense_is_said_with_its_key(folder, entry, said):
    with pytest.raises(UsageFault, match=said):
        read(folder, entry)


@pytest.mark.parametrize(
    ("entry", "assignment", "expected"),
    [
        ("left.nii.gz", "rois.left=fine.nii.gz", Region(Path("fine.nii.gz"))),
        ("{mask: left.nii.gz, resample: true}", "rois.left=fine.nii.gz", Region(Path("fine.nii.gz"), resample=True)),
        ("left.nii.gz", "rois.left.resample=true", Region(Path("left.nii.gz"), resample=True)),
        ("left.nii.gz", "rois.left.weights=weights.nii.gz", Region(Path("left.nii.gz"), Path("weights.nii.gz"))),
        ("left.nii.gz", "rois.left.summary=median", Region(Path("left.nii.gz"), summary="median")),
    ],
)
def test_the_command_line_changes_one_key_of_it(folder, monkeypatch, entry, assignment, expected):
    monkeypatch.chdir(folder)
    assert read(folder, entry, assignment).regions["left"] == expected.absolute(folder)


def test_a_request_to_start_an_experiment_has_its_paths_in_full_and_nothing_else(folder, monkeypatch):
    monkeypatch.chdir(folder)
    read(folder, "left.nii.gz")
    asked = ["rois.left=fine.nii.gz", "rois.left.weights=weights.nii.gz", "rois.left.resample=true"]
    request = statuses.to_start(str(folder), asked, [], None)
    assert request["set"] == [
        f"rois.left={folder}/fine.nii.gz",
        f"rois.left.weights={folder}/weights.nii.gz",
        "rois.left.resample=true",
    ]


def test_what_is_said_of_a_region_is_in_the_results(folder):
    about = provenance.of(read(folder, "{mask: left.nii.gz, weights: weights.nii.gz, resample: true}"))["Regions"]["left"]
    assert (about["File"], about["Weights"], about["Resampled"]) == ("left.nii.gz", "weights.nii.gz", True)
    assert set(provenance.of(read(folder, "left.nii.gz"))["Regions"]["left"]) == {"File", "SHA256"}
