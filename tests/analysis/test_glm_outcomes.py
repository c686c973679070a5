"""Real runs have the effects that were published for them, or found by other programs, under the same models."""

from __future__ import annotations

import lzma
import tarfile
from pathlib import Path

import nibabel
import numpy as np
import pydicom
import pytest
from scipy import stats

from rtbids.analysis.contrasts import weights
from rtbids.analysis.design import Design, Model
from rtbids.analysis.glm import Glm
from rtbids.analysis.roi import Roi
from rtbids.bids import events as bids_events
from rtbids.bids.events import Event, Events

TR = 1.97
SKIPPED = 5  # volumes before the first block, as the recording system counted
SIDES = {"left": ("lROI_1.nii", 13.7, 0.93), "right": ("rROI_2.nii", 5.6, 0.84)}


@pytest.fixture(scope="module")
def neurofeedback(real_data) -> tuple[Path, dict[str, np.ndarray]]:
    """Return the run's folder and the mean of its two regions in every volume (155,)."""
    folder = real_data / "siemens_mosaic_vb17_nf" / "whole_run"
    if not folder.is_dir():
        pytest.skip("the neurofeedback run is not among the real series: siemens_mosaic_vb17_nf/whole_run")
    masks = {side: np.asarray(nibabel.load(folder / name).dataobj) > 0 for side, (name, _, _) in SIDES.items()}
    regions = {side: Roi(mask, Events(), TR) for side, mask in masks.items()}
    with lzma.open(folder / "nf_run.tar.xz") as file, tarfile.open(fileobj=file) as tar:
        members = sorted((one for one in tar.getmembers() if one.name.endswith(".dcm")), key=lambda one: one.name)
        for index, member in enumerate(members):
            voxels = unpacked(pydicom.dcmread(tar.extractfile(member)).pixel_array, masks["left"].shape)
            for roi in regions.values():
                i, j, k = roi.places.T
                roi.add_values(index, voxels[i, j, k])
    return folder, {side: roi.signal for side, roi in regions.items()}


def unpacked(mosaic: np.ndarray, shape: tuple[int, int, int]) -> np.ndarray:
    """Return a mosaic's slices as (i, j, k), j from the back of the head forwards as in the converted file."""
    width, height, count = shape
    across = mosaic.shape[1] // width
    tiles = mosaic.reshape(-1, height, across, width).transpose(0, 2, 1, 3).reshape(-1, height, width)
    return tiles[:count].transpose(2, 1, 0)[:, ::-1]


@pytest.mark.parametrize("side", SIDES)
def test_the_regulated_regions_rise_as_much_as_under_the_published_model(neurofeedback, side):
    folder, regions = neurofeedback
    _, expected, rise = SIDES[side]
    percent = regions[side][SKIPPED:]
    percent = 100 * percent / percent.mean()
    count, boxcar = len(percent), np.zeros(len(percent))
    for event in bids_events.read((folder / "nf_run_events.tsv").read_text(), "events").rows:
        first = round(event.onset / TR) - SKIPPED
        boxcar[first : first + round(event.duration / TR)] = 1
    times = np.arange(0, 32, TR)
    task = np.convolve(boxcar, stats.gamma.pdf(times, 6) - stats.gamma.pdf(times, 16) / 6)[:count]
    ramp = np.linspace(-1, 1, count)
    glm = Glm(("regulate", "constant", "linear", "quadratic"), 1)
    for n in range(count):
        glm.add(np.array([task[n], 1, ramp[n], ramp[n] ** 2]), percent[n : n + 1])
    found = glm.estimate({"regulate": 1})
    # Published with one decimal, and two.
    assert found.t[0] == pytest.approx(expected, abs=0.1)
    assert found.effect[0] * task.max() == pytest.approx(rise, abs=0.005)


@pytest.mark.parametrize("side", SIDES)
def test_the_regulated_regions_rise_under_our_own_design_too(neurofeedback, side):
    folder, regions = neurofeedback
    events = bids_events.read((folder / "nf_run_events.tsv").read_text(), "events")
    moved = Events(tuple(Event(one.onset - SKIPPED * TR, one.duration, one.trial_type) for one in events.rows))
    design = Design(Model(), moved, TR, 150)
    glm = Glm(design.columns, 1)
    signal = regions[side][SKIPPED:]
    for n in range(150):
        glm.add(design.row(n), signal[n : n + 1])
    # Another filter (four cosines) and a finer grid than the published model's: the same effect, not the same figure.
    assert glm.t(weights("regulate > rest", design.columns, design.conditions))[0] > SIDES[side][1] / 2


@pytest.mark.slow
def test_the_one_back_run_has_its_published_maps(real_data):
    run = real_data / "bids_oneback" / "sub-01" / "func" / "sub-01_task-oneback_run-1_bold.nii.gz"
    if not run.is_file():
        pytest.skip("the one-back run is not among the real series: bids_oneback")
    volumes = np.asarray(nibabel.load(run).dataobj)
    mean = volumes.mean(axis=3)
    voxels = volumes[mean > 0.8 * mean.mean()].T
    assert voxels.shape == (156, 59_682)
    text = (run.parent / run.name.replace("bold.nii.gz", "events.tsv")).read_text()
    design = Design(Model(drift="polynomial", degree=3), bids_events.read(text, "events"), 2.0, 156)
    glm = Glm(design.columns, voxels.shape[1])
    for n, values in enumerate(voxels):
        glm.add(design.row(n), values)
    everything = glm.t(weights("all > rest", design.columns, design.conditions))
    faces = glm.t(weights("face > scene + house", design.columns, design.conditions))
    # Published with one decimal.
    assert np.nanmax(everything) == pytest.approx(25.6, abs=0.05)
    assert np.count_nonzero(everything > 4) == 3173
    assert np.nanmax(faces) == pytest.approx(13.0, abs=0.05)
