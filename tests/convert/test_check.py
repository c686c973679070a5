"""``convert --check``: it agrees where it should, and says so where it does not."""

from __future__ import annotations

from pathlib import Path

import pytest
from assembly import instances

from rtbids.convert.check import compare
from rtbids.convert.dicom import read
from rtbids.replay import scanner
from rtbids.replay.phantom import Phantom

PHANTOM = Phantom(shape=(16, 16, 9), voxel=(12.0, 12.0, 12.0), repetition_time=2.0, volumes=3)


def scanned() -> list:
    return [read(content, f"{number}.dcm", 0.0) for number, content in enumerate(scanner.dicoms(PHANTOM))]


@pytest.mark.parametrize(
    "name", ["siemens_mosaic_vd13_cmrr_reversed", "siemens_xa30_enhanced", "ge_mr750_epirt", "philips_classic_3vol"]
)
def test_real_series_agree(real_data: Path, name: str) -> None:
    (agreement,) = compare(instances(sorted((real_data / name / "dicom").iterdir())))
    assert agreement.differ == {}
    assert {"voxels", "volumes", "type", "affine", "scale", "RepetitionTime"} <= set(agreement.agree)


def test_the_phantom_agrees() -> None:
    (agreement,) = compare(scanned())
    assert (agreement.volumes, agreement.differ) == (3, {})


def test_a_field_that_differs_is_said_with_both_values() -> None:
    files = scanned()
    for instance in files:
        instance.dataset.FlipAngle = 11.0
    (agreement,) = compare(files)
    assert list(agreement.differ) == ["FlipAngle"]
    assert agreement.differ["FlipAngle"].startswith("11.0 here, ")


def test_voxels_that_differ_are_counted() -> None:
    files = scanned()
    changed = bytearray(files[1].dataset.PixelData)
    changed[0] ^= 1
    files[1].dataset.PixelData = bytes(changed)
    (agreement,) = compare(files)
    assert agreement.differ == {"voxels": "1 of 3 differ"}
