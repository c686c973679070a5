"""Values where the head has taken the voxels: without reslicing, by scipy and compiled alike."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from heads import moved, phantom
from scipy import ndimage

from rtbids.analysis import splines
from rtbids.analysis.space import Grid, rigid

EGG, GRID = phantom((48, 52, 30), (3.0, 3.0, 3.5))
MOVE = rigid([0.8, -0.5, 0.6, 0.02, -0.01, 0.03])


def test_sampling_the_smoothed_volume_is_reslicing_and_then_smoothing():
    volume = moved(EGG, GRID, MOVE, 5.0)
    inner = np.zeros(GRID.shape, bool)
    inner[5:-5, 5:-5, 5:-5] = True
    fused = splines.sample(splines.coefficients(volume, GRID), GRID.moved(np.array(np.nonzero(inner), float), MOVE))
    resliced = splines.resliced(volume, GRID, MOVE)
    smoothed = ndimage.gaussian_filter(resliced, 5 / np.sqrt(8 * np.log(2)) / GRID.zooms, truncate=3.0)[inner]
    assert np.abs(fused - smoothed).mean() / smoothed.mean() < 2e-4


def test_reslicing_undoes_the_movement():
    volume = moved(EGG, GRID, MOVE)
    left, moved_by = (np.abs(other - EGG).mean() for other in (splines.resliced(volume, GRID, MOVE), volume))
    assert left < 0.05 * moved_by  # twice interpolated: the egg's rim does not come back whole


def test_a_volume_in_its_own_pose_stays_as_it_is_and_outside_it_there_is_nothing():
    np.testing.assert_allclose(splines.resliced(EGG, GRID, np.eye(4)), EGG, atol=1e-3)
    shifted = splines.resliced(np.ones(GRID.shape), GRID, rigid([0, 0, 3.5, 0, 0, 0]))
    np.testing.assert_allclose(shifted[..., :-1], 1, atol=1e-5)
    assert not shifted[..., -1].any()


@pytest.mark.parametrize(("mm", "count"), [(0, 0), (1.7, 0), (1.8, 48 * 52), (3.6, 48 * 52), (7.0, 2 * 48 * 52)])
def test_voxels_that_left_the_field_of_view_are_counted(mm, count):
    voxels = np.indices(GRID.shape).reshape(3, -1).astype(float)
    inside = GRID.holds(GRID.moved(voxels, rigid([0, 0, mm, 0, 0, 0])), beyond=0.5)
    assert np.count_nonzero(~inside) == count


@pytest.mark.parametrize(("slope", "inter"), [(1.0, 0.0), (2.5, -100.0), (1.0, 7.0)])
def test_values_are_the_scanners(slope, inter):
    stored = np.arange(24, dtype=np.int16).reshape(2, 3, 4)
    np.testing.assert_allclose(splines.floats(stored, slope, inter), stored * slope + inter)
    assert splines.floats(stored, slope, inter).dtype == np.float32


def test_what_is_not_a_number_spreads_to_no_other_voxel():
    spoilt = EGG.copy()
    spoilt[2, 2, 2], spoilt[2, 2, 3] = np.nan, np.inf
    zeroed = np.where(np.isfinite(spoilt), spoilt, 0)
    np.testing.assert_array_equal(splines.coefficients(spoilt, GRID), splines.coefficients(zeroed, GRID))


@pytest.mark.parametrize("shape", [(20, 18, 9), (4, 5, 6), (2, 3, 7), (1, 4, 4)])
def test_compiled_and_scipy_say_the_same_inside_on_and_beyond_the_border(shape):
    fast = pytest.importorskip("rtbids.analysis.fast", reason="numba is not installed")
    rng = np.random.default_rng(0)
    coefs = (1000 * rng.normal(size=shape)).astype(np.float32)
    points = np.array(shape)[:, None] * rng.uniform(-0.8, 1.8, (3, 20_000))
    points[:, :2000] = np.rint(points[:, :2000])
    theirs = ndimage.map_coordinates(coefs, points, np.float32, order=3, prefilter=False, mode="mirror")
    np.testing.assert_allclose(fast.sample(coefs, points), theirs, rtol=0, atol=1e-5 * np.abs(theirs).max())


@pytest.mark.parametrize(("absent", "engine"), [(True, "scipy"), (False, "numba")])
def test_numba_is_used_where_it_is_and_not_missed_where_it_is_not(absent, engine):
    if not absent:
        pytest.importorskip("numba")
    hide = "sys.modules['numba'] = None;" if absent else ""
    program = f"import sys; {hide} from rtbids.analysis import splines; print(splines.prepare())"
    said = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True).stdout
    assert said.strip() == engine


def test_grids_are_the_same_within_the_rounding_of_files():
    rounded = Grid(GRID.shape, GRID.affine + 0.0008 * np.array([[1, -1, 1, 1]] * 3 + [[0] * 4]))
    other = Grid(GRID.shape, rigid([0.2, 0, 0, 0, 0, 0]) @ GRID.affine)
    assert GRID.same_as(rounded)
    assert not GRID.same_as(other)
    assert not GRID.same_as(Grid((48, 52, 29), GRID.affine))
