"""Elements that came before are copied, and are what pydicom would read each time."""

from __future__ import annotations

from io import BytesIO

import pytest
from pydicom import dcmread

from rtbids.convert import known
from rtbids.convert.dicom import read
from rtbids.replay.forms import FORMS
from rtbids.replay.scanner import Phantom, dicoms

PHANTOM = Phantom(shape=(8, 8, 3), voxel=(25.0, 25.0, 40.0), volumes=4)


@pytest.mark.parametrize("form", FORMS)
def test_every_element_of_every_image_is_what_pydicom_reads(form):
    for content in dicoms(PHANTOM, form):
        dataset, expected = read(content, "image", 0.0).dataset, dcmread(BytesIO(content))
        for element in expected:
            if element.VR != "SQ" and element.tag in dataset:
                assert known.value(dataset, element.tag) == element.value
                assert type(known.value(dataset, element.tag)) is type(element.value)
        for element in dataset:
            if element.VR != "SQ":
                assert element == expected[element.tag]
                assert type(element.value) is type(expected[element.tag].value)


def test_an_image_that_is_changed_changes_no_other():
    content = next(dicoms(PHANTOM))
    for _ in range(4):
        dataset = read(content, "image", 0.0).dataset
        assert dataset.EchoTime == 30.0
        dataset.EchoTime = 99.0


def test_one_of_several_values_that_is_changed_changes_no_other():
    content = next(dicoms(PHANTOM, "slices"))
    for _ in range(4):
        dataset = read(content, "image", 0.0).dataset
        assert dataset.PixelSpacing == [25.0, 25.0]
        dataset.PixelSpacing[0] = 99.0


def test_what_is_no_number_is_handed_out_as_it_is_each_time():
    content = next(dicoms(PHANTOM))
    start = content.index(b"\x18\x00\x14\x13DS\x04\x00") + 8  # the value of FlipAngle, four characters
    broken = content[:start] + b"xxxx" + content[start + 4 :]
    assert [read(broken, "image", 0.0).dataset.FlipAngle for _ in range(4)] == ["xxxx"] * 4


def test_what_is_remembered_is_bounded(monkeypatch):
    monkeypatch.setattr(known, "_MOST", 10)
    known._values.clear()
    for content in dicoms(PHANTOM, "slices"):
        dataset = read(content, "image", 0.0).dataset
        for keyword in ("Rows", "Columns", "EchoTime", "FlipAngle", "SOPInstanceUID", "ImagePositionPatient"):
            dataset.get(keyword)
        assert 0 < len(known._values) <= 10
