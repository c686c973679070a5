"""Files that are damaged or lie about their size: refused in a line, whatever stands in them."""

from __future__ import annotations

import logging
import tempfile
import zlib
from dataclasses import replace
from functools import partial
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from assembly import Scanner, image, mosaics, voxels_of
from pydicom import dcmread, dcmwrite
from pydicom.datadict import dictionary_VR
from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset
from pydicom.tag import Tag
from pydicom.uid import DeflatedExplicitVRLittleEndian, RLELossless
from slices import SHAPE, ge, slice_file

from rtbids.convert import dicom, pixels
from rtbids.convert.session import Gathered, Session
from rtbids.errors import BadData
from rtbids.receipt import Receipt, settle

FOLDERS = (
    "siemens_mosaic_vd13_cmrr_reversed",
    "siemens_xa30_enhanced",
    "ge_mr750_epirt",
    "philips_classic_3vol",
    "philips_enhanced_4vol",
    "uih_grid_dti",
    "canon_classic_dti",
)
HEADER = 40_000  # bytes at a file's beginning in which most damage is done


def damaged(content: bytes, random: np.random.Generator) -> bytes:
    """Change some bytes, take some away, put some in, or cut the file."""
    found = bytearray(content)
    for _ in range(int(random.integers(1, 8))):
        place = int(random.integers(0, min(len(found), HEADER)))
        length = int(random.integers(1, 9))
        new = random.choice([b"\xff" * length, b"\0" * length, random.bytes(length)])
        stop = place if random.random() < 0.1 else place + length
        found[place:stop] = b"" if random.random() < 0.1 else new
    return bytes(found[: int(random.integers(0, len(found)))] if random.random() < 0.1 else found)


def taken(content: bytes) -> None:
    """Read and convert a file; only BadData may come out of reading it, and nothing out of converting it."""
    try:
        instance = dicom.read(content, "damaged.dcm", 0.0)
    except BadData:
        return
    dicom.zero_rows(dicom.last_slice(instance.dataset)[0])
    dicom.sort_key(instance.dataset)
    Scanner().send(instance).finish()


@pytest.mark.parametrize("name", FOLDERS)
def test_damage_of_any_sort_is_no_more_than_bad_data(real_data: Path, name: str) -> None:
    content = min((real_data / name / "dicom").iterdir()).read_bytes()
    random = np.random.default_rng(len(name))
    for _ in range(300):
        taken(damaged(content, random))


def promising(rows: int, frames: int) -> bytes:
    dataset = dcmread(BytesIO(mosaics().dicom(voxels_of(0), 0)))
    dataset.Rows, dataset.Columns, dataset.NumberOfFrames = rows, rows, frames
    target = BytesIO()
    dataset.save_as(target)
    return target.getvalue()


def test_an_image_beyond_all_measure_is_refused() -> None:
    with pytest.raises(BadData, match="expected an image of up to 4 GiB, found 1000000 frames of 65535x65535 pixels"):
        dicom.read(promising(65535, 1_000_000), "a.dcm", 0.0)


def test_a_compressed_image_that_cannot_be_in_its_bytes_is_refused() -> None:
    dataset = dcmread(BytesIO(mosaics().dicom(voxels_of(0), 0)))
    dataset.compress(RLELossless)
    dataset.Rows, dataset.Columns = 40_000, 40_000
    target = BytesIO()
    dataset.save_as(target)
    with pytest.raises(BadData, match="cannot hold the image of 3200000000 bytes"):
        dicom.read(target.getvalue(), "a.dcm", 0.0)


def test_a_deflated_file_that_grows_beyond_all_measure_is_refused() -> None:
    dataset = dcmread(BytesIO(mosaics().dicom(voxels_of(0), 0)))
    dataset.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    target = BytesIO()
    dcmwrite(target, dataset, implicit_vr=False, little_endian=True)
    assert dicom.read(target.getvalue(), "a.dcm", 0.0).dataset.PixelData
    squeezing = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    head = target.getvalue()[: target.getvalue().index(b"1.2.840.10008.1.2.1.99") + 22]
    bomb = squeezing.compress(bytes(1 << 27)) + squeezing.flush()
    with pytest.raises(BadData, match="grow to more than"):
        dicom.read(head + bomb, "a.dcm", 0.0)


@pytest.mark.parametrize("keyword", ["SOPClassUID", "SeriesNumber", "AcquisitionDuration", "Rows", "EchoTime", "FlipAngle"])
@pytest.mark.parametrize("place", [0, 1])
def test_an_image_of_which_any_element_is_nonsense_is_in_a_volume_or_kept_aside(tmp_path, keyword: str, place: int) -> None:
    let_go: list[int] = []
    given = [replace(image(mosaics(), index), receipts=(Receipt(partial(let_go.append, index)),)) for index in range(3)]
    tag = Tag(keyword)
    given[place].dataset._dict[tag] = RawDataElement(tag, dictionary_VR(tag), 6, b"junk\\x", 0, False, True)
    over: list[Gathered] = []
    others = Session(lambda number, description: Path(tempfile.mkdtemp(dir=tmp_path)), over.append)
    scanner = Scanner(others=others).send(*given).finish()
    for volume in scanner.volumes:
        settle(volume.receipts)
    assert len(scanner.volumes) + sum(series.images for series in over) == 3
    assert sorted(let_go) == [0, 1, 2]


@pytest.mark.parametrize(
    ("keyword", "value", "why"),
    [
        ("RepetitionTime", b"-5", "expected a repetition time above 0 s, found -0.005"),
        ("PixelSpacing", b"0\\0 ", "expected voxels of some size in all directions"),
        ("ImageOrientationPatient", b"0\\0\\0\\0\\0\\0 ", "expected voxels of some size in all directions"),
    ],
)
def test_a_series_that_no_file_could_hold_costs_no_other(tmp_path: Path, caplog, keyword: str, value: bytes, why: str) -> None:
    over: list[Gathered] = []
    others = Session(lambda number, description: Path(tempfile.mkdtemp(dir=tmp_path)), over.append)
    broken = [nonsense(image(mosaics(3), index), Tag(keyword), "DS", value) for index in range(2)]
    scanner = Scanner(others=others).send(*broken, *(image(mosaics(4), index) for index in range(2))).finish()
    assert [volume.metadata["SeriesNumber"] for volume in scanner.volumes] == [4, 4]
    assert [(series.number, series.images) for series in over] == [(3, 2)]
    assert why in over[0].reason
    assert why in caplog.text


@pytest.mark.parametrize(("vr", "value"), [("US", b"abc"), ("FD", b"abc"), ("IS", b"junk"), ("DS", b"1\\2")])
def test_a_whole_number_that_is_none_is_absent(vr: str, value: bytes) -> None:
    dataset = Dataset({Tag("Rows"): RawDataElement(Tag("Rows"), vr, len(value), value, 0, False, True)})
    assert pixels.whole(dataset, "Rows", 7) == 7


def nonsense(instance: dicom.Instance, tag: int, vr: str, value: bytes) -> dicom.Instance:
    instance.dataset._dict[Tag(tag)] = RawDataElement(Tag(tag), vr, len(value), value, 0, False, True)
    return instance


def with_receipt(instance: dicom.Instance, let_go: list[str]) -> dicom.Instance:
    receipt = Receipt(partial(let_go.append, instance.name), place="the spool /data/spool")
    return replace(instance, receipts=(receipt,))


def test_a_slice_whose_slice_count_is_nonsense_is_kept_aside_and_let_go(tmp_path: Path) -> None:
    content = slice_file(0, 0, "Philips", 1, TemporalPositionIdentifier=1)
    instance = nonsense(dicom.read(content, "slice", 0.0), 0x20010010, "LO", b"Philips Imaging DD 001")
    let_go: list[str] = []
    given = with_receipt(nonsense(instance, 0x20011018, "SL", b"abc"), let_go)
    over: list[Gathered] = []
    others = Session(lambda number, description: Path(tempfile.mkdtemp(dir=tmp_path)), over.append)
    Scanner(others=others).send(given).finish()
    assert [(series.images, series.reason) for series in over] == [
        (
            1,
            "an element that conversion needs is missing or malformed ((2001,1018) (SL): expected a value of that kind)",
        )
    ]
    assert let_go == ["slice"]


def test_what_stands_in_a_broken_element_is_never_said(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG, "rtbids"):
        Scanner().send(nonsense(image(mosaics(), 0), Tag("PixelSpacing"), "DS", b"DOE^JANE")).finish()
    (line,) = caplog.messages
    assert "PixelSpacing (DS): expected decimal numbers" in line
    assert "DOE" not in line


def test_images_of_incomplete_volumes_stay_in_the_spool_where_nobody_takes_them(caplog: pytest.LogCaptureFixture) -> None:
    let_go: list[str] = []
    files = [with_receipt(ge(volume, place), let_go) for volume in range(2) for place in range(SHAPE[2])]
    scanner = Scanner().send(*files[:-2]).finish()
    for volume in scanner.volumes:
        settle(volume.receipts)
    assert scanner.indices == [0]
    assert sorted(let_go) == sorted(file.name for file in files[: SHAPE[2]])
    said = "images that are in no volume stay in the spool /data/spool, as they are kept nowhere else"
    assert caplog.messages.count(said) == 1
