"""Which voxels a mask file selects."""

from __future__ import annotations

from pathlib import Path

import nibabel
import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import ndimage

from rtbids.analysis import masks
from rtbids.errors import BadData

REGION = np.zeros((4, 3, 2), bool)
REGION[1:3, 1, 0] = True


def saved(path: Path, voxels: NDArray[np.generic]) -> Path:
    nibabel.save(nibabel.Nifti1Image(voxels, np.eye(4)), path)
    return path


@pytest.mark.parametrize("outside", [0.0, np.nan])
def test_zero_and_not_a_number_lie_outside(tmp_path, outside):
    path = saved(tmp_path / "mask.nii.gz", np.where(REGION, 0.7, outside).astype(np.float32))
    np.testing.assert_array_equal(masks.read(path)[0], REGION)


def test_the_scaled_value_counts(tmp_path):
    path = saved(tmp_path / "mask.nii", np.where(REGION, 3, 2).astype(np.uint8))
    content = bytearray(path.read_bytes())
    content[112:120] = np.array([1.0, -2.0], "<f4").tobytes()  # scl_slope and scl_inter
    path.write_bytes(content)
    np.testing.assert_array_equal(nibabel.load(path).get_fdata(), REGION)
    np.testing.assert_array_equal(masks.read(path)[0], REGION)


def test_a_mask_without_a_number_is_empty(tmp_path):
    path = saved(tmp_path / "mask.nii", np.full((4, 3, 2), np.nan, np.float32))
    with pytest.raises(BadData, match="the mask is empty"):
        masks.read(path)


def sphere(shape: tuple[int, ...], affine: np.ndarray) -> np.ndarray:
    """True within 30 mm of a point of the scanner's."""
    return distance(shape, affine) < 30


def oblique(zoom: float, degrees: float, origin: float) -> np.ndarray:
    c, s = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    affine = np.diag([-zoom, zoom, zoom, 1.0])
    affine[:3, :3] = np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]]) @ affine[:3, :3]
    affine[:3, 3] = [-origin, origin, origin]
    return affine


def test_a_mask_on_another_grid_is_resampled_to_the_nearest_voxel(tmp_path):
    fine, coarse = oblique(2.0, 10, -60), oblique(3.0, 0, -60)
    path = tmp_path / "mask.nii.gz"
    nibabel.save(nibabel.Nifti1Image(sphere((70, 70, 60), fine).astype(np.uint8), fine), path)
    found = masks.resampled(path, (40, 41, 42), coarse)
    stored = nibabel.load(path)
    through = np.linalg.inv(stored.affine) @ coarse
    nearest = ndimage.affine_transform(stored.get_fdata(), through[:3, :3], through[:3, 3], (40, 41, 42), order=0)
    np.testing.assert_array_equal(found, nearest.astype(bool))
    away = np.abs(distance((40, 41, 42), coarse) - 30) > 2  # beyond a voxel of the surface nothing is left to rounding
    assert found.any()
    np.testing.assert_array_equal(found[away], sphere((40, 41, 42), coarse)[away])


def distance(shape: tuple[int, ...], affine: np.ndarray) -> np.ndarray:
    mm = affine[:3, :3] @ np.indices(shape).reshape(3, -1) + affine[:3, 3:]
    return np.linalg.norm(mm - [[5.0], [-8.0], [12.0]], axis=0).reshape(shape)


def test_a_mask_is_resampled_only_where_that_was_asked_for(tmp_path):
    path = saved(tmp_path / "mask.nii", REGION.astype(np.uint8))
    np.testing.assert_array_equal(masks.on_grid(path, REGION.shape, np.eye(4), resample=True), REGION)
    np.testing.assert_array_equal(masks.on_grid(path, REGION.shape, np.eye(4)), REGION)
    half = np.diag([0.5, 0.5, 0.5, 1.0])  # eight of its voxels fill one of the mask's
    half[:3, 3] = -0.25
    with pytest.raises(BadData, match=r"mask\.nii: the mask's grid is 4×3×2 voxels"):
        masks.on_grid(path, (8, 6, 4), half)
    assert masks.on_grid(path, (8, 6, 4), half, resample=True).sum() == 8 * REGION.sum()


def test_a_mask_that_the_volumes_do_not_reach_is_refused_by_name(tmp_path):
    path = saved(tmp_path / "mask.nii", REGION.astype(np.uint8))
    away = np.eye(4)
    away[0, 3] = 50
    with pytest.raises(BadData, match=r"mask\.nii: the mask is empty on the volumes' grid"):
        masks.on_grid(path, (4, 4, 4), away, resample=True)


def test_where_a_mask_lies_is_known_from_its_header_alone(tmp_path):
    """The run's loop asks; what is behind the header need not even be whole."""
    whole = nibabel.Nifti1Image(np.random.default_rng(0).integers(0, 2, (40, 40, 30)).astype(np.uint8), np.diag([3, 3, 3, 1.0]))
    nibabel.save(whole, tmp_path / "mask.nii.gz")
    cut = tmp_path / "cut.nii.gz"
    cut.write_bytes((tmp_path / "mask.nii.gz").read_bytes()[:3000])
    masks.check_grid(cut, (40, 40, 30), np.diag([3, 3, 3, 1.0]))
    with pytest.raises(BadData, match=r"cut\.nii\.gz: the mask's grid is 40×40×30 .*, the volumes' is 40×40×31"):
        masks.check_grid(cut, (40, 40, 31), np.diag([3, 3, 3, 1.0]))
    with pytest.raises(BadData, match="cannot be unpacked"):
        masks.read(cut)
