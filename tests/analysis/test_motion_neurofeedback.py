"""The mean of a real neurofeedback run, moved by up to 3 mm and 3°: every volume from a cold start."""

from __future__ import annotations

import tarfile

import numpy as np
import pytest
from heads import apart, moved

import rtbids
from rtbids.analysis.motion import Realigner
from rtbids.analysis.quality import Quality
from rtbids.analysis.space import Grid, rigid

NOISE = 7.64  # standard deviation of both channels, which gives the run's own tSNR of 77


@pytest.fixture(scope="module")
def volumes(real_data, tmp_path_factory):
    archive = real_data / "siemens_mosaic_vb17_nf/whole_run/nf_run.tar.xz"
    if not archive.is_file():
        pytest.skip("whole neurofeedback run not found: siemens_mosaic_vb17_nf/whole_run/nf_run.tar.xz")
    folder = tmp_path_factory.mktemp("nf")
    with tarfile.open(archive) as tar:
        tar.extractall(folder, filter="data")
    return list(rtbids.volumes(folder))


@pytest.mark.slow
def test_poses_of_up_to_3_mm_and_3_degrees_are_found_to_a_fiftieth_of_a_millimetre(volumes):
    """To reach: median 0.02 mm, greatest 0.04 mm on a sphere of 50 mm; pyOpenNFT's core 0.036 and 0.064."""
    mean = np.mean([volume.scaled() for volume in volumes], axis=0)
    grid, rng, errors = Grid(volumes[0].shape, volumes[0].affine), np.random.default_rng(1), []
    for n in range(40):
        greatest = 0.3 if n < 10 else 0.9 if n < 20 else 3.0
        truth = rigid(rng.uniform(-greatest, greatest, 6) * [1, 1, 1, *np.deg2rad([1, 1, 1])])
        pose = Realigner(mean, grid).estimate(moved(mean, grid, truth, NOISE, seed=n) * (1 + 0.01 * n / 40))
        assert pose.converged
        errors.append(apart(pose.matrix, truth))
    assert np.median(errors) <= 0.02
    assert max(errors) <= 0.04


@pytest.mark.slow
def test_the_real_run_is_still_and_every_pose_converges(volumes):
    """SPM's own parameters of this run stay within 0.1 mm; its tSNR is about 77."""
    first = volumes[0]
    grid = Grid(first.shape, first.affine)
    realigner, quality = Realigner(first.scaled(), grid), Quality(grid, first.repetition_time)
    for volume in volumes[:90]:
        pose = realigner.estimate(volume.scaled())
        measures = quality.add(volume.scaled(), pose)
        assert pose.converged
        assert pose.steps <= 5
        assert np.abs(pose.parameters[:3]).max() < 0.2
        assert not measures.spikes
    assert 50 < quality.summary.tsnr < 110
    assert quality.summary.good == 89
