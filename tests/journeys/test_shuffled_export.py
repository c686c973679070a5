"""A series that is copied into a watched folder in no order: a data set of it is whole, a run says what to do."""

from __future__ import annotations

import json
import random

import nibabel
import numpy as np
import pytest

from rtbids.replay.scanner import Phantom, dicoms, scan

PHANTOM = Phantom(shape=(16, 16, 9), voxel=(12.0, 12.0, 14.0), volumes=12, repetition_time=0.4)
INTERVAL = 0.02  # seconds between files, so that the slices of one volume come over more than a second


@pytest.mark.slow
@pytest.mark.parametrize("form", ["slices", "mosaic", "enhanced"])
def test_files_that_are_moved_in_in_no_order_are_all_converted(start, tmp_path, form):
    folder, study = tmp_path / "export", tmp_path / "study"
    folder.mkdir()
    contents = list(dicoms(PHANTOM, form))
    random.Random(1).shuffle(contents)
    converting = start("convert", folder, "-o", study, "--idle-timeout", "3")
    assert b"watching" in converting.stderr.readline()
    scan(contents, folder, interval=INTERVAL if form == "slices" else 10 * INTERVAL)
    said = converting.communicate(timeout=60)[1]
    assert converting.returncode == 0, said
    assert b"warning" not in said
    (image,) = study.rglob("*_bold.nii.gz")
    assert np.array_equal(nibabel.load(image).dataobj, np.stack([PHANTOM.volume(n) for n in range(12)], axis=3))
    (sidecar,) = study.rglob("*_bold.json")
    assert "MissingVolumes" not in json.loads(sidecar.read_bytes())
    assert not (study / "sourcedata").exists()
