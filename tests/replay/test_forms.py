"""Volumes written as each form of DICOM come back through dcm2niix and through rtbids: voxels, affine, scale, timing."""

from __future__ import annotations

import json
import subprocess
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import Any

import dcm2niix
import nibabel
import numpy as np
import pytest
from numpy.typing import NDArray
from pydicom import dcmread

from rtbids.convert import bids
from rtbids.convert.dicom import read
from rtbids.convert.series import Assembler, counter, volumes
from rtbids.errors import BadData
from rtbids.replay.enhanced import EnhancedSeries
from rtbids.replay.forms import FORMS, SERIES, Form, series_of
from rtbids.replay.phantom import Phantom
from rtbids.replay.series import Series
from rtbids.replay.slices import SliceSeries
from rtbids.volume import RunEnd, Volume, volume_of

FORM = pytest.mark.parametrize("form", FORMS)
SHAPE = (10, 12, 5)
COUNT = 3
KEYS = ("RepetitionTime", "EchoTime", "FlipAngle", "PhaseEncodingDirection", "PhaseEncodingAxis", "SliceTiming")
KEYS += ("EffectiveEchoSpacing", "TotalReadoutTime")


def through_dcm2niix(files: list[bytes], folder: Path) -> tuple[Any, dict[str, Any]]:
    """The one image and sidecar that dcm2niix makes of files."""
    source, out = folder / "dicom", folder / "nifti"
    source.mkdir()
    out.mkdir()
    for number, content in enumerate(files):
        (source / f"{number:05}.dcm").write_bytes(content)
    command = [dcm2niix.bin, "-f", "volume", "-b", "y", "-z", "n", "-o", str(out), str(source)]
    subprocess.run(command, check=True, capture_output=True)
    (image,) = out.glob("*.nii")
    return nibabel.load(image), json.loads(image.with_suffix(".json").read_text())


def through_rtbids(files: list[bytes]) -> list[Volume]:
    sent = [read(content, f"{number}.dcm", 1.0 + number) for number, content in enumerate(files)]
    return [item for item in volumes(sent, Assembler({}, counter())) if isinstance(item, Volume)]


def stored(image: Any) -> NDArray[Any]:
    return np.asarray(image.dataobj.get_unscaled())


def grid(angles: tuple[float, float, float], handedness: int) -> NDArray[np.float64]:
    """An oblique affine with a determinant of the sign `handedness`; angles in degrees."""
    x, y, z = np.radians(angles)
    about_x = np.array([[1, 0, 0], [0, np.cos(x), -np.sin(x)], [0, np.sin(x), np.cos(x)]])
    about_y = np.array([[np.cos(y), 0, np.sin(y)], [0, 1, 0], [-np.sin(y), 0, np.cos(y)]])
    about_z = np.array([[np.cos(z), -np.sin(z), 0], [np.sin(z), np.cos(z), 0], [0, 0, 1]])
    affine = np.eye(4)
    affine[:3, :3] = about_z @ about_y @ about_x @ np.diag([3.0 * handedness, 3.5, 4.25])
    affine[:3, 3] = (88.25, -101.5, -47.125)
    return affine


OBLIQUE = grid((12.5, -7.25, 31.0), -1)


def voxels(dtype: Any = np.int16, shape: tuple[int, int, int] = SHAPE) -> list[NDArray[Any]]:
    limits = np.iinfo(dtype)
    return [np.random.default_rng(k).integers(limits.min, limits.max, shape, dtype, endpoint=True) for k in range(COUNT)]


def run_of(data: list[NDArray[Any]], affine: NDArray[np.float64] = OBLIQUE, slope: float = 1.0, **fields: Any) -> list[Volume]:
    """Volumes as a BIDS run gives them."""
    metadata = {"RepetitionTime": 1.5, **fields}
    return [volume_of(one, affine, {"task": "nf"}, metadata, index, slope=slope) for index, one in enumerate(data)]


def written(run: list[Volume], form: Form) -> list[bytes]:
    series = series_of(run[0], form)
    return [file for volume in run for file in series.dicoms(volume.data, volume.index)]


def turned(data: NDArray[Any], affine: NDArray[np.float64]) -> tuple[NDArray[Any], NDArray[np.float64]]:
    """The same voxels at the same places with the slices counted the other way round."""
    flip = np.diag([1.0, 1.0, -1.0, 1.0])
    flip[2, 3] = data.shape[2] - 1
    return data[:, :, ::-1], affine @ flip


@FORM
@pytest.mark.parametrize("dtype", [np.int16, np.uint16, np.uint8])
def test_every_type_that_dicom_holds_comes_back_voxel_by_voxel(tmp_path: Path, form: Form, dtype: Any) -> None:
    data = voxels(dtype)
    files = written(run_of(data), form)
    image, _ = through_dcm2niix(files, tmp_path)
    for index, volume in enumerate(through_rtbids(files)):
        np.testing.assert_array_equal(volume.data, data[index])
        np.testing.assert_array_equal(stored(image)[..., index], data[index])
        assert volume.data.dtype == image.get_data_dtype() == dtype
    assert image.shape == (*SHAPE, COUNT)


@FORM
@pytest.mark.parametrize("angles", [(0, 0, 0), (12.5, -7.25, 31.0), (90, 0, 0), (0, 90, 90)])
@pytest.mark.parametrize("handedness", [-1, 1])
def test_every_voxel_comes_back_at_its_place(
    tmp_path: Path, form: Form, angles: tuple[float, float, float], handedness: int
) -> None:
    data, affine = voxels(), grid(angles, handedness)
    files = written(run_of(data, affine, SliceTiming=[0.0, 0.9, 0.3, 1.2, 0.6]), form)
    image, sidecar = through_dcm2niix(files, tmp_path)
    got = through_rtbids(files)
    expected, where, timing = data[0], affine, [0.0, 0.9, 0.3, 1.2, 0.6]
    if handedness > 0 and form != "mosaic":  # readers sort slices by place, which a mosaic's tiles have none of their own
        (expected, where), timing = turned(expected, affine), timing[::-1]
    np.testing.assert_array_equal(got[0].data, expected)
    np.testing.assert_array_equal(stored(image)[..., 0], expected)
    np.testing.assert_allclose(got[0].affine, where, atol=1e-3)  # through decimal strings, and float32
    np.testing.assert_allclose(image.affine, where, atol=1e-3)
    assert got[0].metadata["SliceTiming"] == pytest.approx(timing, abs=1e-6)
    assert sidecar["SliceTiming"] == pytest.approx(timing, abs=1e-6)


@FORM
@pytest.mark.parametrize(
    "fields",
    [
        {"EchoTime": 0.0285, "FlipAngle": 62.0, "PhaseEncodingDirection": "j-", "TotalReadoutTime": 0.0055},
        {"EchoTime": 0.03, "FlipAngle": 90.0, "PhaseEncodingDirection": "j", "EffectiveEchoSpacing": 0.0004},
        {"EchoTime": 0.03, "FlipAngle": 90.0, "PhaseEncodingDirection": "i", "TotalReadoutTime": 0.0045},
        {"EchoTime": 0.03, "FlipAngle": 90.0, "PhaseEncodingDirection": "i-", "TotalReadoutTime": 0.0045},
        {"EchoTime": 0.03, "FlipAngle": 90.0, "PhaseEncodingAxis": "j"},
        {"SliceTiming": [0.0, 0.3, 0.6, 0.9, 1.2], "EchoTime": 0.03, "FlipAngle": 77.0, "PhaseEncodingAxis": "j"},
    ],
)
def test_what_the_sidecar_says_comes_back_and_nothing_else(tmp_path: Path, form: Form, fields: dict[str, Any]) -> None:
    files = written(run_of(voxels(), **fields), form)
    _, sidecar = through_dcm2niix(files, tmp_path)
    expected = {"RepetitionTime": 1.5, **fields}
    steps = SHAPE[0] if "i" in str(fields.get("PhaseEncodingDirection")) else SHAPE[1]
    if "EffectiveEchoSpacing" in fields:
        expected["TotalReadoutTime"] = fields["EffectiveEchoSpacing"] * (steps - 1)
    elif "TotalReadoutTime" in fields:
        expected["EffectiveEchoSpacing"] = fields["TotalReadoutTime"] / (steps - 1)
    for found in (through_rtbids(files)[-1].metadata, sidecar):
        assert {key: found[key] for key in KEYS if key in found} == {
            key: value if isinstance(value, str) else pytest.approx(value, rel=2e-5, abs=2e-6)  # dcm2niix writes six digits
            for key, value in expected.items()
        }


@FORM
@pytest.mark.parametrize("shape", [(10, 12, 1), (10, 12, 2), (24, 6, 7), (8, 6, 16), (8, 6, 70)])
def test_every_number_of_slices_and_every_matrix_comes_back(tmp_path: Path, form: Form, shape: tuple[int, int, int]) -> None:
    data = voxels(np.int16, shape)
    files = written(run_of(data, PhaseEncodingDirection="i" if shape[0] > shape[1] else "j-"), form)
    image, _ = through_dcm2niix(files, tmp_path)
    got = through_rtbids(files)
    assert len(got) == COUNT
    for volume in got:
        np.testing.assert_array_equal(volume.data, data[volume.index])
        np.testing.assert_array_equal(stored(image)[..., volume.index], data[volume.index])
    for affine in (got[0].affine, image.affine):
        np.testing.assert_allclose(affine, OBLIQUE, atol=1e-3)


@FORM
def test_what_the_sidecar_does_not_say_is_not_made_up(tmp_path: Path, form: Form) -> None:
    files = written(run_of(voxels()), form)
    _, sidecar = through_dcm2niix(files, tmp_path)
    for found in (through_rtbids(files)[-1].metadata, sidecar):
        assert [key for key in KEYS if key in found] == ["RepetitionTime"]


@pytest.mark.parametrize("form", ["mosaic", "enhanced"])
@pytest.mark.parametrize(
    "timing",
    [[0.0, 0.5, 1.0, 0.25, 0.75] * 4, [0.0, 0.75, 0.25, 1.0, 0.5, 1.25] * 3, [1.2, 0.9, 0.6, 0.3, 0.0], [0.6, 0.0, 0.9, 0.3]],
    ids=["multiband 4, of 5", "multiband 3, of 6", "descending", "interleaved"],
)
def test_any_order_of_slices_comes_back(tmp_path: Path, form: Form, timing: list[float]) -> None:
    files = written(run_of(voxels(np.int16, (8, 6, len(timing))), SliceTiming=timing), form)
    _, sidecar = through_dcm2niix(files, tmp_path)
    for found in (through_rtbids(files)[-1].metadata, sidecar):
        assert found["SliceTiming"] == pytest.approx(timing, abs=1e-6)


@FORM
def test_scale_comes_back_beside_the_raw_integers(tmp_path: Path, form: Form) -> None:
    data = voxels()
    run = run_of(data, slope=75.53837585449219)
    files = written([replace(volume, inter=-3.25) for volume in run], form)
    image, _ = through_dcm2niix(files, tmp_path)
    (first, *_) = through_rtbids(files)
    assert (first.slope, first.inter) == (run[0].slope, -3.25)
    assert (image.dataobj.slope, image.dataobj.inter) == (run[0].slope, -3.25)
    np.testing.assert_array_equal(first.data, data[0])


@FORM
def test_the_phantoms_run_comes_back(tmp_path: Path, form: Form) -> None:
    phantom = Phantom(shape=(16, 20, 7), voxel=(12.0, 10.0, 14.0), volumes=COUNT, repetition_time=0.7)
    series = SERIES[form](phantom.shape, phantom.affine, phantom.repetition_time)
    files = [file for index in range(COUNT) for file in series.dicoms(phantom.volume(index), index)]
    image, sidecar = through_dcm2niix(files, tmp_path)
    got = through_rtbids(files)
    assert [volume.index for volume in got] == list(range(COUNT))
    for volume in got:
        np.testing.assert_array_equal(volume.data, phantom.volume(volume.index))
        np.testing.assert_array_equal(stored(image)[..., volume.index], phantom.volume(volume.index))
    assert image.get_data_dtype() == got[0].data.dtype == np.int16
    np.testing.assert_allclose(image.affine, phantom.affine, atol=1e-3)
    assert (sidecar["RepetitionTime"], sidecar["PhaseEncodingDirection"]) == (0.7, "j-")


@FORM
def test_a_real_run_comes_back(tmp_path: Path, form: Form, real_data: Path) -> None:
    (source,) = bids.runs_of(real_data / "bids_oneback")
    run = [item for item, _ in zip(bids.items(source), range(COUNT), strict=False) if isinstance(item, Volume)]
    assert run[0].slope == pytest.approx(75.538, abs=1e-3)
    files = written(run, form)
    image, sidecar = through_dcm2niix(files, tmp_path)
    got = through_rtbids(files)
    for before, after in zip(run, got, strict=True):
        np.testing.assert_array_equal(after.data, before.data)
        np.testing.assert_array_equal(stored(image)[..., after.index], before.data)
        assert (after.slope, after.inter, after.data.dtype) == (before.slope, before.inter, before.data.dtype)
        np.testing.assert_allclose(after.affine, before.affine, atol=5e-3)  # the cosines of the source are rounded
    np.testing.assert_allclose(image.affine, run[0].affine, atol=5e-3)
    for key in ("RepetitionTime", "EchoTime", "FlipAngle", "PhaseEncodingAxis", "TaskName"):
        assert got[0].metadata[key] == run[0].metadata[key]
    assert {key: sidecar.get(key) for key in ("RepetitionTime", "PhaseEncodingAxis")} == {
        "RepetitionTime": 2,
        "PhaseEncodingAxis": "j",
    }


def test_the_header_of_enhanced_frames_is_read_whichever_way_they_are_stored() -> None:
    series = EnhancedSeries(SHAPE, OBLIQUE, 1.5)
    data = voxels()[0] & 0xFFF
    downwards = dcmread(BytesIO(series.dicoms(data, 0)[0]))
    downwards.PerFrameFunctionalGroupsSequence = list(reversed(downwards.PerFrameFunctionalGroupsSequence))
    downwards.PixelData = downwards.pixel_array[::-1].tobytes()
    file = BytesIO()
    downwards.save_as(file)
    (volume,) = through_rtbids([file.getvalue()])
    np.testing.assert_array_equal(volume.data, data)
    assert volume.metadata["PhaseEncodingDirection"] == "j-"
    assert volume.metadata["SliceTiming"] == pytest.approx([0.0, 0.9, 0.3, 1.2, 0.6])


def test_slice_times_that_no_order_of_the_vendor_gives_are_left_out(tmp_path: Path) -> None:
    files = written(run_of(voxels(), SliceTiming=[0.0, 0.1, 0.9, 0.4, 1.0]), "slices")
    _, sidecar = through_dcm2niix(files, tmp_path)
    assert "SliceTiming" not in sidecar
    assert "SliceTiming" not in through_rtbids(files)[-1].metadata


def test_slices_acquired_together_come_back_with_their_times(tmp_path: Path) -> None:
    timing = [0.0, 0.5, 1.0] * 2
    series = SliceSeries((4, 4, 6), OBLIQUE, 1.5, timing=tuple(timing))
    files = [file for k in range(2) for file in series.dicoms(np.full((4, 4, 6), k + 1, np.int16), k)]
    _, sidecar = through_dcm2niix(files, tmp_path)
    assert sidecar["SliceTiming"] == pytest.approx(timing, abs=1e-6)
    assert through_rtbids(files)[-1].metadata["SliceTiming"] == pytest.approx(timing, abs=1e-6)


@FORM
def test_slice_times_counted_from_the_head_are_turned(form: Form) -> None:
    timing = [0.0, 0.3, 0.6, 0.9, 1.2]
    got = through_rtbids(written(run_of(voxels(), SliceTiming=timing[::-1], SliceEncodingDirection="k-"), form))
    assert got[-1].metadata["SliceTiming"] == pytest.approx(timing, abs=1e-6)


@pytest.mark.parametrize("form", ["enhanced", "slices"])
def test_a_run_of_a_known_length_ends_with_its_last_volume(form: Form) -> None:
    run = run_of(voxels())
    series = series_of(run[0], form, volumes=COUNT)
    files = [file for volume in run for file in series.dicoms(volume.data, volume.index)]
    assembler = Assembler({}, counter())
    items = [item for k, file in enumerate(files) for item in assembler.add(read(file, f"{k}.dcm", 1.0), 1.0)]
    assert [item.count for item in items if isinstance(item, RunEnd)] == [COUNT]


@FORM
def test_phase_images_and_later_echoes_are_told(form: Form) -> None:
    (volume, *_) = run_of(voxels())
    later = replace(volume, entities={"task": "nf", "echo": "2", "part": "phase"})
    (got,) = through_rtbids(written([later], form))
    assert (got.entities["echo"], got.entities["part"]) == ("2", "phase")


@FORM
def test_a_task_may_have_the_name_of_another_kind_of_series(form: Form) -> None:
    (volume, *_) = run_of(voxels())
    (got,) = through_rtbids(written([replace(volume, entities={"task": "localizer"})], form))
    assert got.entities["task"] == "localizer"


def test_whole_numbers_in_another_type_become_integers() -> None:
    data = voxels()[0]
    for stored_as in (np.float32, np.int32):
        (got,) = through_rtbids(written(run_of([data.astype(stored_as)]), "mosaic"))
        np.testing.assert_array_equal(got.data, data)


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (np.full(SHAPE, 0.5, np.float32), "expected whole numbers"),
        (np.full(SHAPE, 70000, np.int32), "16 bits"),
        (np.full(SHAPE, np.nan, np.float32), "expected whole numbers"),
    ],
)
def test_voxels_that_dicom_cannot_hold_are_refused(data: NDArray[Any], why: str) -> None:
    run = run_of([data])
    series = series_of(run[0])
    with pytest.raises(BadData, match=why):
        series.dicoms(data, 0)


def test_a_sheared_grid_is_refused() -> None:
    sheared = np.eye(4)
    sheared[0, 1] = 0.1
    with pytest.raises(BadData, match="sheared"):
        SERIES["mosaic"](SHAPE, sheared, 2.0)


def test_a_series_says_what_its_forms_share() -> None:
    assert all(issubclass(form, Series) for form in SERIES.values())
    assert tuple(SERIES) == FORMS
