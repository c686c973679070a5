"""What vendors put into private elements: found by creator, read by rule, left out where it is lost."""

from __future__ import annotations

import gzip
import struct
import warnings
from pathlib import Path

import numpy as np
import pytest
from assembly import mosaics, voxels_of
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence

from rtbids import csa
from rtbids.convert import dicom, encoding, functional, ge, header, private, siemens


def test_a_private_element_is_found_wherever_its_block_lies() -> None:
    for block in (0x10, 0x11, 0x42):
        dataset = Dataset()
        dataset.add_new((0x0021, 0x0010), "LO", "SOMEBODY ELSE")
        dataset.add_new((0x0021, 0x1053), "LO", "a text of somebody else's")
        dataset.add_new((0x0021, block), "LO", private.SDI)
        dataset.add_new((0x0021, block << 8 | 0x53), "FD", 28.9)
        assert private.number(dataset, 0x0021, private.SDI, 0x53) == 28.9


@pytest.mark.parametrize("value", [None, "text", b"\xff", "nan", "", Sequence([])])
def test_a_private_number_that_is_none_is_left_out(value: object) -> None:
    assert private.as_numbers(value) == []


def test_the_csa_header_is_read_as_nibabel_reads_it(real_data: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the module calls itself experimental, once
        from nibabel.nicom import csareader

    for folder in sorted(real_data.glob("siemens_mosaic_*")):
        path = sorted((folder / "dicom").iterdir())[0]
        dataset = dicom.read(path.read_bytes(), path.name, 0.0).dataset
        content = private.find(dataset, 0x0029, private.CSA, 0x10)
        theirs = csareader.read(content)["tags"]
        ours = csa.parse(content)
        assert ours.keys() == theirs.keys()
        for name, field in theirs.items():
            assert len(ours[name]) == sum(value not in (b"", "") for value in field["items"]), name
            if field["vr"] in ("FD", "DS", "IS", "US"):
                assert private.as_numbers(ours[name]) == pytest.approx(field["items"]), name


@pytest.mark.parametrize(
    "content", [b"", b"SV10", b"SV10\4\3\2\1\xff\xff\xff\xffM\0\0\0", b"SV10\4\3\2\1\2\0\0\0M\0\0\0" + b"x" * 50]
)
def test_a_damaged_csa_header_is_an_empty_one(content: bytes) -> None:
    assert csa.parse(content) == {}


def test_the_first_form_of_the_csa_header_is_read_too() -> None:
    # In the first form the length of a value is given with the first field's count of items added to it.
    count = 2
    field = struct.pack("<64si4siii", b"NumberOfImagesInMosaic", 1, b"US\0\0", 10, count, 77)
    items = struct.pack("<4i", 3 + count, 3 + count, 77, 3) + b"36\0\0" + struct.pack("<4i", count, 0, 77, 0)
    assert csa.parse(struct.pack("<2I", 1, 77) + field + items) == {"NumberOfImagesInMosaic": ["36"]}


@pytest.mark.parametrize(
    ("axis", "sign", "direction"),
    [("j", 1, "j-"), ("j", 0, "j"), ("i", 1, "i"), ("i", 0, "i-"), ("j", None, None), (None, 1, None)],
)
def test_the_sign_of_phase_encoding_follows_the_axis(axis: str | None, sign: int | None, direction: str | None) -> None:
    assert encoding.direction(axis, sign) == direction


def test_slice_times_that_cannot_be_true_are_known() -> None:
    assert siemens.broken([0.0, 0.0, 0.0], 2.0)
    assert siemens.broken([0.0, 1.0, 2.5], 2.0)
    assert not siemens.broken([0.0, 1.0, 0.5, 1.5], 2.0)
    assert not siemens.broken([0.0], 2.0)


def ge_dataset(lines: dict[str, str], release: str = "DV26.0_R01_1725.a", **elements: object) -> Dataset:
    dataset = Dataset()
    dataset.Manufacturer = "GE MEDICAL SYSTEMS"
    dataset.SoftwareVersions = ["27", "LX", f"MR Software release:{release}"]
    dataset.RepetitionTime = "2000"
    for keyword, value in elements.items():
        setattr(dataset, keyword, value)
    packed = gzip.compress("\n".join(f'{key} "{value}"' for key, value in lines.items()).encode())
    block = dataset.private_block(0x0025, private.GE_SERIES, create=True)
    block.add_new(0x1B, "OB", struct.pack("<I", len(packed)) + packed + b"\0" * (len(packed) % 2))
    return dataset


def test_ge_slice_times_of_a_sequential_run_are_even() -> None:
    dataset = ge_dataset({"IOPT": "FMRI", "SLICEORDER": "0"})
    assert ge.timing(dataset, 5, descending=False) == pytest.approx([0, 0.4, 0.8, 1.2, 1.6])
    assert ge.timing(dataset, 5, descending=True) == pytest.approx([1.6, 1.2, 0.8, 0.4, 0])


@pytest.mark.parametrize("slices", [2, 5, 8, 33])
def test_ge_interleaved_slices_are_each_excited_once(slices: int) -> None:
    times = ge.timing(ge_dataset({"IOPT": "FMRI", "SLICEORDER": "1"}), slices, descending=False)
    assert times is not None
    np.testing.assert_allclose(sorted(times), np.arange(slices) * 2.0 / slices)
    np.testing.assert_allclose(times[::2], np.arange(len(times[::2])) * 2.0 / slices)  # the even ones first


@pytest.mark.parametrize(("release", "shots"), [("DV26.0_R01_1725.a", 5), ("DV27.0_R03_1831.b", 4), ("RX27.0_EA_1.a", 5)])
def test_ge_simultaneous_slices_share_their_times(release: str, shots: int) -> None:
    dataset = ge_dataset({"IOPT": "FMRI", "SLICEORDER": "1", "MBACCEL": "3"}, release)
    times = ge.timing(dataset, 12, descending=False)
    assert times is not None
    assert len(set(times)) == shots  # before 27.0 R03 an even number of shots gets one more
    assert times[:shots] == times[shots : 2 * shots]


def test_ge_tells_no_slice_times_of_diffusion_or_without_its_protocol() -> None:
    assert ge.timing(ge_dataset({"IOPT": "DIFF"}), 4, descending=False) is None
    bare = Dataset()
    bare.RepetitionTime = "2000"
    assert ge.timing(bare, 4, descending=False) is None


@pytest.mark.parametrize(
    ("lines", "seconds"),
    [
        ({"IOPT": "FMRI", "DELACQ": "0.35"}, 2.0),
        ({"IOPT": "MPh", "DELACQ": "0.35"}, 2.35),
        ({"IOPT": "MPh", "DELACQ": "Minimum"}, 2.0),
        ({"IOPT": "MPh", "DELACQNOAV": "0.57"}, 2.0),
    ],
)
def test_ge_repetition_time_has_its_delays(lines: dict[str, str], seconds: float) -> None:
    assert header.repetition_time(ge_dataset(lines)) == pytest.approx(seconds)


def test_the_moved_block_of_a_pacs_copy_is_found(real_data: Path) -> None:
    """A copy may hold the per-frame block at (0021,10xx) where the scanner wrote (0021,11xx)."""
    from assembly import Scanner

    path = sorted((real_data / "siemens_xa30_enhanced/dicom").iterdir())[0]
    straight = dicom.read(path.read_bytes(), path.name, 0.0)
    moved = dicom.read(path.read_bytes(), path.name, 0.0)
    for frame in moved.dataset.PerFrameFunctionalGroupsSequence:
        _move(frame)
        for element in frame:
            if element.VR == "SQ":
                _move(element.value[0])
    one, other = (Scanner().send(image).volumes[0].metadata for image in (straight, moved))
    assert "EffectiveEchoSpacing" in one
    assert one == other


def _move(dataset: Dataset) -> None:
    for element in [element for element in dataset if element.tag.group == 0x0021]:
        if element.tag.element == 0x11:
            place = 0x10
        else:
            place = element.tag.element - 0x100
        del dataset[element.tag]
        dataset.add_new((0x0021, place), element.VR, element.value)


def test_corrected_phase_and_echo_images_are_told_apart() -> None:
    def kind(*image_type: str, **elements: object) -> tuple[int, str | None, bool]:
        dataset = dicom.read(mosaics(image_type=image_type).dicom(voxels_of(0), 0), "a", 0.0).dataset
        for keyword, value in elements.items():
            setattr(dataset, keyword, value)
        return functional.echo(dataset), functional.part(dataset), functional.is_corrected(dataset)

    assert kind("M", "ND") == (1, None, False)
    assert kind("M", "ND", "MOCO") == (1, None, True)
    assert kind("P", "ND") == (1, "phase", False)
    assert kind("M", "ND", EchoNumbers="3") == (3, None, False)


@pytest.mark.parametrize(
    ("elements", "is_functional"),
    [
        ({"ScanningSequence": "EP"}, True),
        ({"ScanningSequence": ["EP", "GR"]}, True),
        ({"ScanningSequence": ["SE", "EP"]}, False),
        ({"ScanningSequence": ["GR", "IR"]}, False),
        ({"ScanningSequence": "EP", "SequenceName": "*ep_b0"}, False),
        ({"ScanningSequence": "EP", "ImageType": ["DERIVED", "PRIMARY", "M"]}, False),
        ({"ScanningSequence": "EP", "ImageType": "DERIVED"}, False),
        ({"ScanningSequence": "EP", "ImageType": ["DERIVED", "PRIMARY", "M", "MOCO"]}, True),
        ({"ScanningSequence": "EP", "SeriesDescription": "bold_task-rest_SBRef"}, False),
        ({"EchoPlanarPulseSequence": "YES"}, True),
        ({"EchoPlanarPulseSequence": "YES", "EchoPulseSequence": "SPIN"}, False),
        ({}, False),
    ],
)
def test_functional_is_what_bold_is_measured_with(elements: dict[str, object], is_functional: bool) -> None:
    dataset = Dataset()
    dataset.ImageType = ["ORIGINAL", "PRIMARY", "M"]
    for keyword, value in elements.items():
        setattr(dataset, keyword, value)
    assert functional.is_functional(dataset) is is_functional


def test_a_single_image_type_is_no_row_of_letters() -> None:
    dataset = Dataset()
    dataset.ImageType = "DERIVED"
    assert functional.image_type(dataset) == ("DERIVED",)
    assert functional.part(dataset) is None
