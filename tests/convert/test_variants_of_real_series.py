"""Real series as copies of them may be: another transfer syntax, private blocks moved or lost, other numbers and orders.

Each is held against what dcm2niix makes of the same files.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from assembly import Scanner, instances
from pydicom import dcmread, dcmwrite
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian, RLELossless, generate_uid

from rtbids.convert import dicom
from rtbids.convert.check import Agreement, compare

MOSAIC, XA, GE = "siemens_mosaic_vd13_cmrr_reversed", "siemens_xa30_enhanced", "ge_mr750_epirt"
PHILIPS, PHILIPS_ENHANCED, UIH, CANON = "philips_classic_3vol", "philips_enhanced_4vol", "uih_grid_dti", "canon_classic_dti"
EVERY = (MOSAIC, XA, GE, PHILIPS, PHILIPS_ENHANCED, UIH, CANON)
Edit = Callable[[list[Dataset]], list[Dataset]]


def files(folder: Path) -> list[Dataset]:
    return [dcmread(path) for path in sorted((folder / "dicom").iterdir())]


def written(dataset: Dataset) -> bytes:
    """Return a file in the transfer syntax that its meta information names."""
    target = BytesIO()
    syntax = dataset.file_meta.TransferSyntaxUID
    dcmwrite(target, dataset, implicit_vr=syntax.is_implicit_VR, little_endian=True, enforce_file_format=True)
    return target.getvalue()


def read(datasets: list[Dataset]) -> list[dicom.Instance]:
    found = [dicom.read(written(dataset), f"{number}.dcm", 0.0) for number, dataset in enumerate(datasets)]
    return sorted(found, key=lambda instance: dicom.sort_key(instance.dataset))


def held_against_dcm2niix(datasets: list[Dataset]) -> list[Agreement]:
    numbers = frozenset(int(dataset.SeriesNumber) for dataset in datasets)
    return list(compare(read(datasets), numbers | {number // 1000 for number in numbers}))


def nested(dataset: Dataset) -> Iterator[Dataset]:
    """Yield a data set and every item of every sequence in it."""
    yield dataset
    for element in dataset:
        if element.VR == "SQ":
            for item in element.value:
                yield from nested(item)


def implicit(datasets: list[Dataset]) -> list[Dataset]:
    for dataset in datasets:
        dataset.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian
    return datasets


def unknown(datasets: list[Dataset]) -> list[Dataset]:
    """Return what is left when a receiver has written private elements as UN: implicit, read, explicit again."""
    copies = [dcmread(BytesIO(written(dataset))) for dataset in implicit(datasets)]
    for copy in copies:
        copy.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    return copies


def run_length(datasets: list[Dataset]) -> list[Dataset]:
    for dataset in datasets:
        dataset.compress(RLELossless, generate_instance_uid=False)
    return datasets


def moved(datasets: list[Dataset]) -> list[Dataset]:
    """Move every private block of group 0021 and 0029 by 0x40."""
    for dataset in datasets:
        for part in list(nested(dataset)):
            for element in [one for one in part if one.tag.group in (0x0021, 0x0029)]:
                low = element.tag.element
                del part[element.tag]
                part.add_new((element.tag.group, low + (0x40 if low < 0x100 else 0x4000)), element.VR, element.value)
    return datasets


def without_csa_series_header(datasets: list[Dataset]) -> list[Dataset]:
    for dataset in datasets:
        del dataset[0x0029, 0x1020]
    return datasets


def without_group_0019(datasets: list[Dataset]) -> list[Dataset]:
    for dataset in datasets:
        for element in [element for element in dataset if element.tag.group == 0x0019]:
            del dataset[element.tag]
    return datasets


def acquisition_number_1(datasets: list[Dataset]) -> list[Dataset]:
    for dataset in datasets:
        dataset.AcquisitionNumber = 1
    return datasets


def series_uids_of_their_own(datasets: list[Dataset]) -> list[Dataset]:
    for dataset in datasets:
        dataset.SeriesInstanceUID = generate_uid()
    return datasets


def one_twice(datasets: list[Dataset]) -> list[Dataset]:
    return [*datasets, datasets[1]]


def signed(datasets: list[Dataset]) -> list[Dataset]:
    for dataset in datasets:
        dataset.PixelRepresentation = 1
    return datasets


def scaled(datasets: list[Dataset]) -> list[Dataset]:
    for dataset in datasets:
        dataset.RescaleSlope, dataset.RescaleIntercept = "2.5", "-17"
        for part in nested(dataset):
            if "PixelValueTransformationSequence" in part:
                part.PixelValueTransformationSequence[0].RescaleSlope = "2.5"
                part.PixelValueTransformationSequence[0].RescaleIntercept = "-17"
    return datasets


CASES: list[tuple[Edit, tuple[str, ...]]] = [
    (implicit, EVERY),
    (unknown, (MOSAIC, XA, GE, PHILIPS)),
    (run_length, (MOSAIC, GE, PHILIPS, CANON)),
    (moved, (MOSAIC, XA, GE)),
    (without_csa_series_header, (MOSAIC,)),
    (without_group_0019, (MOSAIC,)),
    (acquisition_number_1, EVERY),
    (series_uids_of_their_own, (PHILIPS, GE, CANON)),
    (one_twice, (MOSAIC, XA, GE, PHILIPS, CANON)),
    (signed, (MOSAIC, XA, GE, PHILIPS)),
    (scaled, (XA, GE, CANON)),
]


@pytest.mark.parametrize(
    ("edit", "name"), [pytest.param(edit, name, id=f"{edit.__name__}-{name}") for edit, names in CASES for name in names]
)
def test_a_copy_converts_as_by_dcm2niix(real_data: Path, edit: Edit, name: str) -> None:
    found = held_against_dcm2niix(edit(files(real_data / name)))
    assert len(found) == 1 or edit is series_uids_of_their_own
    if edit is series_uids_of_their_own and found[0].differ:  # dcm2niix keeps such files apart; ours shall be the reference
        straight = Scanner(series=frozenset({int(files(real_data / name)[0].SeriesNumber)})).send(
            *instances((real_data / name / "dicom").iterdir())
        )
        assert found[0].volumes == len(straight.finish().volumes)
        return
    # dcm2niix rounds the slice times of UIH to 1/64 s
    assert set(found[0].differ) <= ({"SliceTiming"} if name == UIH else set())


def frames_in_order(dataset: Dataset, order: Any) -> list[Dataset]:
    frames = list(dataset.PerFrameFunctionalGroupsSequence)
    images = np.frombuffer(dataset.PixelData, "<u2").reshape(len(frames), -1)
    dataset.PerFrameFunctionalGroupsSequence = Sequence([frames[number] for number in order])
    dataset.PixelData = images[list(order)].tobytes()
    return [dataset]


@pytest.mark.parametrize("seed", range(3))
def test_philips_frames_are_sorted_by_their_dimension_index_values(real_data: Path, seed: int) -> None:
    (dataset,) = files(real_data / PHILIPS_ENHANCED)
    (found,) = held_against_dcm2niix(frames_in_order(dataset, np.random.default_rng(seed).permutation(32)))
    assert (found.volumes, found.differ) == (4, {})


def test_echoes_in_one_philips_file_are_runs_of_their_own(real_data: Path) -> None:
    (dataset,) = files(real_data / PHILIPS_ENHANCED)
    for number, frame in enumerate(dataset.PerFrameFunctionalGroupsSequence):
        frame.MREchoSequence[0].EffectiveEchoTime = 30.0 + 20 * (number % 4 % 2)
    scanner = Scanner().send(*read([dataset])).finish()
    assert {(volume.entities["echo"], volume.index, volume.metadata["EchoTime"]) for volume in scanner.volumes} == {
        ("1", 0, 0.03),
        ("1", 1, 0.03),
        ("2", 0, 0.05),
        ("2", 1, 0.05),
    }
    assert len(scanner.volumes) == 4


def echoes_of(datasets: list[Dataset], times: tuple[float, ...]) -> list[Dataset]:
    """Return every image once an echo, with nothing but the echo time and the image number to tell them apart."""
    made = []
    for dataset in datasets:
        for number, seconds in enumerate(times):
            copy = dcmread(BytesIO(written(dataset)))
            for part in nested(copy):
                for keyword in ("EchoTime", "EffectiveEchoTime"):
                    if keyword in part:
                        setattr(part, keyword, seconds)
            copy.InstanceNumber = (int(dataset.InstanceNumber) - 1) * len(times) + number + 1
            copy.SOPInstanceUID = copy.file_meta.MediaStorageSOPInstanceUID = generate_uid()
            copy.PixelData = (np.frombuffer(dataset.PixelData, "<u2") >> number).tobytes()
            made.append(copy)
    return made


@pytest.mark.parametrize("name", [XA, "siemens_mosaic_ve11_rtcloud", PHILIPS])
def test_echoes_that_only_their_time_tells_apart_are_runs_of_their_own(real_data: Path, name: str) -> None:
    found = held_against_dcm2niix(echoes_of(files(real_data / name)[:9], (15.0, 30.0, 45.0)))
    assert len(found) == 3
    assert [one.differ for one in found] == [{}, {}, {}]


def test_a_mosaic_that_is_not_transverse_is_refused_where_it_has_lost_its_normal(
    real_data: Path, caplog: pytest.LogCaptureFixture
) -> None:
    datasets = files(real_data / "siemens_mosaic_vb17_sag")
    for dataset in datasets:
        del dataset[0x0029, 0x1010]
    assert Scanner().send(*read(datasets)).finish().volumes == []
    assert any("lost the direction of its slices" in text for text in caplog.messages)


@pytest.mark.parametrize(
    ("name", "field", "reason"),
    [
        (PHILIPS, "SliceTiming", "Philips does not write slice times"),
        (PHILIPS, "PhaseEncodingDirection", "Philips does not write its sign, only the axis"),
        (GE, "SliceTiming", "no protocol block, (0025,xx1B) of GEMS_SERS_01 (removed by an anonymiser?)"),
        (XA, "PhaseEncodingDirection", "no (0021,xx1C) of SIEMENS MR SDI 02, which has its sign (removed by an anonymiser?)"),
        (CANON, "TotalReadoutTime", "Canon does not write the echo spacing"),
    ],
)
def test_each_field_that_is_left_out_has_its_own_reason(
    real_data: Path, caplog: pytest.LogCaptureFixture, name: str, field: str, reason: str
) -> None:
    datasets = files(real_data / name)
    for dataset in datasets:
        dataset.remove_private_tags()
    with caplog.at_level("INFO", logger="rtbids"):
        Scanner(series=frozenset({int(datasets[0].SeriesNumber)})).send(*read(datasets)).finish()
    said = [text for text in caplog.messages if f"{field} left out" in text]
    assert len(said) == 1
    assert said[0].endswith(f"{field} left out: {reason}")
