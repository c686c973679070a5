"""The NIfTI-1 header against nibabel, which is not ours."""

from __future__ import annotations

import io
import struct
from pathlib import Path

import nibabel
import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from rtbids import nifti
from rtbids.errors import BadData
from rtbids.nifti import Header

# float32 carries 24 bits; an affine entry below 512 mm is off by 512 * 2**-24 at the most, a quaternion product by some of it.
FLOAT32 = 512 * 2.0**-24
DTYPES = [np.dtype("<" + name) for name in nifti.TYPE_CODES.values()]


def oblique(seed: int = 0, flip: int = 1) -> NDArray[np.float64]:
    """A rotation with zooms 2, 2.5 and 3 mm; mirrored in the third axis where `flip` is -1."""
    affine = np.eye(4)
    affine[:3, :3] = Rotation.random(random_state=seed).as_matrix() * (2.0, 2.5, 3.0 * flip)
    affine[:3, 3] = -90.5, 126.25, -72.125
    return affine


def header_of(**fields: object) -> Header:
    given = {
        "shape": (4, 5, 6),
        "dtype": np.dtype("<i2"),
        "affine": oblique(),
        "slope": 1.0,
        "inter": 0.0,
        "repetition_time": 2.0,
    }
    return Header(**{**given, **fields})  # type: ignore[arg-type]


def by_nibabel(packed: bytes) -> nibabel.Nifti1Header:
    return nibabel.Nifti1Header.from_fileobj(io.BytesIO(packed))


def file_of(image: nibabel.Nifti1Image) -> bytes:
    return bytes(image.to_bytes())


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_nibabel_reads_what_is_packed(dtype: np.dtype[np.generic]) -> None:
    packed = nifti.pack(header_of(dtype=dtype, shape=(4, 5, 6, 7), slope=0.5, inter=-3.0, repetition_time=1.97))
    read = by_nibabel(packed)
    assert read.get_data_shape() == (4, 5, 6, 7)
    assert read.get_data_dtype() == dtype
    assert read.get_slope_inter() == (0.5, -3.0)
    assert read.get_data_offset() == len(packed) == nifti.HEADER
    assert read.get_xyzt_units() == ("mm", "sec")
    assert read.get_zooms()[3] == np.float32(1.97)
    assert read.get_sform(coded=True)[1] == read.get_qform(coded=True)[1] == 1  # scanner
    nibabel.Nifti1Image.from_bytes(packed + bytes(4 * 5 * 6 * 7 * dtype.itemsize)).get_fdata()


def test_nibabels_own_checks_find_no_fault_in_a_packed_header() -> None:
    report = nibabel.Nifti1Header.diagnose_binaryblock(nifti.pack(header_of())[:348])
    assert report == ""


@pytest.mark.parametrize("flip", [1, -1])
@pytest.mark.parametrize("seed", range(20))
def test_qform_and_sform_say_the_same_place(seed: int, flip: int) -> None:
    affine = oblique(seed, flip)
    read = by_nibabel(nifti.pack(header_of(affine=affine)))
    np.testing.assert_array_equal(read.get_sform(), affine.astype(np.float32))
    np.testing.assert_allclose(read.get_qform(), affine, atol=FLOAT32)


@pytest.mark.parametrize("turn", [(180, 0, 0), (0, 180, 0), (0, 0, 180), (90, 0, 0), (180, 0, 90)])
def test_half_turns_have_a_qform_too(turn: tuple[int, int, int]) -> None:
    affine = np.eye(4)
    affine[:3, :3] = Rotation.from_euler("xyz", turn, degrees=True).as_matrix() * 3
    np.testing.assert_allclose(by_nibabel(nifti.pack(header_of(affine=affine))).get_qform(), affine, atol=FLOAT32)


def test_the_qform_of_a_sheared_affine_is_the_rotation_nearest_to_it() -> None:
    affine = oblique()
    affine[:3, 0] += 0.05 * affine[:3, 1]
    expected = nibabel.Nifti1Header()
    expected.set_qform(affine, code=1)  # strips shears by the polar decomposition
    packed = by_nibabel(nifti.pack(header_of(affine=affine)))
    np.testing.assert_allclose(packed.get_qform(), expected.get_qform(), atol=FLOAT32)


@pytest.mark.parametrize("endianness", ["<", ">"])
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_what_nibabel_writes_is_read_in_either_byte_order(dtype: np.dtype[np.generic], endianness: str) -> None:
    written = nibabel.Nifti1Header(endianness=endianness)
    written.set_data_shape((4, 5, 6, 7))
    written.set_data_dtype(dtype)
    written.set_sform(oblique(), code=2)
    written.set_xyzt_units("mm", "sec")
    written.set_zooms((2, 2.5, 3, 1.5))
    written.set_slope_inter(0.25, 10)
    written["magic"], written["vox_offset"] = b"n+1", 352
    read = nifti.unpack(written.binaryblock)
    assert read.shape == (4, 5, 6, 7)
    assert read.dtype == dtype.newbyteorder(endianness)
    assert (read.slope, read.inter, read.repetition_time, read.offset) == (0.25, 10.0, 1.5, 352)
    np.testing.assert_array_equal(read.affine, written.get_sform())


def test_voxels_of_a_big_endian_file_have_the_values_that_nibabel_reads() -> None:
    values = np.arange(24, dtype=">i2").reshape(2, 3, 4)
    image = nibabel.Nifti1Image(values, oblique(), nibabel.Nifti1Header(endianness=">"))
    content = file_of(image)
    header = nifti.unpack(content)
    found = np.frombuffer(content, header.dtype, offset=header.offset).reshape(header.shape, order="F")
    np.testing.assert_array_equal(found, np.asanyarray(image.dataobj))


@pytest.mark.parametrize("flip", [1, -1])
def test_the_affine_is_the_qforms_where_there_is_no_sform(flip: int) -> None:
    written = nibabel.Nifti1Header()
    written.set_data_shape((4, 5, 6))
    written.set_qform(oblique(3, flip), code=1)
    written["magic"] = b"n+1"
    np.testing.assert_allclose(nifti.unpack(written.binaryblock).affine, written.get_qform(), atol=FLOAT32)


def test_the_sform_goes_before_the_qform() -> None:
    written = nibabel.Nifti1Header()
    written.set_data_shape((4, 5, 6))
    written.set_qform(oblique(1), code=1)
    written.set_sform(oblique(2), code=1)
    written["magic"] = b"n+1"
    np.testing.assert_array_equal(nifti.unpack(written.binaryblock).affine, written.get_sform())


def test_without_either_the_affine_has_the_zooms() -> None:
    written = nibabel.Nifti1Header()
    written.set_data_shape((4, 5, 6))
    written.set_zooms((2, 2.5, 3))
    written["magic"] = b"n+1"
    np.testing.assert_array_equal(nifti.unpack(written.binaryblock).affine, np.diag([2, 2.5, 3, 1]))


@pytest.mark.parametrize(("unit", "stored"), [("sec", 1.5), ("msec", 1500), ("usec", 1_500_000), ("unknown", 1.5)])
def test_the_repetition_time_is_in_seconds_whatever_the_unit(unit: str, stored: float) -> None:
    written = nibabel.Nifti1Header()
    written.set_data_shape((4, 5, 6, 7))
    written.set_zooms((2, 2, 2, stored))
    written.set_xyzt_units("mm", unit)
    written["magic"] = b"n+1"
    assert nifti.unpack(written.binaryblock).repetition_time == 1.5


def test_voxels_behind_extensions_are_found() -> None:
    values = np.arange(24, dtype="<i2").reshape(2, 3, 4)
    image = nibabel.Nifti1Image(values, np.eye(4))
    image.header.extensions.append(nibabel.nifti1.Nifti1Extension("comment", b"a word or two"))
    content = file_of(image)
    header = nifti.unpack(content)
    assert header.offset > nifti.HEADER
    np.testing.assert_array_equal(np.frombuffer(content, "<i2", offset=header.offset).reshape(2, 3, 4, order="F"), values)


@pytest.mark.parametrize("slope", [0.0, np.nan, np.inf])
def test_a_slope_that_scales_nothing_means_as_stored(slope: float) -> None:
    packed = bytearray(nifti.pack(header_of()))
    struct.pack_into("<2f", packed, 112, slope, 7)
    header = nifti.unpack(packed)
    assert (header.slope, header.inter) == (1.0, 0.0)


def test_a_header_survives_its_own_round_trip() -> None:
    header = header_of(affine=nifti.as_stored(oblique(5)), slope=0.5, inter=2.0, repetition_time=0.75)
    read = nifti.unpack(nifti.pack(header))
    np.testing.assert_array_equal(read.affine, header.affine)
    assert read.volume_bytes == header.volume_bytes == 240
    assert (read.shape, read.dtype, read.slope, read.inter, read.repetition_time) == ((4, 5, 6), "<i2", 0.5, 2.0, 0.75)


def test_an_affine_as_stored_is_rounded_once_and_read_only() -> None:
    stored = nifti.as_stored(np.full((4, 4), 1 / 3))
    assert stored.dtype == np.float64
    np.testing.assert_array_equal(stored, np.full((4, 4), np.float32(1 / 3)))
    np.testing.assert_array_equal(nifti.as_stored(stored), stored)
    with pytest.raises(ValueError, match="read-only"):
        stored[0, 0] = 1


@pytest.mark.parametrize("dims", [(1, 9), (2, 9, 8)])
def test_fewer_than_three_dimensions_are_filled_up(dims: tuple[int, ...]) -> None:
    packed = bytearray(nifti.pack(header_of()))
    struct.pack_into(f"<{len(dims)}h", packed, 40, *dims)
    assert nifti.unpack(packed).shape == (*dims[1:], 1, 1)[:3]


@pytest.mark.parametrize(
    ("offset", "layout", "values", "message"),
    [
        (0, "<i", (540,), r"x.nii: not a NIfTI-1 file"),
        (344, "4s", (b"ni1",), r"x.nii: not a NIfTI-1 file"),
        (70, "<h", (32,), r"x.nii: NIfTI data type 32 is not supported"),
        (40, "<h", (0,), r"x.nii: expected 3 or 4 dimensions"),
        (40, "<h", (8,), r"x.nii: expected 3 or 4 dimensions"),
        (40, "<h", (-3,), r"x.nii: expected 3 or 4 dimensions"),
        (44, "<h", (0,), r"x.nii: expected 3 or 4 dimensions, found \(4, 0, 6\)"),
        (44, "<h", (-5,), r"x.nii: expected 3 or 4 dimensions"),
        (40, "<8h", (5, 4, 5, 6, 7, 2, 1, 1), r"x.nii: expected 3 or 4 dimensions, found \(4, 5, 6, 7, 2\)"),
        (108, "<f", (np.nan,), r"x.nii: expected the voxels after the header, found them at byte nan"),
        (108, "<f", (np.inf,), r"x.nii: expected the voxels after the header, found them at byte inf"),
        (280, "<f", (np.nan,), r"x.nii: the affine is not made of numbers"),
    ],
)
def test_a_corrupt_header_is_bad_data(offset: int, layout: str, values: tuple[object, ...], message: str) -> None:
    packed = bytearray(nifti.pack(header_of()))
    struct.pack_into(layout, packed, offset, *values)
    with pytest.raises(BadData, match=message):
        nifti.unpack(packed, "x.nii")


def test_a_header_that_was_cut_is_bad_data() -> None:
    with pytest.raises(BadData, match=r"x.nii: a NIfTI-1 header has 348 bytes, found 347"):
        nifti.unpack(nifti.pack(header_of())[:347], "x.nii")


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"dtype": np.dtype("complex64")}, "no data type for complex64"),
        ({"shape": (4, 5)}, r"3 or 4 dimensions of up to 32767, found \(4, 5\)"),
        ({"shape": (4, 5, 6, 40000)}, "found"),
        ({"affine": np.diag([2.0, 0, 3, 1])}, "voxels of some size, found"),
        ({"affine": np.full((4, 4), np.nan)}, "voxels of some size, found"),
    ],
)
def test_what_a_header_cannot_hold_is_refused(fields: dict[str, object], message: str) -> None:
    with pytest.raises(BadData, match=message):
        nifti.pack(header_of(**fields))


def test_every_run_of_the_real_data_set_reads_as_nibabel_reads_it(real_data: Path) -> None:
    files = sorted((real_data / "bids_oneback").rglob("*_bold.nii.gz"))
    assert files
    for file in files:
        image = nibabel.load(file)
        header = nifti.unpack(nibabel.openers.Opener(file).read(352), file.name)
        np.testing.assert_array_equal(header.affine, image.affine.astype(np.float32))
        assert (header.shape, header.dtype) == (image.shape, image.get_data_dtype())
        assert (header.slope, header.inter) == (image.dataobj.slope, image.dataobj.inter)
