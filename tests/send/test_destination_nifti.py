"""Batches that become a BIDS data set in a folder or a bucket."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import dcm2niix
import nibabel as nib
import numpy as np
import pytest
import servers
from pydicom import dcmread, dcmwrite
from servers import BUCKET, items, s3
from validity import errors

from rtbids.errors import UsageFault
from rtbids.replay.scanner import Phantom, dicoms
from rtbids.send.destinations import Access, Failure, Item, parse

RUN = Phantom(shape=(16, 16, 9), voxel=(12.0, 12.0, 14.0), volumes=4)


def outcome(where: str, sent: list[Item], **access: Any) -> list[Failure | None]:
    return servers.outcome(where, sent, as_nifti=True, **access)


@pytest.fixture
def to(tmp_path: Path) -> Path:
    folder = tmp_path / "to"
    folder.mkdir()
    return folder


def names(folder: Path, *, hidden: bool = False) -> set[str]:
    found = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
    return {name for name in found if hidden or not name.startswith(".")}


def changed(sent: list[Item], **elements: str) -> list[Item]:
    """Return the same images with other elements."""
    contents = []
    for item in sent:
        image = dcmread(item.path)
        for keyword, value in elements.items():
            setattr(image, keyword, value)
        path = item.path.with_suffix(".changed")
        dcmwrite(path, image)
        contents.append(path.read_bytes())
    return items(sent[0].path.parent / "changed", contents)


def test_a_run_becomes_a_valid_data_set_with_the_voxels_that_dcm2niix_finds(to: Path, tmp_path: Path) -> None:
    sent = items(tmp_path / "files", list(dicoms(RUN)))
    assert outcome(f"file://{to}", sent) == [None] * 4
    [image] = [name for name in names(to) if name.endswith(".nii.gz")]
    assert image.startswith("sub-phantom/ses-")
    assert image.endswith("_task-nf_run-07_bold.nii.gz")
    assert names(to) == {"dataset_description.json", image, image.replace(".nii.gz", ".json")}
    dcm2niix.main(["-z", "n", "-f", "theirs", "-o", str(tmp_path), str(tmp_path / "files")])
    ours, theirs = nib.load(to / image), nib.load(tmp_path / "theirs.nii")
    np.testing.assert_array_equal(np.asanyarray(ours.dataobj), np.asanyarray(theirs.dataobj))
    np.testing.assert_array_equal(ours.affine, theirs.affine)
    assert errors(to) == []


def test_the_sidecar_says_how_and_neither_who_nor_when(to: Path, tmp_path: Path) -> None:
    private = {
        "PatientSex": "F",
        "PatientAge": "031Y",
        "InstitutionName": "Hidden",
        "ImageComments": "hidden",
        "StationName": "hid",
    }
    sent = changed(items(tmp_path / "files", list(dicoms(RUN))), **private)
    assert outcome(f"file://{to}", sent) == [None] * 4
    text = next(to.rglob("*_bold.json")).read_text()
    fields = json.loads(text)
    assert fields["RepetitionTime"] == pytest.approx(RUN.repetition_time, abs=1e-6)  # as text in DICOM
    assert fields["TaskName"] == "nf"
    assert {"SliceTiming", "EchoTime", "FlipAngle"} & fields.keys()
    assert not {"AcquisitionTime", "InstitutionName", "PatientSex", "SeriesDescription", "ProtocolName"} & fields.keys()
    assert "hid" not in text.lower()


def test_the_same_batch_again_changes_nothing(to: Path, tmp_path: Path) -> None:
    sent = items(tmp_path / "files", list(dicoms(RUN)))
    assert outcome(f"file://{to}", sent) == [None] * 4
    before = {name: (to / name).read_bytes() for name in names(to, hidden=True)}
    assert outcome(f"file://{to}", sent) == [None] * 4
    assert {name: (to / name).read_bytes() for name in names(to, hidden=True)} == before


def test_what_was_broken_off_is_not_there_and_is_made_whole(to: Path, tmp_path: Path) -> None:
    sent = items(tmp_path / "files", list(dicoms(RUN)))
    assert outcome(f"file://{to}", sent) == [None] * 4
    for path in [*to.glob(".rtbids/*"), *to.rglob("*_bold.json")]:
        path.unlink()
    destination = parse(f"file://{to}", Access(as_nifti=True))
    with destination.open() as connection:
        assert connection.present(sent) == set()
        assert [failure for _, failure in connection.send(sent)] == [None] * 4
        assert connection.present(sent) == {item.instance for item in sent}
        assert connection.present([replace(sent[0], sha256="0" * 64)]) == set()


def test_what_has_no_place_in_bids_is_kept_as_dicom(to: Path, tmp_path: Path) -> None:
    plain = items(tmp_path / "files", list(dicoms(RUN)))
    sent = changed(plain, SeriesDescription="localizer", ProtocolName="localizer", ScanningSequence="GR", SequenceName="fl2d1")
    assert outcome(f"file://{to}", sent) == [None] * 4
    assert names(to) == {"dataset_description.json", *(f"sourcedata/{item.name}" for item in sent)}


def test_burned_in_text_is_not_converted(to: Path, tmp_path: Path) -> None:
    sent = changed(items(tmp_path / "files", list(dicoms(RUN))), BurnedInAnnotation="YES")
    failures = outcome(f"file://{to}", sent)
    assert all(failure is not None and failure.permanent for failure in failures)
    assert not [name for name in names(to) if name != "dataset_description.json"]


def test_another_run_of_that_name_is_left_as_it_is(to: Path, tmp_path: Path) -> None:
    sent = items(tmp_path / "files", list(dicoms(RUN)))
    assert outcome(f"file://{to}", sent[:3]) == [None] * 3
    failures = outcome(f"file://{to}", sent)
    where = f"file://{to} has another object of this name: its content is not what was sent"
    assert failures == [Failure(where, permanent=True)] * 4


def test_a_batch_goes_into_a_bucket(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    s3fs = pytest.importorskip("s3fs", reason="pip install 'rtbids[cloud]'")
    for name, value in (("REGION", "us-east-1"), ("ACCESS_KEY_ID", "key"), ("SECRET_ACCESS_KEY", "secret")):
        monkeypatch.setenv(f"AWS_{name}" if name != "REGION" else "AWS_DEFAULT_REGION", value)
    sent = items(tmp_path / "files", list(dicoms(RUN)))
    with s3() as where:
        assert outcome(f"s3://{BUCKET}/study", sent, endpoint=where) == [None] * 4
        files = s3fs.S3FileSystem(endpoint_url=where, use_listings_cache=False)
        there = {path.rpartition("_")[2] for path in files.find(f"{BUCKET}/study")}
    assert there == {"bold.nii.gz", "bold.json", "description.json", f"{BUCKET}/study/.rtbids/{sent[0].series}.json"}


@pytest.mark.parametrize(
    "name", ["siemens_xa30_enhanced", "siemens_mosaic_ve11_rtcloud", "philips_classic_3vol", "ge_mr750_epirt"]
)
def test_real_series_become_valid_data_sets(to: Path, tmp_path: Path, real_data: Path, name: str) -> None:
    contents = [path.read_bytes() for path in sorted((real_data / name).rglob("*")) if _is_dicom(path)]
    sent = items(tmp_path / "files", contents)
    assert set(outcome(f"file://{to}", sent)) == {None}
    assert errors(to) == []


def _is_dicom(path: Path) -> bool:
    return path.is_file() and path.read_bytes()[128:132] == b"DICM"


@pytest.mark.parametrize("url", ["dicom://PACS@pacs:104", "orthanc+https://pacs", "dicomweb+https://pacs"])
def test_nifti_goes_where_it_can(url: str) -> None:
    with pytest.raises(UsageFault, match="takes DICOM alone"):
        parse(url, Access(as_nifti=True))
