"""What the phantom scanner writes is what dcm2niix and rtbids read; what it scans has the signal that it says."""

from __future__ import annotations

import json
import subprocess
import threading
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

from rtbids.bids import events
from rtbids.clock import CLOCK, ManualClock
from rtbids.convert.dicom import last_slice, read
from rtbids.convert.series import Assembler, counter, volumes
from rtbids.errors import BadData, CannotWrite
from rtbids.replay.scanner import Arrival, MosaicSeries, Phantom, dicoms, mosaic_dicom, scan
from rtbids.volume import Volume
from rtbids.wakeup import Wakeup

SMALL = Phantom(shape=(16, 20, 7), voxel=(12.0, 10.0, 14.0), volumes=3)


def converted(folder: Path) -> tuple[Any, dict[str, Any]]:
    """The one image and sidecar that dcm2niix makes of a folder."""
    out = folder.parent / f"{folder.name}-nifti"
    out.mkdir()
    command = [dcm2niix.bin, "-f", "volume", "-b", "y", "-z", "n", "-o", str(out), str(folder)]
    subprocess.run(command, check=True, capture_output=True)
    (image,) = out.glob("*.nii")
    return nibabel.load(image), json.loads(image.with_suffix(".json").read_text())


def rotation(x: float, y: float, z: float) -> NDArray[np.float64]:
    """Angles in degrees."""
    a, b, c = np.radians([x, y, z])
    about_x = np.array([[1, 0, 0], [0, np.cos(a), -np.sin(a)], [0, np.sin(a), np.cos(a)]])
    about_y = np.array([[np.cos(b), 0, np.sin(b)], [0, 1, 0], [-np.sin(b), 0, np.cos(b)]])
    about_z = np.array([[np.cos(c), -np.sin(c), 0], [np.sin(c), np.cos(c), 0], [0, 0, 1]])
    product: NDArray[np.float64] = about_z @ about_y @ about_x
    return product


def oblique(angles: tuple[float, float, float], signs: tuple[int, int, int]) -> NDArray[np.float64]:
    affine = np.eye(4)
    affine[:3, :3] = rotation(*angles) @ np.diag(np.array([3.0, 3.5, 4.25]) * signs)
    affine[:3, 3] = (88.25, -101.5, -47.125)
    return affine


def dataset_of(content: bytes) -> Any:
    return dcmread(BytesIO(content))


def test_dcm2niix_gives_back_a_whole_run(tmp_path: Path) -> None:
    folder = tmp_path / "dicom"
    folder.mkdir()
    phantom = Phantom(volumes=3, repetition_time=1.5)
    assert scan(dicoms(phantom), folder, interval=0) == 3
    image, sidecar = converted(folder)
    assert image.get_data_dtype() == np.int16
    np.testing.assert_array_equal(np.asarray(image.dataobj), np.stack([phantom.volume(k) for k in range(3)], axis=-1))
    np.testing.assert_allclose(image.affine, phantom.affine, atol=1e-4)  # a header holds float32
    assert sidecar["RepetitionTime"] == 1.5
    assert sidecar["PhaseEncodingDirection"] == "j-"
    assert sidecar["EffectiveEchoSpacing"] == pytest.approx(1 / (40.0 * 64), rel=1e-4)  # dcm2niix writes six digits
    expected = MosaicSeries(phantom.shape, phantom.affine, 1.5).slice_timing()
    np.testing.assert_allclose(sidecar["SliceTiming"], expected, atol=1e-6)
    assert sorted(expected)[1] == pytest.approx(0.055)  # 1.5 s / 27 slices, rounded down to 2.5 ms


@pytest.mark.parametrize("angles", [(0, 0, 0), (12.5, -7.25, 31.0), (90, 0, 0), (0, 90, 90)])
@pytest.mark.parametrize("signs", [(-1, 1, 1), (1, 1, 1)])
def test_dcm2niix_gives_back_any_orientation(
    tmp_path: Path, angles: tuple[float, float, float], signs: tuple[int, int, int]
) -> None:
    affine = oblique(angles, signs)
    data = np.random.default_rng(1).integers(0, 4096, (10, 12, 5), dtype=np.int16)
    folder = tmp_path / "dicom"
    folder.mkdir()
    (folder / "1.dcm").write_bytes(mosaic_dicom(data, affine))
    image, _ = converted(folder)
    np.testing.assert_array_equal(np.asarray(image.dataobj).squeeze(), data)
    np.testing.assert_allclose(image.affine, affine, atol=1e-3)  # IPP goes through decimal strings and the tiles' shift


def test_sixteen_bits_come_back_unsigned(tmp_path: Path) -> None:
    data = np.random.default_rng(2).integers(0, 65536, (8, 8, 4), dtype=np.uint16)
    folder = tmp_path / "dicom"
    folder.mkdir()
    series = MosaicSeries((8, 8, 4), oblique((0, 0, 0), (-1, 1, 1)), 2.0, bits=16)
    (folder / "1.dcm").write_bytes(series.dicom(data, 0))
    image, _ = converted(folder)
    assert image.get_data_dtype() == np.uint16
    np.testing.assert_array_equal(np.asarray(image.dataobj).squeeze(), data)


@pytest.mark.parametrize("angles", [(0, 0, 0), (12.5, -7.25, 31.0), (0, 90, 90)])
@pytest.mark.parametrize("signs", [(-1, 1, 1), (1, 1, 1)])
def test_rtbids_gives_back_any_orientation(angles: tuple[float, float, float], signs: tuple[int, int, int]) -> None:
    affine = oblique(angles, signs)
    series = MosaicSeries((10, 12, 5), affine, 1.5)
    data = [np.random.default_rng(k).integers(0, 4096, (10, 12, 5), dtype=np.int16) for k in range(3)]
    sent = [read(series.dicom(image, k), f"{k}.dcm", 1.0 + k) for k, image in enumerate(data)]
    got = [item for item in volumes(sent, Assembler({}, counter())) if isinstance(item, Volume)]
    assert [volume.index for volume in got] == [0, 1, 2]
    for volume, image in zip(got, data, strict=True):
        np.testing.assert_array_equal(volume.data, image)
        assert volume.data.dtype == np.int16
        np.testing.assert_allclose(volume.affine, affine, atol=1e-3)  # through decimal strings and the tiles' shift
    assert got[0].metadata["RepetitionTime"] == 1.5
    assert got[0].metadata["PhaseEncodingDirection"] == "j-"
    np.testing.assert_allclose(got[0].metadata["SliceTiming"], series.slice_timing(), atol=1e-6)


def test_rtbids_reads_the_files_as_whole() -> None:
    for index, content in enumerate(dicoms(SMALL)):
        instance = read(content, "phantom", 1.0)
        assert instance.dataset.InstanceNumber == index + 1
        assert last_slice(instance.dataset)[0].any()


def test_each_volume_is_an_instance_of_one_series() -> None:
    datasets = [dataset_of(content) for content in dicoms(SMALL, number=9)]
    assert len({dataset.SOPInstanceUID for dataset in datasets}) == 3
    assert {dataset.SeriesNumber for dataset in datasets} == {9}
    assert len({dataset.SeriesInstanceUID for dataset in datasets}) == 1
    assert [dataset.AcquisitionTime for dataset in datasets] == ["100000.000000", "100002.000000", "100004.000000"]


def test_the_image_type_tells_corrected_volumes_from_raw_ones() -> None:
    raw = MosaicSeries(SMALL.shape, SMALL.affine, 2.0)
    corrected = replace(raw, image_type=("M", "ND", "MOCO"))
    dataset = dataset_of(corrected.dicom(SMALL.volume(0), 0, image=1000))
    assert list(dataset.ImageType) == ["ORIGINAL", "PRIMARY", "M", "ND", "MOCO", "MOSAIC"]
    assert dataset.SeriesInstanceUID == raw.uid
    assert dataset.SOPInstanceUID != dataset_of(raw.dicom(SMALL.volume(0), 0)).SOPInstanceUID


def test_a_volume_that_does_not_fit_the_series_is_refused() -> None:
    series = MosaicSeries((2, 2, 2), np.eye(4), 2.0)
    with pytest.raises(BadData, match="12 bits"):
        series.dicom(np.full((2, 2, 2), 4096, np.int16), 0)


def test_the_region_follows_the_truth() -> None:
    phantom = Phantom(volumes=60, noise=0.0, drift=0.0)
    inside = phantom.mask() > 0
    signal = np.array([phantom.volume(k)[inside].mean() for k in range(60)])
    np.testing.assert_allclose(100 * (signal / signal[0] - 1), phantom.truth, atol=0.05)  # voxels of 1000 are integers
    assert phantom.truth[:10].max() == 0.0
    assert 1.9 < phantom.truth[15:20].mean() < 2.4  # the plateau of 2 %, with the response's overshoot


def test_the_truth_is_the_block_design_through_the_canonical_response() -> None:
    from scipy.stats import gamma

    phantom = Phantom(volumes=40, effect=0.01)
    fine = np.arange(0, 80.0, 0.01)
    boxcar = (fine % 40) >= 20
    response = np.convolve(boxcar, (gamma.pdf(fine, 6) - gamma.pdf(fine, 16) / 6) / (5 / 6))[: fine.size] * 0.01
    np.testing.assert_allclose(phantom.truth, np.interp(np.arange(40) * 2.0, fine, response), atol=0.02)  # 0.05 s grid


def test_the_head_outside_the_region_does_not_respond() -> None:
    phantom = Phantom(volumes=40, noise=0.0, drift=0.0)
    outside = phantom.mask() == 0
    np.testing.assert_array_equal(phantom.volume(0)[outside], phantom.volume(17)[outside])


def test_noise_and_drift_are_as_large_as_said() -> None:
    phantom = Phantom(volumes=100, noise=0.005, drift=0.01)
    white = phantom.anatomy == 800.0
    first, last = phantom.volume(0)[white].astype(float), phantom.volume(99)[white].astype(float)
    assert first.std() == pytest.approx(5.0, rel=0.03)  # 1000 × 0.005; some 7,000 voxels estimate it within 1 %
    assert last.mean() / first.mean() - 1 == pytest.approx(0.0099, abs=0.0004)


def test_the_same_volume_is_scanned_twice_alike_and_no_two_are_the_same() -> None:
    np.testing.assert_array_equal(SMALL.volume(1), replace(SMALL).volume(1))
    assert (SMALL.volume(1) != SMALL.volume(2)).any()
    assert (SMALL.volume(1) != replace(SMALL, seed=1).volume(1)).any()


def test_the_events_are_the_blocks_of_work() -> None:
    table = events.read(Phantom(volumes=35, block=10).events, "events.tsv")
    assert [(block.onset, block.duration, block.trial_type) for block in table.rows] == [
        (20.0, 20.0, "regulate"),
        (60.0, 10.0, "regulate"),
    ]


@pytest.mark.parametrize("how", ["rename", "in place", "hard link"])
def test_files_appear_under_a_vendors_names_and_nothing_else_stays(tmp_path: Path, how: Arrival) -> None:
    contents = list(dicoms(SMALL))
    assert scan(contents, tmp_path, interval=0, how=how) == 3
    names = [f"001_000007_00000{k}.dcm" for k in (1, 2, 3)]
    assert sorted(path.name for path in tmp_path.iterdir()) == names
    assert [(tmp_path / name).read_bytes() for name in names] == contents


def test_files_come_at_the_interval(tmp_path: Path) -> None:
    clock = ManualClock(50.0)
    moments = []

    def contents() -> Any:
        for content in dicoms(SMALL):
            moments.append(clock.now())
            yield content

    scan(contents(), tmp_path, interval=2.0, clock=clock)
    assert clock.now() == 54.0
    assert moments == [50.0, 50.0, 52.0]  # the next is prepared while the scanner waits


def test_stop_ends_a_scan_between_two_files(tmp_path: Path) -> None:
    stop = Wakeup()
    counts: list[int] = []
    scanner = threading.Thread(
        target=lambda: counts.append(scan(dicoms(SMALL), tmp_path, interval=3600, clock=CLOCK, stop=stop))
    )
    scanner.start()
    stop.set()
    scanner.join(10)
    assert not scanner.is_alive()
    assert counts[0] <= 1
    assert len(list(tmp_path.iterdir())) == counts[0]


def test_a_folder_that_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(CannotWrite, match="gone"):
        scan(dicoms(SMALL), tmp_path / "gone", interval=0)
