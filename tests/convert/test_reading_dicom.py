"""Reading a file: whole, cut short, not DICOM, compressed."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path

import numpy as np
import pydicom
import pytest
from assembly import SHAPE, Scanner, image, instances, mosaics, voxels_of
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom.data import get_testdata_file

from rtbids.convert import dicom, elements, pixels
from rtbids.errors import BadData

WHOLE = mosaics().dicom(voxels_of(0), 0)


def test_an_image_is_read_with_the_elements_that_conversion_needs_and_no_others() -> None:
    instance = dicom.read(WHOLE, "a.dcm", 12.5)
    assert (instance.name, instance.received, instance.content) == ("a.dcm", 12.5, WHOLE)
    full = pydicom.dcmread(BytesIO(WHOLE))
    for element in instance.dataset:
        assert element == full[element.tag]
    for keyword in ("PatientName", "PatientID", "StudyDate", "PatientPosition"):
        assert keyword in full
        assert keyword not in instance.dataset


def test_buffers_of_any_kind_are_read() -> None:
    for content in (WHOLE, bytearray(WHOLE), memoryview(WHOLE)):
        assert dicom.read(content, "a.dcm", 0.0).dataset.InstanceNumber == 1


@settings(max_examples=300, deadline=None)
@given(st.integers(0, len(WHOLE) - 1))
def test_a_file_cut_at_any_byte_is_incomplete(length: int) -> None:
    with pytest.raises(dicom.Incomplete, match=r"a\.dcm"):
        dicom.read(WHOLE[:length], "a.dcm", 0.0)


@pytest.mark.filterwarnings("ignore::UserWarning:pydicom")
@settings(max_examples=300, deadline=None)
@given(st.data())
def test_a_damaged_file_is_read_or_refused_and_nothing_else(choice: st.DataObject) -> None:
    content = bytearray(WHOLE)
    for place in choice.draw(st.lists(st.integers(0, len(WHOLE) - 1), min_size=1, max_size=20)):
        content[place] = choice.draw(st.integers(0, 255))
    scanner = Scanner()
    try:
        scanner.send(dicom.read(content, "a.dcm", 0.0))
    except BadData:
        return
    scanner.finish()
    assert len(scanner.volumes) <= 1


def test_a_truncated_file_and_its_whole_twin_are_told_apart(real_data: Path) -> None:
    folder = real_data / "broken_files"
    cut, twin = folder / "trunc_001_000013_000005.dcm", folder / "001_000013_000005.dcm"
    with pytest.raises(dicom.Incomplete, match="145082 of 294912 bytes"):
        dicom.read(cut.read_bytes(), cut.name, 0.0)
    scanner = Scanner(series=frozenset({13})).send(*instances([twin])).finish()
    assert scanner.indices == [4]


@pytest.mark.parametrize(
    "content", [b"", bytes(100), bytes(100_000)], ids=["empty", "shorter than a preamble", "full length, all zero"]
)
def test_a_file_that_nobody_has_written_yet_is_incomplete(content: bytes) -> None:
    with pytest.raises(dicom.Incomplete, match="nothing is written yet"):
        dicom.read(content, "a.dcm", 0.0)


@pytest.mark.parametrize("content", [b"onset\tduration\n" * 50, b"\x89PNG\r\n" + bytes(500), b"\x08\x00" + b"x" * 500])
def test_what_is_not_dicom_is_refused(content: bytes) -> None:
    with pytest.raises(BadData, match=r"a\.txt: not a DICOM file") as raised:
        dicom.read(content, "a.txt", 0.0)
    assert not isinstance(raised.value, dicom.Incomplete)


@pytest.mark.parametrize("name", ["reportsi.dcm", "DICOMDIR", "rtplan.dcm"])
def test_dicom_without_an_image_is_refused(name: str) -> None:
    path = get_testdata_file(name)
    with pytest.raises(BadData, match=r"no image in it|not a DICOM file") as raised:
        dicom.read(Path(str(path)).read_bytes(), name, 0.0)
    assert not isinstance(raised.value, dicom.Incomplete)


def test_a_colour_image_is_refused() -> None:
    content = Path(str(get_testdata_file("SC_rgb_small_odd.dcm"))).read_bytes()
    with pytest.raises(BadData, match="expected a grey image"):
        dicom.read(content, "colour.dcm", 0.0)


def test_dicom_without_a_preamble_is_read() -> None:
    dataset = pydicom.dcmread(BytesIO(WHOLE))
    file = BytesIO()
    del dataset.file_meta
    dataset.save_as(file, implicit_vr=True, little_endian=True, enforce_file_format=False)
    instance = dicom.read(file.getvalue(), "bare.dcm", 0.0)
    np.testing.assert_array_equal(pixels.stored(instance.dataset), pixels.stored(dicom.read(WHOLE, "a", 0.0).dataset))


@pytest.mark.parametrize("undefined", [True, False])
def test_sequences_of_known_and_unknown_length_are_walked_alike(undefined: bool) -> None:
    dataset = pydicom.dcmread(BytesIO(WHOLE))
    item = pydicom.Dataset()
    item.ImagePositionPatient = ["1", "2", "3"]
    item.is_undefined_length_sequence_item = undefined
    dataset.PlanePositionSequence = [item]
    dataset.ReferencedImageSequence = [pydicom.Dataset(item)]
    dataset["PlanePositionSequence"].is_undefined_length = undefined
    dataset["ReferencedImageSequence"].is_undefined_length = undefined
    file = BytesIO()
    dataset.save_as(file)
    read = dicom.read(file.getvalue(), "a.dcm", 0.0).dataset
    assert read.PlanePositionSequence[0].ImagePositionPatient == [1, 2, 3]
    assert "ReferencedImageSequence" not in read
    assert len(read.PixelData) == len(dataset.PixelData)


SYNTAXES = range(1, 10)


@pytest.mark.parametrize("number", SYNTAXES)
def test_all_transfer_syntaxes_hold_the_same_pixels(real_data: Path, number: int) -> None:
    folder = real_data / "transfer_syntaxes/dicom"
    first = dicom.read((folder / "1.dcm").read_bytes(), "1.dcm", 0.0)
    try:
        other = dicom.read((folder / f"{number}.dcm").read_bytes(), f"{number}.dcm", 0.0)
    except BadData as error:
        if "no plug-in reads" not in str(error):
            raise
        pytest.skip("no decoder for this JPEG syntax: pip install rtbids[jpeg]")
    np.testing.assert_array_equal(pixels.stored(other.dataset), pixels.stored(first.dataset))


def test_each_transfer_syntax_converts_to_its_reference(real_data: Path) -> None:
    import nibabel as nib

    found = 0
    for number in SYNTAXES:
        folder = real_data / "transfer_syntaxes"
        try:
            (instance,) = instances([folder / f"dicom/{number}.dcm"])
        except BadData as error:
            assert "no plug-in reads" in str(error)  # noqa: PT017
            continue
        expected = nib.load(folder / f"reference/ref_s{number}_e1.nii.gz")
        (volume,) = Scanner().send(instance).finish().volumes
        np.testing.assert_array_equal(volume.data, np.asarray(expected.dataobj.get_unscaled()))  # type: ignore[attr-defined]
        np.testing.assert_allclose(volume.affine, expected.affine, atol=0.005)  # type: ignore[attr-defined]
        found += 1
    assert found >= 4  # the uncompressed ones and RLE need no plug-in


def test_a_missing_decoder_is_named_with_its_extra(real_data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from pydicom.pixels.decoders import JPEG2000LosslessDecoder

    for plugin in list(JPEG2000LosslessDecoder._available):
        monkeypatch.delitem(JPEG2000LosslessDecoder._available, plugin)
    content = (real_data / "transfer_syntaxes/dicom/9.dcm").read_bytes()
    with pytest.raises(BadData, match="no plug-in reads JPEG 2000") as raised:
        dicom.read(content, "9.dcm", 0.0)
    assert raised.value.hint is not None
    assert "rtbids[jpeg]" in raised.value.hint


def zero_tail(instance: dicom.Instance) -> bool:
    """Say whether the last of several slices is all zero."""
    last, alone = dicom.last_slice(instance.dataset)
    return not alone and dicom.zero_rows(last) == len(last)


def test_a_zero_tail_marks_a_file_that_is_not_filled_yet() -> None:
    data = voxels_of(1)
    scan = mosaics()
    assert not zero_tail(dicom.read(scan.dicom(data, 0), "a", 0.0))
    unfilled = data.copy()
    unfilled[..., SHAPE[2] - 1] = 0  # the last used tile; tiles after it are zero in every mosaic
    assert zero_tail(dicom.read(scan.dicom(unfilled, 0), "a", 0.0))


def test_a_slice_that_is_all_zero_is_a_slice(real_data: Path) -> None:
    (instance,) = instances(sorted((real_data / "ge_mr750_epirt" / "dicom").iterdir())[:1])
    instance.dataset.PixelData = bytes(len(instance.dataset.PixelData))
    assert not zero_tail(instance)


@pytest.mark.parametrize("name", ["siemens_xa30_enhanced", "siemens_mosaic_ve11_rtcloud"])
def test_real_images_have_no_zero_tail(real_data: Path, name: str) -> None:
    (instance,) = instances(sorted((real_data / name / "dicom").iterdir())[:1])
    assert not zero_tail(instance)
    empty = instance.dataset
    size = empty.Rows * empty.Columns * 2 if "NumberOfFrames" in empty and int(empty.NumberOfFrames) > 1 else None
    empty.PixelData = bytes(len(empty.PixelData)) if size is None else empty.PixelData[:-size] + bytes(size)
    assert zero_tail(instance)


def test_images_are_sorted_by_acquisition_and_never_by_name() -> None:
    late, early = mosaics(12), mosaics(5)
    images = [image(late, 1), image(early, 2), image(late, 0), image(early, 10)]
    ordered = sorted(images, key=lambda one: dicom.sort_key(one.dataset))
    assert [(int(one.dataset.SeriesNumber), int(one.dataset.InstanceNumber)) for one in ordered] == [
        (5, 3),
        (5, 11),
        (12, 1),
        (12, 2),
    ]


def test_series_and_images_are_known_by_their_uids() -> None:
    one, same_series, other_series = image(mosaics(5), 0), image(mosaics(5), 1), image(mosaics(6), 0)
    assert dicom.series_key(one.dataset) == dicom.series_key(same_series.dataset) != dicom.series_key(other_series.dataset)
    assert dicom.instance_uid(one.dataset) != dicom.instance_uid(same_series.dataset)


@pytest.mark.parametrize("name", ["siemens_xa30_enhanced", "philips_enhanced_4vol", "uih_grid_dti", "philips_classic_oneback"])
def test_the_quick_reader_finds_what_pydicom_finds(real_data: Path, name: str) -> None:
    content = next((real_data / name / "dicom").iterdir()).read_bytes()
    full = pydicom.dcmread(BytesIO(content))
    quick = dicom.read(content, name, 0.0).dataset
    assert {tag for tag in full.keys() if elements.wanted(tag)} == set(quick.keys())  # noqa: SIM118
    for element in quick:
        if element.VR != "SQ":
            assert element.value == full[element.tag].value
    for one, other in zip(
        quick.get("PerFrameFunctionalGroupsSequence") or (), full.get("PerFrameFunctionalGroupsSequence") or (), strict=True
    ):
        assert one.PlanePositionSequence[0] == other.PlanePositionSequence[0]


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("/export/DOE_JANE/001_000007_000012.dcm", "001_000007_000012.dcm"),
        ("IM-0001-0012.dcm", "IM-0001-0012.dcm"),
        ("truncated.dcm", "truncated.dcm"),
        ("DOE_JANE.MR.HEAD_FUNC.7.12.2024.01.02.10.11.12.345.6789.IMA", "…789.IMA"),
        ("1.3.12.2.1107.5.2.43.66012.2024010210111213456789.dcm", "…789.dcm"),
        ("MR.1.3.12.2.1107.5.2.43.66012.20240102", "…102"),
        ("Doe Jane.dcm", "….dcm"),
        ("doe_jane_12.dcm", "…12.dcm"),
        ("jane0012.dcm", "…012.dcm"),
        ("19700101.dcm", "…101.dcm"),
    ],
)
def test_a_message_names_a_file_without_naming_a_patient(path: str, said: str) -> None:
    assert dicom.shown(path) == said
