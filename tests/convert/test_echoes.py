"""The runs of a multi-echo series are named by echo from the first on, where the header announces how many there are."""

from __future__ import annotations

from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from assembly import AFFINE, SHAPE, Scanner, mosaics, voxels_of
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.uid import DeflatedExplicitVRLittleEndian, ImplicitVRLittleEndian

from rtbids.archive.dataset import Archive
from rtbids.convert import dicom, protocol
from rtbids.convert.series import Assembler
from rtbids.replay.forms import FORMS, SERIES, Form
from rtbids.replay.series import written

ECHO_TIMES = (0.012, 0.028, 0.044)


def scanned(form: Form, announced: int | None, number: int = 7, volumes: int = 2) -> Iterator[dicom.Instance]:
    """Give the images of three echoes, volume by volume, as they leave the scanner."""
    for index in range(volumes):
        for echo, seconds in enumerate(ECHO_TIMES, 1):
            scan = SERIES[form](SHAPE, AFFINE, 2.0, number, echo=echo, echo_time=seconds, echoes=announced)
            for k, content in enumerate(scan.dicoms(voxels_of(index), index)):
                yield dicom.read(_numbered(content, f"{scan.uid}.{index}.{echo}.{k}"), f"{index}-{echo}-{k}.dcm", 0.0)


def _numbered(content: bytes, uid: str) -> bytes:
    return written(dcmread(BytesIO(content)), uid)


def first(form: Form, announced: int | None) -> dicom.Instance:
    return next(scanned(form, announced))


def names(scanner: Scanner) -> dict[str | None, list[int]]:
    """Return the volumes by echo."""
    found: dict[str | None, list[int]] = {}
    for volume in scanner.volumes:
        found.setdefault(volume.entities.get("echo"), []).append(volume.index)
    return found


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("announced", [None, 1, 3])
def test_what_the_header_announces_is_read(form: Form, announced: int | None) -> None:
    assert protocol.read(first(form, announced)).echoes == (announced or 1)


@pytest.mark.parametrize("form", FORMS)
def test_the_first_echo_is_named_where_the_header_announces_others(form: Form, caplog: pytest.LogCaptureFixture) -> None:
    scanner = Scanner().send(*scanned(form, 3)).finish()
    assert names(scanner) == {"1": [0, 1], "2": [0, 1], "3": [0, 1]}
    assert {volume.entities["run"] for volume in scanner.volumes} == {"01"}
    assert {volume.metadata["EchoTime"] for volume in scanner.volumes} == set(ECHO_TIMES)
    assert not [text for text in caplog.messages if "without echo" in text]


@pytest.mark.parametrize("form", FORMS)
def test_a_first_echo_that_nothing_announced_is_named_once_in_a_warning(form: Form, caplog: pytest.LogCaptureFixture) -> None:
    scanner = Scanner().send(*scanned(form, None)).finish()
    assert names(scanner) == {None: [0, 1], "2": [0, 1], "3": [0, 1]}
    (said,) = [text for text in caplog.messages if "without echo" in text]
    assert said.startswith("series 7 (func_task-nf): sub-01_task-nf_run-01 is one of several echoes")


@pytest.mark.parametrize("form", FORMS)
def test_a_series_of_one_echo_is_named_without(form: Form) -> None:
    scan = SERIES[form](SHAPE, AFFINE, 2.0, echoes=1)
    files = [dicom.read(content, f"{k}.dcm", 0.0) for k, content in enumerate(scan.dicoms(voxels_of(0), 0))]
    assert names(Scanner().send(*files).finish()) == {None: [0]}


def test_only_the_first_image_of_a_series_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    monkeypatch.setattr(protocol, "read", lambda instance: asked.append(instance.name) or protocol.Protocol(3))
    Scanner().send(*scanned("mosaic", 3, volumes=4)).finish()
    assert asked == ["0-1-0.dcm"]


def test_philips_says_it_in_an_element_of_its_own() -> None:
    dataset = dcmread(BytesIO(bytes(first("slices", None).content)))
    dataset.remove_private_tags()
    dataset.Manufacturer = "Philips Medical Systems"
    dataset.private_block(0x2001, "Philips Imaging DD 001", create=True).add_new(0x14, "SL", 2)
    assert protocol.read(dicom.read(written(dataset, "1.2.3"), "a.dcm", 0.0)).echoes == 2


@pytest.mark.parametrize("block", [0x10, 0x11, 0x42])
@pytest.mark.parametrize("place", ["shared", "classic"])
def test_the_protocol_of_siemens_xa_is_found_wherever_its_block_lies(block: int, place: str) -> None:
    dataset = dcmread(BytesIO(bytes(first("enhanced", None).content)))
    where = dataset
    if place == "shared":
        where = Dataset()
        shared = dataset.SharedFunctionalGroupsSequence[0]
        shared.add_new((0x0021, block), "LO", "SIEMENS MR SDS 01")
        shared.add_new((0x0021, block << 8 | 0xFE), "SQ", Sequence([where]))
    where.add_new((0x0021, block), "LO", "SIEMENS MR SDS 01")
    where.add_new((0x0021, block << 8 | 0x19), "OB", b"### ASCCONV BEGIN ###\nlContrasts\t = \t4\nlAverages\t = \t1\n")
    assert protocol.read(dicom.read(written(dataset, "1.2.3"), "a.dcm", 0.0)).echoes == 4


@pytest.mark.parametrize("syntax", [ImplicitVRLittleEndian, DeflatedExplicitVRLittleEndian])
def test_copies_in_other_transfer_syntaxes_are_read_too(syntax: str) -> None:
    dataset = dcmread(BytesIO(bytes(first("mosaic", 3).content)))
    dataset.file_meta.TransferSyntaxUID = syntax
    file = BytesIO()
    dataset.save_as(file, implicit_vr=syntax == ImplicitVRLittleEndian, little_endian=True)
    assert protocol.read(dicom.read(file.getvalue(), "a.dcm", 0.0)).echoes == 3


@pytest.mark.parametrize(
    "text",
    [b"", b"lContrasts\t = \t", b"lContrasts = many", b"lContrasts = 0", b"lContrasts = 99999999999", b"\xff" * 64],
)
def test_a_protocol_that_makes_no_sense_announces_nothing(text: bytes) -> None:
    dataset = dcmread(BytesIO(bytes(first("mosaic", None).content)))
    dataset.private_block(0x0029, "SIEMENS CSA HEADER").add_new(0x20, "OB", text)
    assert protocol.read(dicom.read(written(dataset, "1.2.3"), "a.dcm", 0.0)).echoes == 1


@pytest.mark.parametrize("kept", [0, 100, 400])
def test_bytes_that_end_too_soon_announce_nothing(kept: int) -> None:
    whole = first("mosaic", 3)
    cut = dicom.Instance(whole.name, bytes(whole.content)[:kept], whole.dataset, 0.0)
    assert protocol.read(cut).echoes == 1


def test_the_headers_of_real_scanners_announce_the_one_echo_that_they_have(real_data: Path) -> None:
    for folder in sorted(real_data.glob("*/dicom")):
        file = min(folder.iterdir())
        assert protocol.read(dicom.read(file.read_bytes(), file.name, 0.0)).echoes == 1, folder


@pytest.mark.parametrize("name", ["siemens_mosaic_vd13_cmrr_reversed", "siemens_mosaic_vb17_sag", "siemens_xa60_enhanced"])
def test_the_protocol_of_a_real_header_is_where_it_is_looked_for(real_data: Path, name: str) -> None:
    content = min((real_data / name / "dicom").iterdir()).read_bytes()
    before = b"lContrasts\t = \t1" if b"lContrasts\t = \t1" in content else b"lContrasts                               = 1"
    assert content.count(before) == 1
    changed = content.replace(before, before[:-1] + b"3")
    assert protocol.read(dicom.read(changed, name, 0.0)).echoes == 3


def test_a_second_scan_of_several_echoes_has_the_next_run_label(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    for label in ("01", "02"):
        with Archive(tmp_path / "study") as archive:
            assembler = Assembler({}, archive.number)
            files = list(scanned("mosaic", 3))
            volumes = [item for file in files for item in assembler.add(file, 0.0)]
            assert {volume.entities["run"] for volume in volumes} == {label}
            runs = {volume.entities["echo"]: archive.begin(volume) for volume in volumes if volume.index == 0}
            for run in runs.values():
                run.end()
    images = sorted(path.name for path in (tmp_path / "study").glob("sub-01/func/*_bold.nii.gz"))
    assert images == [f"sub-01_task-nf_run-{run}_echo-{echo}_bold.nii.gz" for run in ("01", "02") for echo in (1, 2, 3)]
    assert not [text for text in caplog.messages if "already" in text]


def test_scans_with_one_echo_and_with_several_have_labels_of_their_own() -> None:
    scan = mosaics(number=6)
    scanner = Scanner().send(dicom.read(scan.dicom(voxels_of(0), 0), "a.dcm", 0.0), *scanned("mosaic", 3)).finish()
    assert {(volume.entities["run"], volume.entities.get("echo")) for volume in scanner.volumes} == {
        ("01", None),
        *(("02", str(echo)) for echo in (1, 2, 3)),
    }
    assert all(np.array_equal(volume.data, voxels_of(volume.index)) for volume in scanner.volumes)
