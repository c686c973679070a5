"""How good volumes are: hand cases, numpy over the whole run, and that nothing looks ahead."""

from __future__ import annotations

import numpy as np
import pytest

from rtbids.analysis.displacement import framewise, rms
from rtbids.analysis.limits import Limits
from rtbids.analysis.motion import Pose
from rtbids.analysis.quality import Quality, brain
from rtbids.analysis.space import Grid, rigid
from rtbids.errors import BadData

SHAPE = (7, 6, 5)
GRID = Grid.of_zooms(SHAPE, (3.0, 3.0, 4.0))
ALL = np.ones(SHAPE, bool)


def at(*parameters):
    return Pose(rigid(parameters), 2, 1.0)


def still():
    return at(0, 0, 0, 0, 0, 0)


LOST = Pose(np.eye(4), 20, np.nan, "no end after 20 steps")


@pytest.mark.parametrize(
    ("parameters", "mm"),
    [
        ((0.1, 0, 0, 0, 0, 0), 0.1),
        ((0, 0, 0, np.pi / 180, 0, 0), 50 * np.pi / 180),
        ((-0.1, 0.2, -0.3, 0, 0, -0.01), 0.6 + 0.5),
    ],
)
def test_framewise_displacement_by_hand(parameters, mm):
    assert framewise(np.eye(4), rigid(parameters)) == pytest.approx(mm, abs=1e-12)
    assert framewise(rigid(parameters), np.eye(4)) == pytest.approx(mm, abs=1e-12)


@pytest.mark.parametrize("radius", [50.0, 80.0])
@pytest.mark.parametrize("seed", range(4))
def test_rms_displacement_is_that_of_points_in_a_ball(radius, seed):
    rng = np.random.default_rng(seed)
    before, after = (rigid(rng.uniform(-1, 1, 6) * [2, 2, 2, 0.05, 0.05, 0.05]) for _ in range(2))
    axis = np.linspace(-1, 1, 81)
    ball = np.array(np.meshgrid(axis, axis, axis)).reshape(3, -1)
    ball = radius * ball[:, (ball**2).sum(axis=0) <= 1]
    places = np.vstack([ball, np.ones(ball.shape[1])])
    moved = np.sqrt((((after - before) @ np.linalg.inv(before) @ places)[:3] ** 2).sum(axis=0).mean())
    assert rms(before, after, radius) == pytest.approx(moved, rel=1e-3)


@pytest.mark.parametrize("offset", [0.0, 1e6])
def test_tsnr_is_numpys_at_every_volume(offset):
    series = np.random.default_rng(0).normal(100 + offset, 3, (25, *SHAPE))
    quality = Quality(GRID, 2.0, ALL)
    for n, volume in enumerate(series, 1):
        measures = quality.add(volume)
        if n > 1:
            expected = series[:n].mean(axis=0) / series[:n].std(axis=0, ddof=1)
            np.testing.assert_allclose(quality.tsnr(), expected, rtol=1e-8)
            assert measures.tsnr == pytest.approx(np.median(expected), rel=1e-8)


def test_there_is_no_tsnr_of_one_volume_and_of_voxels_that_never_change():
    quality = Quality(GRID, 2.0, ALL)
    assert quality.add(np.full(SHAPE, 5)).tsnr is None
    assert quality.add(np.full(SHAPE, 5)).tsnr is None
    assert np.isnan(quality.tsnr()).all()


def test_dvars_of_a_step_is_the_step_by_the_median():
    quality = Quality(GRID, 2.0, ALL)
    first = np.random.default_rng(0).uniform(500, 1500, SHAPE)
    assert quality.add(first).dvars is None
    assert quality.add(first + 7).dvars == pytest.approx(100 * 7 / np.median(first), abs=1e-12)
    assert quality.add(first + 7).dvars == 0


def test_dvars_is_the_root_mean_square_of_numpy_over_the_brain():
    rng, mask = np.random.default_rng(1), np.random.default_rng(2).random(SHAPE) < 0.4
    volumes = rng.normal(1000, 30, (4, *SHAPE))
    quality = Quality(GRID, 2.0, mask)
    found = [quality.add(volume).dvars for volume in volumes]
    inside = volumes[:, mask]
    expected = 100 * np.sqrt((np.diff(inside, axis=0) ** 2).mean(axis=1)) / np.median(inside[0])
    np.testing.assert_allclose(found[1:], expected, rtol=1e-12)


def test_global_signal_is_the_mean_over_the_brain():
    mask = np.zeros(SHAPE, bool)
    mask[2:4, 2:4, 2] = True
    volume = np.random.default_rng(0).integers(0, 2**15, SHAPE).astype(np.uint16)
    assert Quality(GRID, 2.0, mask).add(volume).global_signal == pytest.approx(volume[mask].mean(), rel=1e-12)


def test_displacement_is_since_the_last_volume_whose_pose_is_known():
    quality = Quality(GRID, 2.0, ALL)
    volume = np.ones(SHAPE)
    poses = [at(0, 0, 0, 0, 0, 0), at(0.1, 0, 0, 0, 0, 0), LOST, at(0.4, 0, 0, 0, 0, 0)]
    found = [quality.add(volume, pose).displacement for pose in poses]
    assert found[0] is None
    assert found[1] == pytest.approx(0.1)
    assert found[2] is None
    assert found[3] == pytest.approx(0.3)


@pytest.mark.parametrize(
    ("pose", "step", "spikes"),
    [
        (still(), 0, ()),
        (at(0.49, 0, 0, 0, 0, 0), 0, ()),
        (at(0.51, 0, 0, 0, 0, 0), 0, ("displacement",)),
        (at(0, 0, 0, 0, 0, 0.011), 51, ("displacement", "dvars")),
        (still(), 49, ()),
        (still(), 50, ("dvars",)),
        (LOST, 0, ("pose",)),
        (None, 51, ("dvars",)),
    ],
)
def test_a_spike_says_why_it_is_one(pose, step, spikes):
    quality = Quality(GRID, 2.0, ALL)
    quality.add(np.full(SHAPE, 1000.0), still())
    assert quality.add(np.full(SHAPE, 1000.0 + step), pose).spikes == spikes


def test_good_minutes_and_the_time_to_the_criterion_by_hand():
    """Of 10 volumes of 2 s the first and every third do not count: 6 are good, 0.2 min of 20 s; 1 min takes 4/3 min more."""
    quality = Quality(GRID, 2.0, ALL, Limits(good_displacement=0.2, criterion=1.0))
    assert quality.add(np.ones(SHAPE), still()).good is False
    assert quality.summary.minutes_to_criterion is None
    x = 0.0
    for n in range(1, 10):
        x += 0.3 if n % 3 == 0 else 0.1
        assert quality.add(np.ones(SHAPE), at(x, 0, 0, 0, 0, 0)).good is (n % 3 != 0)
    summary = quality.summary
    assert (summary.volumes, summary.good, summary.spikes) == (10, 6, 0)
    assert summary.good_minutes == pytest.approx(0.2)
    assert summary.minutes_to_criterion == pytest.approx(0.8 * (20 / 60) / 0.2)
    assert summary.mean_displacement == pytest.approx((3 * 0.3 + 6 * 0.1) / 9)
    assert summary.greatest_displacement == pytest.approx(0.3)


def test_once_the_criterion_is_reached_no_time_is_left():
    quality = Quality(GRID, 30.0, ALL, Limits(criterion=1.0))
    for _ in range(4):
        quality.add(np.ones(SHAPE), still())
    assert quality.summary.minutes_to_criterion == 0


def test_without_motion_nothing_is_said_of_it():
    quality = Quality(GRID, 2.0, ALL)
    measures = [quality.add(np.full(SHAPE, 1000.0)) for _ in range(3)][-1]
    assert (measures.displacement, measures.rms, measures.good, measures.spikes) == (None, None, False, ())
    assert quality.summary.mean_displacement is None


def test_no_volume_at_all_has_a_summary():
    summary = Quality(GRID, 2.0).summary
    assert (summary.volumes, summary.good_minutes, summary.minutes_to_criterion, summary.tsnr) == (0, 0, None, None)
    assert np.isnan(Quality(GRID, 2.0).tsnr()).all()


def test_voxels_that_are_no_numbers_count_nowhere():
    series = np.random.default_rng(3).normal(100, 3, (8, *SHAPE))
    series[2, 1, 1, 1] = series[5, 1, 1, 1] = series[5, 2, 2, 2] = np.nan
    series[6, 3, 3, 3] = np.inf
    quality = Quality(GRID, 2.0, ALL)
    measures = [quality.add(volume) for volume in series]
    known = np.where(np.isfinite(series), series, np.nan)
    expected = np.nanmean(known, axis=0) / np.nanstd(known, axis=0, ddof=1)
    np.testing.assert_allclose(quality.tsnr(), expected, rtol=1e-10)
    np.testing.assert_allclose([m.global_signal for m in measures], np.nanmean(known, axis=(1, 2, 3)), rtol=1e-12)
    changes = np.sqrt(np.nanmean(np.diff(known, axis=0) ** 2, axis=(1, 2, 3)))
    np.testing.assert_allclose([m.dvars for m in measures[1:]], 100 * changes / np.median(series[0]), rtol=1e-12)


@pytest.mark.parametrize("value", [0.0, 7.0, np.nan])
def test_volumes_without_contrast_or_numbers_stop_nothing(value):
    quality = Quality(GRID, 2.0)
    for _ in range(3):
        measures = quality.add(np.full(SHAPE, value))
    assert measures.tsnr is None
    assert measures.dvars in (None, 0.0)


def test_the_brain_is_what_is_bright_after_smoothing():
    grid = Grid.of_zooms((40, 40, 20), (3.0, 3.0, 4.0))
    x, y, z = (grid.to_mm[:3, :3] @ np.indices(grid.shape).reshape(3, -1) + grid.to_mm[:3, 3:]).reshape(3, *grid.shape)
    distance = np.sqrt(x**2 + y**2 + z**2)
    volume = np.where(distance < 30, 1000.0, 5.0) + np.random.default_rng(0).normal(0, 3, grid.shape)
    mask = brain(volume, grid)
    assert mask[distance < 26].all()  # smoothing takes a voxel from the rim, and adds none outside
    assert not mask[distance > 30].any()


def test_measures_depend_on_no_later_volume():
    rng = np.random.default_rng(4)
    volumes = rng.normal(1000, 20, (9, *SHAPE)).astype(np.float32)
    poses = [at(*(rng.normal(0, 0.1, 6) * [1, 1, 1, 0.01, 0.01, 0.01])) for _ in volumes]

    def measured(count):
        quality = Quality(GRID, 2.0)
        return [quality.add(volume, pose) for volume, pose in zip(volumes[:count], poses, strict=False)], quality.summary

    whole, _ = measured(9)
    prefix, summary = measured(5)
    assert prefix == whole[:5]
    assert summary == measured(5)[1]


@pytest.mark.parametrize("mask", [np.ones((7, 6, 4), bool), np.zeros(SHAPE, bool)])
def test_a_mask_of_another_shape_or_empty_is_refused(mask):
    with pytest.raises(BadData, match="expected a brain mask"):
        Quality(GRID, 2.0, mask)


def test_a_volume_of_another_shape_is_refused():
    with pytest.raises(BadData, match="as the ones before"):
        Quality(GRID, 2.0, ALL).add(np.ones((7, 6, 4)))
