"""Runs of a BIDS data set, read volume by volume, against nibabel and pybids."""

from __future__ import annotations

import gzip
import json
import logging
from pathlib import Path

import nibabel
import numpy as np
import pytest

from rtbids.archive import dataset
from rtbids.archive.dataset import Archive
from rtbids.clock import ManualClock
from rtbids.convert import bids
from rtbids.errors import BadData, InputMissing, NotBids, NothingMatched
from rtbids.volume import RunEnd, Volume

STEM = "sub-01/func/sub-01_task-nf_run-1"
AFFINE = np.diag([-3.0, 3.0, 3.5, 1.0])


def study(root: Path, *, dtype=np.int16, scale=(None, None), extension=".nii.gz", sidecar=None, count=4) -> Path:
    """Make a data set of one run with nibabel; return its 4-D file."""
    file = root / f"{STEM}_bold{extension}"
    file.parent.mkdir(parents=True)
    (root / "dataset_description.json").write_text('{"Name": "made", "BIDSVersion": "1.10.0"}')
    array = np.random.default_rng(3).integers(0, 200, (6, 7, 4, count)).astype(dtype)
    image = nibabel.Nifti1Image(array, AFFINE)
    image.header.set_xyzt_units("mm", "sec")
    image.header.set_zooms((3.0, 3.0, 3.5, 2.0))
    image.header.set_slope_inter(*scale)
    nibabel.save(image, file)
    said = {"RepetitionTime": 2.0, "EchoTime": 0.03} if sidecar is None else sidecar
    (root / f"{STEM}_bold.json").write_text(json.dumps(said))
    return file


def volumes(file: Path) -> list[Volume]:
    return [item for item in bids.items(bids.runs_of(file)[0]) if isinstance(item, Volume)]


@pytest.mark.parametrize("extension", [".nii", ".nii.gz"])
@pytest.mark.parametrize("dtype", ["int16", "uint16", "float32", "uint8", ">i2"])
@pytest.mark.parametrize("scale", [(None, None), (2.5, -7.0)])
def test_volumes_are_what_nibabel_reads(tmp_path, extension, dtype, scale):
    file = study(tmp_path, dtype=dtype, scale=scale, extension=extension)
    image = nibabel.load(file)
    found = volumes(file)
    np.testing.assert_array_equal(np.stack([v.data for v in found], axis=-1), image.dataobj.get_unscaled())
    np.testing.assert_array_equal(np.stack([v.scaled() for v in found], axis=-1), image.get_fdata())
    assert all(v.data.dtype.kind == np.dtype(dtype).kind and not v.data.flags.writeable for v in found)
    np.testing.assert_array_equal(found[0].affine, image.affine)
    assert [v.index for v in found] == [0, 1, 2, 3]


def test_a_runs_count_includes_the_volumes_that_never_came(tmp_path):
    file = study(tmp_path, sidecar={"RepetitionTime": 2.0, "MissingVolumes": [1, 5]})
    assert bids.volume_count(bids.runs_of(file)[0]) == 6


def test_metadata_are_inherited_and_shared_by_all_volumes(tmp_path):
    file = study(tmp_path)
    (tmp_path / "task-nf_bold.json").write_text('{"FlipAngle": 70, "EchoTime": 0.5}')
    (tmp_path / "task-nf_events.tsv").write_text("onset\tduration\n0\t1\n")
    found = volumes(file)
    assert found[0].metadata == {"FlipAngle": 70, "EchoTime": 0.03, "RepetitionTime": 2.0, "TaskName": "nf"}
    assert all(v.metadata is found[0].metadata for v in found)
    assert found[0].events == "onset\tduration\n0\t1\n"
    assert found[0].entities == {"subject": "01", "task": "nf", "run": "1"}


def test_missing_volumes_leave_gaps_in_the_indices(tmp_path):
    file = study(tmp_path, sidecar={"RepetitionTime": 2.0, "MissingVolumes": [0, 3, 6]})
    *found, end = bids.items(bids.runs_of(file)[0])
    assert [v.index for v in found] == [1, 2, 4, 5]
    assert end == RunEnd(found[0].entities, 4, (0, 3, 6))
    assert "MissingVolumes" not in found[0].metadata


def test_a_volume_is_received_when_it_is_read(tmp_path):
    clock = ManualClock(50.0)
    items = bids.items(bids.runs_of(study(tmp_path))[0], clock=clock)
    assert next(items).times == {"received": 50.0}
    clock.advance(2.0)
    assert next(items).times == {"received": 52.0}


def test_a_header_that_disagrees_with_the_sidecar_is_warned_of(tmp_path, caplog):
    file = study(tmp_path, sidecar={"RepetitionTime": 1.5})
    with caplog.at_level(logging.WARNING, logger="rtbids"):
        assert volumes(file)[0].repetition_time == 1.5
    assert "the header's RepetitionTime is 2 s, the sidecar's 1.5 s" in caplog.text


@pytest.mark.parametrize(
    ("sidecar", "said"),
    [
        ({}, r"run-1_bold\.json: expected a RepetitionTime \(seconds\), found none"),
        ({"RepetitionTime": "fast"}, "found 'fast'"),
        ({"RepetitionTime": 2.0, "MissingVolumes": "7"}, "MissingVolumes to be a list of indices"),
    ],
)
def test_a_sidecar_that_cannot_be_used_is_named(tmp_path, sidecar, said):
    file = study(tmp_path, sidecar=sidecar)
    with pytest.raises(BadData, match=said):
        volumes(file)


def truncated(file: Path) -> None:
    content = file.read_bytes()
    file.write_bytes(content[: len(content) * 2 // 3])


def cut_at_a_volume(file: Path) -> None:
    content = gzip.decompress(file.read_bytes())
    file.write_bytes(gzip.compress(content[: 352 + 6 * 7 * 4 * 2 * 3]))


def damaged_checksum(file: Path) -> None:
    content = bytearray(file.read_bytes())
    content[-8] ^= 1
    file.write_bytes(content)


def not_gzip(file: Path) -> None:
    file.write_bytes(gzip.decompress(file.read_bytes()))


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (truncated, r"run-1_bold\.nii\.gz, volume [123] of 4: cannot be read"),
        (cut_at_a_volume, r"run-1_bold\.nii\.gz, volume 3 of 4: ended after 0 of 336 bytes"),
        (damaged_checksum, r"run-1_bold\.nii\.gz, after volume 3: cannot be read \(CRC"),
        (not_gzip, r"run-1_bold\.nii\.gz, header: cannot be read"),
    ],
)
def test_a_damaged_file_is_named_with_its_volume(tmp_path, damage, said):
    file = study(tmp_path, dtype=np.int16)
    damage(file)
    with pytest.raises(BadData, match=said):
        volumes(file)


def test_runs_are_found_by_folder_file_and_filter(tmp_path):
    file = study(tmp_path)
    assert [run.file for run in bids.runs_of(tmp_path, {"run": "01"})] == [file]
    assert [run.file for run in bids.runs_of(file)] == [file]


@pytest.mark.parametrize(
    ("place", "filters", "error", "said"),
    [
        ("nowhere", {}, InputMissing, "no such file or folder"),
        ("sub-01", {}, NotBids, r"found no dataset_description\.json"),
        (f"{STEM}_bold.json", {}, NotBids, "expected a BOLD run"),
        (".", {"task": "rest", "run": "2"}, NothingMatched, "no BOLD run with task rest run 2"),
        (f"{STEM}_bold.nii.gz", {"subject": "02"}, NothingMatched, "no BOLD run with subject 02"),
    ],
)
def test_a_source_without_runs_says_why(tmp_path, place, filters, error, said):
    study(tmp_path)
    with pytest.raises(error, match=said):
        bids.runs_of(tmp_path / place, filters)


def test_a_real_run_archived_again_is_the_same(tmp_path, real_data):
    layout = pytest.importorskip("bids", reason="pybids is not installed").BIDSLayout
    source = real_data / "bids_oneback"
    with Archive(tmp_path) as archive:
        counts = dataset.add(bids.items(bids.runs_of(source)[0]), archive)
    assert counts == {"sub-01_task-oneback_run-1": 156}
    name = "sub-01/func/sub-01_task-oneback_run-1_bold.nii.gz"
    ours, theirs = nibabel.load(tmp_path / name), nibabel.load(source / name)
    np.testing.assert_array_equal(ours.dataobj.get_unscaled(), theirs.dataobj.get_unscaled())
    assert ours.get_data_dtype() == theirs.get_data_dtype()
    assert (ours.dataobj.slope, ours.dataobj.inter) == (theirs.dataobj.slope, theirs.dataobj.inter)
    np.testing.assert_array_equal(ours.affine, theirs.affine)
    events = name.replace("bold.nii.gz", "events.tsv")
    assert (tmp_path / events).read_bytes() == (source / events).read_bytes()
    found = layout(tmp_path).get(suffix="bold", extension=".nii.gz")
    assert [(file.entities["subject"], file.entities["task"], file.get_metadata()["RepetitionTime"]) for file in found] == [
        ("01", "oneback", 2.0)
    ]
