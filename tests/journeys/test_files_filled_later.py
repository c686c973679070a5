"""``rtbids replay --zero``: files that have their full length at once are archived as they are when they are filled."""

from __future__ import annotations

import json
from pathlib import Path

import nibabel
import numpy as np
import pytest

pytestmark = pytest.mark.alone

SHAPE, COUNT, TR = (64, 60, 6), 6, 0.5  # the header must be in the first quarter of each file, which is there at once
AFFINE = np.array([[-3, 0, 0, 30], [0, 3, 0, -28], [0, 0, 4, -10.0], [0, 0, 0, 1]])
NAME = "sub-01/func/sub-01_task-nf_run-01_bold"


def study(root: Path, voxels: np.ndarray) -> Path:
    (root / NAME).parent.mkdir(parents=True)
    image = nibabel.Nifti1Image(voxels, AFFINE)
    image.header.set_zooms((3, 3, 4, TR))
    image.header.set_xyzt_units("mm", "sec")
    image.to_filename(root / f"{NAME}.nii.gz")
    (root / f"{NAME}.json").write_text(json.dumps({"RepetitionTime": TR, "TaskName": "nf"}))
    (root / "dataset_description.json").write_text(json.dumps({"Name": "source", "BIDSVersion": "1.10.0"}))
    return root


def plain() -> np.ndarray:
    return np.random.default_rng(3).integers(1, 4000, (*SHAPE, COUNT), dtype=np.int16)


def masked() -> np.ndarray:
    """Zero outside a head, to which the first slice and the last do not belong."""
    voxels = plain()
    voxels[:, :12] = voxels[:, -12:] = 0
    voxels[:, :, 0] = voxels[:, :, -1] = 0
    return voxels


@pytest.mark.slow
@pytest.mark.parametrize("poll", ["--poll", "--no-poll"])
@pytest.mark.parametrize("voxels", [plain, masked])
@pytest.mark.parametrize("form", ["slices", "mosaic", "enhanced"])
def test_what_is_filled_later_is_archived_as_it_is_in_the_end(form, voxels, poll, call, start, tmp_path):
    source, export = study(tmp_path / "source", voxels()), tmp_path / "export"
    export.mkdir()
    options = ("--subject", "01", "--task", "nf", "--volumes", str(COUNT), "--idle-timeout", "30", poll)
    converting = start("convert", export, "-o", tmp_path / "study", *options)
    assert b"watching" in converting.stderr.readline()
    assert call("replay", source, "--as", "dicom", "--form", form, "--zero", "0,2,3,5", "--to", export).code == 0
    said = converting.communicate(timeout=60)[1]
    assert converting.returncode == 0, said
    assert b"left out" not in said
    got = nibabel.load(tmp_path / "study" / f"{NAME}.nii.gz")
    np.testing.assert_allclose(got.affine, AFFINE, atol=1e-3)
    assert np.array_equal(np.asarray(got.dataobj), voxels())
