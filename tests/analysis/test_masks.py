"""Which voxels a mask file selects."""

from __future__ import annotations

from pathlib import Path

import nibabel
import numpy as np
import pytest
from numpy.typing import NDArray

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
