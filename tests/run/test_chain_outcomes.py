"""Real runs through the whole chain: the effects of the published models keep their sign."""

from __future__ import annotations

import logging
from dataclasses import replace

import nibabel
import numpy as np
import pytest
import regulated_run
from moving_head import FULL

from rtbids.analysis import masks
from rtbids.analysis.roi import Roi
from rtbids.bids import events as bids_events
from rtbids.run.chain.chain import Chain
from rtbids.volume import volume_of

LAG = 4.0  # seconds by which the response is behind, about


@pytest.mark.slow
def test_both_regions_of_the_neurofeedback_run_rise_when_they_are_regulated(real_data, tmp_path, caplog):
    """Left t 13.7, right t 5.6 without realignment and smoothing, under the published model."""
    folder, volumes, events = regulated_run.read(real_data, tmp_path)
    files = {"left": folder / "lROI_1.nii", "right": folder / "rROI_2.nii"}
    regions = {name: Roi(masks.read(path)[0], events, 1.97, name=name) for name, path in files.items()}
    made = Chain(replace(FULL, contrasts={"regulation": "regulate > rest"}, volumes=len(volumes)), volumes[0], events, regions)
    changes = {name: [] for name in regions}
    caplog.clear()  # of what the series has no name for
    with caplog.at_level(logging.WARNING, "rtbids"):
        for volume in volumes:
            made.add(volume)
            for name, roi in regions.items():
                change = roi.percent_signal_change()
                changes[name].append(np.nan if change is None else change)
    regulated = events.covers("regulate", np.arange(len(volumes)) * 1.97 - LAG, 1.97)
    for name, roi in regions.items():
        assert made.glm.mean_t("regulation", roi.mask) > 3
        values = np.array(changes[name])
        assert np.nanmean(values[regulated]) > np.nanmean(values[~regulated]) + 0.3
    assert made.quality.summary.spikes == 0
    assert not caplog.messages


@pytest.mark.slow
def test_faces_stand_out_from_scenes_and_houses_in_the_one_back_run(real_data):
    """t 13.0 at the most without realignment and smoothing, under the published model."""
    run = real_data / "bids_oneback" / "sub-01" / "func" / "sub-01_task-oneback_run-1_bold.nii.gz"
    if not run.is_file():
        pytest.skip("the one-back run is not among the real series: bids_oneback")
    image = nibabel.load(run)
    series = np.asarray(image.dataobj.get_unscaled())
    text = (run.parent / run.name.replace("bold.nii.gz", "events.tsv")).read_text()
    events, scale = bids_events.read(text, "events"), (float(image.dataobj.slope), float(image.dataobj.inter))
    contrasts = {"faces": "face > scene + house", "all": "all > rest"}
    entities, fields = {"subject": "01", "task": "oneback"}, {"RepetitionTime": 2.0}
    made = None
    for n in range(series.shape[3]):
        volume = volume_of(series[..., n], image.affine, entities, fields, n, slope=scale[0], inter=scale[1])
        made = made or Chain(replace(FULL, contrasts=contrasts, volumes=series.shape[3]), volume, events, {})
        made.add(volume)
    assert made is not None
    faces, everything = made.glm.t("faces"), made.glm.t("all")
    assert np.nanmax(faces) > 8
    assert np.nanmax(everything) > 10
    assert np.nanmax(faces) > -np.nanmin(faces)
