"""References from files: on the volumes' grid, on another where that was asked for, or refused."""

from __future__ import annotations

import nibabel
import numpy as np
import pytest
from heads import apart, moved, phantom

from rtbids.analysis.motion import Realigner
from rtbids.analysis.reference import read
from rtbids.analysis.space import Grid, rigid
from rtbids.errors import BadData, InputMissing

EGG, GRID = phantom()
MOVE = rigid([0.8, -0.5, 0.6, 0.012, -0.007, 0.015])


def saved(path, values, affine=GRID.affine):
    nibabel.save(nibabel.Nifti1Image(values.astype(np.float32), affine), path)
    return path


@pytest.mark.parametrize("name", ["earlier.nii", "earlier.nii.gz"])
def test_a_file_on_the_volumes_grid_is_taken_as_it_is(tmp_path, name):
    np.testing.assert_array_equal(read(saved(tmp_path / name, EGG), GRID), EGG.astype(np.float32))


def test_of_a_whole_run_the_first_volume_is_taken(tmp_path):
    path = saved(tmp_path / "bold.nii.gz", np.stack([EGG, 2 * EGG], axis=-1))
    np.testing.assert_array_equal(read(path, GRID), EGG.astype(np.float32))


def test_another_grid_is_refused_naming_both_and_what_to_do(tmp_path):
    path = saved(tmp_path / "other.nii", EGG, np.diag([3.0, 3.0, 3.0, 1.0]))
    with pytest.raises(BadData, match=r"reference's grid is .*3×3×3 mm.*volumes' is .*4×4×4 mm") as refused:
        read(path, GRID)
    assert "resampled" in str(refused.value.hint)


def test_another_grid_is_resampled_where_that_is_asked_for_and_serves_as_a_reference(tmp_path):
    fine, fine_grid = phantom((72, 80, 40), (2.0, 2.0, 2.0))
    grid = Grid((30, 34, 18), np.array([[-4.0, 0, 0, 58], [0, 4, 0, -66], [0, 0, 4, -34], [0, 0, 0, 1]]))
    centred = fine_grid.to_mm  # in the scanner, the middle of both is at (0, 0, 0)
    reference = read(saved(tmp_path / "fine.nii.gz", fine, centred), grid, resample=True)
    volume = read(saved(tmp_path / "moved.nii.gz", moved(fine, fine_grid, MOVE), centred), grid, resample=True)
    pose = Realigner(reference, grid).estimate(volume)
    assert pose.converged
    assert apart(pose.matrix, MOVE) < 0.05


def test_where_the_reference_says_nothing_it_is_no_number(tmp_path):
    half = saved(tmp_path / "half.nii", EGG[:, :, :10])
    resampled = read(half, GRID, resample=True)
    np.testing.assert_allclose(resampled[:, :, :10], EGG[:, :, :10], atol=0.01)
    assert np.isnan(resampled[:, :, 10:]).all()


def test_a_reference_elsewhere_is_refused(tmp_path):
    away = np.diag([4.0, 4.0, 4.0, 1.0])
    away[:3, 3] = 5000
    with pytest.raises(BadData, match="no place in common"):
        read(saved(tmp_path / "away.nii", EGG, away), GRID, resample=True)


@pytest.mark.parametrize(
    ("content", "kind"), [(None, InputMissing), (b"", BadData), (b"no image at all", BadData), (b"\x1f\x8b broken", BadData)]
)
def test_what_is_no_image_is_said_in_a_line(tmp_path, content, kind):
    path = tmp_path / "reference.nii.gz"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(kind, match="reference") as refused:
        read(path, GRID)
    assert "\n" not in str(refused.value)


def test_a_file_cut_off_is_said(tmp_path):
    path = saved(tmp_path / "cut.nii", EGG)
    path.write_bytes(path.read_bytes()[:5000])
    with pytest.raises(BadData, match="the reference is no image that can be read"):
        read(path, GRID)


def test_a_picture_of_two_dimensions_is_refused(tmp_path):
    with pytest.raises(BadData, match="three dimensions"):
        read(saved(tmp_path / "flat.nii", EGG[:, :, 0]), GRID)
