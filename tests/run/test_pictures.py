"""Pictures of the brain, decoded again and compared with what was put in."""

from __future__ import annotations

import re
import struct
import zlib
from pathlib import Path

import nibabel
import numpy as np
import pytest

from rtbids.errors import BadData
from rtbids.run.report.figures import pictures
from rtbids.run.report.figures.pictures import Mean


def decoded(png: bytes) -> np.ndarray:
    """Read a PNG of eight bits a pixel whose rows are all filtered by "Sub" (ISO/IEC 15948, 9.2)."""
    assert png[:8] == b"\x89PNG\r\n\x1a\n"
    chunks, place = {}, 8
    while place < len(png):
        (length,), name = struct.unpack_from(">I", png, place), png[place + 4 : place + 8]
        content, (check,) = png[place + 8 : place + 8 + length], struct.unpack_from(">I", png, place + 8 + length)
        assert check == zlib.crc32(name + content)
        chunks[name], place = content, place + 12 + length
    columns, rows, depth, colour = struct.unpack_from(">2I2B", chunks[b"IHDR"])
    assert (depth, colour, list(chunks)) == (8, 0, [b"IHDR", b"IDAT", b"IEND"])
    lines = np.frombuffer(zlib.decompress(chunks[b"IDAT"]), np.uint8).reshape(rows, columns + 1)
    assert (lines[:, 0] == 1).all()
    return np.cumsum(lines[:, 1:], axis=1, dtype=np.uint8)


@pytest.mark.parametrize("shape", [(1, 1), (5, 9), (64, 48)])
def test_a_png_holds_the_pixels_it_was_made_of(shape: tuple[int, int]) -> None:
    grey = np.random.default_rng(1).integers(0, 256, shape).astype(np.uint8)
    np.testing.assert_array_equal(decoded(pictures.png(grey)), grey)


@pytest.mark.parametrize("name", ["run.nii", "run.nii.gz"])
@pytest.mark.parametrize("dtype", [np.int16, np.uint16, np.float32, ">i2"])
def test_the_mean_is_nibabels(tmp_path: Path, name: str, dtype: str) -> None:
    data = np.random.default_rng(4).integers(0, 500, (5, 6, 4, 9)).astype(dtype)
    image = nibabel.Nifti1Image(data, np.diag([2.0, 3, 4, 1]))
    image.header.set_slope_inter(0.5, -3)
    image.to_filename(tmp_path / name)
    mean = pictures.mean_volume(tmp_path / name)
    assert (mean.count, mean.promised) == (9, 9)
    reference = nibabel.load(tmp_path / name)
    # Both are float64; the sums are taken in another order.
    np.testing.assert_allclose(mean.data, np.mean(reference.get_fdata(), axis=3), rtol=1e-12)
    np.testing.assert_array_equal(mean.affine, reference.affine)


@pytest.mark.parametrize("series", ["siemens_mosaic_vb17_nf", "siemens_xa30_enhanced", "philips_enhanced_4vol"])
def test_the_mean_of_a_real_series_is_nibabels(real_data: Path, series: str) -> None:
    for file in sorted((real_data / series / "reference").glob("*.nii.gz")):
        reference = nibabel.load(file)
        values = reference.get_fdata()
        expected = values if values.ndim == 3 else values.mean(axis=3)
        np.testing.assert_allclose(pictures.mean_volume(file).data, expected, rtol=1e-6)  # the slope is float32 in the header


def test_a_file_without_one_whole_volume_is_refused(tmp_path: Path) -> None:
    nibabel.Nifti1Image(np.zeros((4, 4, 4, 2), np.int16), np.eye(4)).to_filename(tmp_path / "run.nii")
    with (tmp_path / "run.nii").open("r+b") as file:
        file.truncate(400)
    with pytest.raises(BadData, match="expected 2 volumes of 128 bytes, found not one whole"):
        pictures.mean_volume(tmp_path / "run.nii")


@pytest.mark.parametrize("axes", ["RAS", "LAS", "LPI", "ASR", "SAL"])
def test_left_is_left_and_anterior_is_up_however_it_is_stored(axes: str) -> None:
    ras = np.zeros((8, 10, 6))
    ras[1, 8, 2] = 100  # left, anterior, third from below
    image = nibabel.Nifti1Image(ras, np.diag([2.0, 3, 4, 1]))
    turn = nibabel.orientations.ornt_transform(
        nibabel.orientations.io_orientation(image.affine), nibabel.orientations.axcodes2ornt(axes)
    )
    stored = image.as_reoriented(turn)
    mean = Mean(stored.get_fdata(), stored.affine, 1, 1)
    pieces = pictures.slices(mean, {"here": stored.get_fdata() > 0})
    assert [piece.z for piece in pieces] == pytest.approx([0, 4, 8, 12, 16, 20])
    bright = [np.argwhere(piece.grey > 128).tolist() for piece in pieces]
    assert bright == [[], [], [[1, 1]], [], [], []]
    assert pieces[2].millimetres == pytest.approx((16, 30))
    assert [set(piece.outlines) for piece in pieces] == [set(), set(), {"here"}, set(), set(), set()]


def test_of_many_slices_those_with_most_of_a_mask_are_shown() -> None:
    mask = np.zeros((4, 4, 100), bool)
    mask[1:3, 1:3, 51] = True
    pieces = pictures.slices(Mean(np.ones((4, 4, 100)), np.eye(4), 1, 1), {"target": mask})
    assert len(pieces) <= pictures.MOST_SLICES + 1
    assert [piece.z for piece in pieces if piece.outlines] == [51]


def test_an_outline_is_as_long_as_the_edge() -> None:
    mask = np.zeros((9, 9), bool)
    mask[2:5, 3:8] = True  # 3 by 5, the corner cut off: the edge keeps its length
    mask[2, 3] = False
    path = pictures.outline(mask)
    across = sum(int(stop) - int(start) for start, stop in re.findall(r"M(\d+) \d+H(\d+)", path))
    along = sum(int(stop) - int(start) for start, stop in re.findall(r"M\d+ (\d+)V(\d+)", path))
    assert (across, along) == (2 * 5, 2 * 3)
    assert pictures.outline(np.zeros((3, 3), bool)) == ""
