"""Headers that count from 0, tell fewer rows than there are, hold NaN, or have no time of each volume."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from assembly import Scanner, mosaics, voxels_of
from pydicom import dcmread
from pydicom.dataset import Dataset
from slices import SHAPE, expected, ge, read, slice_file

from rtbids.convert import dicom, pixels
from rtbids.convert.session import Session

COUNT = 4
NAN = ["NaN", "0", "0"]


def changed(content: bytes, change: Callable[[Dataset], None]) -> bytes:
    file = dcmread(BytesIO(content))
    change(file)
    target = BytesIO()
    file.save_as(target)
    return target.getvalue()


def with_elements(content: bytes, **elements: Any) -> dicom.Instance:
    def change(file: Dataset) -> None:
        for keyword, value in elements.items():
            setattr(file, keyword, value)

    return dicom.read(changed(content, change), "a.dcm", 0.0)


@pytest.mark.parametrize(
    "acquisition", [lambda n: n + 1, lambda n: n, lambda n: 1, lambda n: 0], ids=["from 1", "from 0", "all 1", "all 0"]
)
@pytest.mark.parametrize("first", [0, 1])
def test_mosaics_may_be_counted_from_0(first: int, acquisition: Callable[[int], int]) -> None:
    scanner = Scanner()
    for n in range(COUNT):
        content = mosaics().dicom(voxels_of(n), n)
        scanner.send(with_elements(content, InstanceNumber=n + first, AcquisitionNumber=acquisition(n)))
    scanner.finish()
    assert scanner.indices == list(range(COUNT))
    assert all(np.array_equal(volume.data, voxels_of(volume.index)) for volume in scanner.volumes)
    assert scanner.ends[0].missing == ()


@pytest.mark.parametrize("maker", ["GE MEDICAL SYSTEMS", "CANON_MEC"])
def test_slices_may_be_counted_from_0(maker: str) -> None:
    scanner = Scanner()
    known = {"ImagesInAcquisition": SHAPE[2]} if maker.startswith("GE") else {}
    for n in range(COUNT * SHAPE[2]):
        scanner.send(read(slice_file(*divmod(n, SHAPE[2]), maker, n, **known)))
    scanner.finish()
    assert scanner.indices == list(range(COUNT))
    assert all(np.array_equal(volume.data, expected(volume.index)) for volume in scanner.volumes)


@pytest.mark.parametrize("keyword", ["InstanceNumber", "AcquisitionNumber"])
def test_a_stray_mosaic_that_is_numbered_0_shifts_no_other(keyword: str, caplog: pytest.LogCaptureFixture) -> None:
    scanner = Scanner()
    for n in [0, 1, 9, 2, 3]:
        numbers = {"InstanceNumber": n + 1, "AcquisitionNumber": 1 if keyword == "InstanceNumber" else n + 1}
        stray = {"InstanceNumber": 0, "AcquisitionNumber": 1, keyword: 0}
        scanner.send(with_elements(mosaics().dicom(voxels_of(n), n), **(stray if n == 9 else numbers)))
    scanner.finish()
    assert scanner.indices == list(range(COUNT))
    assert all(np.array_equal(volume.data, voxels_of(volume.index)) for volume in scanner.volumes)
    assert any("its InstanceNumber is below that of the first image" in text for text in caplog.messages)


def test_acquisitions_may_be_counted_from_0_though_the_first_comes_second() -> None:
    scanner = Scanner()
    for n in (1, 0, 2, 3):
        scanner.send(with_elements(mosaics().dicom(voxels_of(n), n), InstanceNumber=n + 1, AcquisitionNumber=n))
    scanner.finish()
    assert scanner.indices == list(range(COUNT))
    assert all(np.array_equal(volume.data, voxels_of(volume.index)) for volume in scanner.volumes)


INTERLEAVED = [1, 3, 5, 0, 2, 4]  # in which order no jump shows where a volume begins


def interleaved(n: int, number: int | None = None, **elements: Any) -> dicom.Instance:
    volume, place = divmod(n, SHAPE[2])
    elements = {"ImagesInAcquisition": SHAPE[2], **elements}
    return read(slice_file(volume, INTERLEAVED[place], "GE MEDICAL SYSTEMS", n if number is None else number, **elements))


@pytest.mark.parametrize(
    ("late", "mixed", "good"), [(1, "", range(4)), (5, "", range(4)), (7, " 0", [2, 3]), (13, "s 0 to 1", [3])]
)
def test_volumes_made_before_image_0_came_are_named(
    late: int, mixed: str, good: list[int], caplog: pytest.LogCaptureFixture
) -> None:
    numbers = list(range(1, COUNT * SHAPE[2]))
    numbers.insert(late - 1, 0)
    scanner = Scanner().send(*map(interleaved, numbers)).finish()
    same = [volume.index for volume in scanner.volumes if np.array_equal(volume.data, expected(volume.index))]
    assert same == list(good)
    said = [text for text in caplog.messages if "held slices of two volumes each" in text]
    assert len(said) == bool(mixed)
    assert all(f"volume{mixed} left before" in text for text in said)


def test_a_stray_slice_that_is_numbered_0_changes_nothing(caplog: pytest.LogCaptureFixture) -> None:
    run = [interleaved(n, n + 1) for n in range(COUNT * SHAPE[2])]
    run.insert(SHAPE[2] + 2, interleaved(99 * SHAPE[2], 0))
    scanner = Scanner().send(*run).finish()
    assert scanner.indices == list(range(COUNT))
    assert all(np.array_equal(volume.data, expected(volume.index)) for volume in scanner.volumes)
    assert any("numbered 0 and is no slice before the first" in text for text in caplog.messages)


def test_slices_of_one_number_are_no_volume(caplog: pytest.LogCaptureFixture) -> None:
    run = [interleaved(n, 1) for n in range(SHAPE[2])]
    for n, one in enumerate(run):
        one.dataset.SOPInstanceUID = f"1.2.3.{n}"
    scanner = Scanner().send(*run).finish()
    assert not scanner.volumes
    assert any("not numbered one after the other" in text for text in caplog.messages)


def test_echoes_of_slices_may_be_counted_from_0() -> None:
    scanner = Scanner()
    for n in range(COUNT * SHAPE[2] * 2):
        volume, place = divmod(n // 2, SHAPE[2])
        elements = {"EchoNumbers": 1 + n % 2, "EchoTime": 12.0 + 20 * (n % 2), "ImagesInAcquisition": SHAPE[2] * 2}
        scanner.send(read(slice_file(volume, place, "GE MEDICAL SYSTEMS", n, **elements)))
    scanner.finish()
    for echo in ("1", "2"):
        of_echo = [volume for volume in scanner.volumes if volume.entities.get("echo") == echo]
        assert [volume.index for volume in of_echo] == list(range(COUNT))
        assert all(np.array_equal(volume.data, expected(volume.index)) for volume in of_echo)


def padded(number: int, tail: bytes, protocol: str = "func_task-nf") -> dicom.Instance:
    content = mosaics(protocol=protocol).dicom(voxels_of(number), number)
    return dicom.read(changed(content, lambda file: setattr(file, "PixelData", file.PixelData + tail)), "a.dcm", 0.0)


@pytest.mark.parametrize("tail", [bytes(4), b"\1\2\3\4", bytes(4096)])
def test_a_few_bytes_or_zeros_after_the_pixels_are_no_pixels(tail: bytes) -> None:
    """dcm2niix converts such a mosaic without a word."""
    scanner = Scanner().send(*(padded(n, tail) for n in range(COUNT))).finish()
    assert scanner.indices == list(range(COUNT))
    assert all(np.array_equal(volume.data, voxels_of(volume.index)) for volume in scanner.volumes)


@pytest.mark.parametrize(("keyword", "value"), [("Rows", 1), ("Columns", 2)])
def test_more_pixels_than_the_header_tells_are_refused(keyword: str, value: int, caplog: pytest.LogCaptureFixture) -> None:
    content = slice_file(0, 0, "CANON_MEC", 1)
    scanner = Scanner().send(with_elements(content, **{keyword: value})).finish()
    assert not scanner.volumes
    assert any(re.search(r"Rows, Columns and frames make 1[06] bytes of pixels, found 40", text) for text in caplog.messages)


def test_more_frames_than_the_header_tells_are_refused(real_data: Path, caplog: pytest.LogCaptureFixture) -> None:
    content = next((real_data / "philips_enhanced_4vol" / "dicom").iterdir()).read_bytes()
    scanner = Scanner(series=frozenset(range(9999))).send(with_elements(content, NumberOfFrames=31)).finish()
    assert not scanner.volumes
    assert any("Rows, Columns and frames make" in text for text in caplog.messages)


def test_an_image_that_is_not_functional_is_passed_on_whatever_follows_its_pixels() -> None:
    passed: list[bytes] = []
    session = Session(lambda number, description: Path(), lambda gathered: None)
    session.add = lambda key, number, instance, now, reason="": passed.append(bytes(instance.content))  # type: ignore[method-assign]
    one = padded(0, bytes(range(1, 100)), protocol="anat_localizer")
    assert not Scanner(others=session).send(one).finish().volumes
    assert passed == [bytes(one.content)]


def test_pixels_that_are_padded_to_an_even_length_are_whole() -> None:
    def odd(file: Dataset) -> None:
        file.Rows, file.Columns, file.BitsAllocated, file.BitsStored, file.HighBit = 3, 5, 8, 8, 7
        file.PixelRepresentation = 0
        file.PixelData = bytes(range(15)) + b"\0"

    found = dicom.read(changed(slice_file(0, 0, "CANON_MEC", 1), odd), "a.dcm", 0.0)
    assert np.array_equal(pixels.stored(found.dataset)[0], np.arange(15).reshape(3, 5))


def test_a_position_that_is_no_number_is_named(real_data: Path, caplog: pytest.LogCaptureFixture) -> None:
    def of_a_frame(file: Dataset) -> None:
        file.PerFrameFunctionalGroupsSequence[3].PlanePositionSequence[0].ImagePositionPatient = NAN

    enhanced = next((real_data / "philips_enhanced_4vol" / "dicom").iterdir()).read_bytes()
    Scanner().send(dicom.read(changed(enhanced, of_a_frame), "a.dcm", 0.0)).finish()
    assert "ImagePositionPatient (DS): expected decimal numbers" in caplog.text


@pytest.mark.parametrize("keyword", ["ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing"])
@pytest.mark.parametrize("form", ["mosaic", "slices"])
def test_geometry_that_is_no_number_is_named(form: str, keyword: str, caplog: pytest.LogCaptureFixture) -> None:
    content = mosaics().dicom(voxels_of(0), 0) if form == "mosaic" else slice_file(0, 0, "GE MEDICAL SYSTEMS", 1)
    values = {"ImagePositionPatient": NAN, "ImageOrientationPatient": [*NAN, "0", "1", "0"], "PixelSpacing": NAN[:2]}
    elements = {"ImagesInAcquisition": 1} if form == "slices" else {}
    assert Scanner().send(with_elements(content, **{keyword: values[keyword]}, **elements)).finish().volumes == []
    assert f"{keyword} (DS): expected decimal numbers" in caplog.text
    assert "nan" not in caplog.text.lower()


def test_one_slice_at_no_place_costs_its_volume_only() -> None:
    scanner = Scanner()
    for n in range(3 * SHAPE[2]):
        odd = {"ImagePositionPatient": NAN} if n == SHAPE[2] + 2 else {}
        scanner.send(ge(*divmod(n, SHAPE[2]), **odd))
    assert scanner.finish().indices == [0, 2]


@pytest.mark.parametrize("maker", ["Philips", "CANON_MEC"])
def test_slices_that_came_faster_than_their_header_says_are_warned_of(maker: str, caplog: pytest.LogCaptureFixture) -> None:
    scanner = Scanner()
    for n in range(10 * SHAPE[2]):
        volume, place = divmod(n, SHAPE[2])
        elements = {
            "RepetitionTime": 600,
            "AcquisitionTime": f"1200{0.4 * volume:09.6f}",
            "TemporalPositionIdentifier": volume + 1,
        }
        scanner.send(read(slice_file(volume, place, maker, n + 1, **elements)))
    scanner.finish()
    assert "a repetition time of 0.6 s and is believed, but volumes came every 0.4 s" in caplog.text


@pytest.mark.parametrize("said", [True, False])
def test_what_cannot_be_checked_is_said_where_asked_for(said: bool, caplog: pytest.LogCaptureFixture) -> None:
    """GE writes the run's begin into every image."""
    with caplog.at_level(logging.INFO if said else logging.WARNING, "rtbids"):
        Scanner().send(*(ge(0, place) for place in range(SHAPE[2]))).finish()
    assert ("its repetition time cannot be checked" in caplog.text) is said
