"""The volumes of a run so far, as a script asks for them: from memory, from the file that grows, from the data set replayed."""

from __future__ import annotations

from dataclasses import replace

import nibabel
import numpy as np
import pytest
from run.sessions import volume

from rtbids.archive.writer import GrowingFile
from rtbids.errors import BadData, RtbidsError, UsageFault
from rtbids.run.past.volumes import NoSuchVolume, Volumes
from rtbids.run.past.volumes_so_far import MOST_HELD, VolumesSoFar
from rtbids.run.past.where import NOWHERE, Where
from rtbids.volume import voxels

THERE = (0, 1, 2, 4, 5, 8)  # 3, 6 and 7 never came


@pytest.fixture
def gappy():
    return Volumes("sub-01_task-nf", THERE, volume)


def indices(volumes):
    return [one.index for one in volumes]


@pytest.mark.parametrize(("asked", "index"), [(0, 0), (4, 4), (8, 8), (-1, 8), (-2, 5), (-6, 0)])
def test_a_volume_is_found_by_its_index_and_from_the_end(gappy, asked, index):
    assert gappy[asked].index == index


@pytest.mark.parametrize("asked", [3, 7, 9, -7])
def test_one_that_never_came_is_named_with_those_that_are_there(gappy, asked):
    with pytest.raises(NoSuchVolume, match=rf"no volume {asked}; there are those from 0 to 8, but for 3 that never came"):
        gappy[asked]


def test_a_missing_volume_is_an_index_error_too(gappy):
    with pytest.raises(IndexError):
        gappy[3]


@pytest.mark.parametrize(
    ("part", "expected"),
    [
        (slice(None), [*THERE]),
        (slice(1, 5), [1, 2, 4]),
        (slice(3, 7), [4, 5]),
        (slice(-2, None), [5, 8]),
        (slice(None, -1), [0, 1, 2, 4, 5]),
        (slice(2, -1), [2, 4, 5]),
        (slice(None, None, 2), [0, 2, 5]),
        (slice(9, None), []),
        (slice(-100, 2), [0, 1]),
    ],
)
def test_slices_are_by_index_and_hold_what_is_there(gappy, part, expected):
    assert indices(gappy[part]) == expected
    assert len(gappy[part]) == len(expected)


def test_they_can_be_counted_reversed_and_asked_whether_one_is_there(gappy):
    assert (len(gappy), gappy.indices) == (6, THERE)
    assert indices(reversed(gappy)) == [8, 5, 4, 2, 1, 0]
    assert 4 in gappy
    assert 3 not in gappy
    with pytest.raises(NoSuchVolume, match="above 0"):
        gappy[::-1]


def test_a_slice_reads_nothing_until_it_is_asked():
    def unreadable(index):
        raise AssertionError(index)

    assert len(Volumes("run", range(100), unreadable)[10:20]) == 10


def test_before_the_first_volume_there_is_none():
    so_far = VolumesSoFar({"subject": "01", "task": "nf"})
    assert indices(so_far.volumes) == []
    with pytest.raises(NoSuchVolume, match="sub-01_task-nf: there is no volume -1; there is none yet"):
        so_far.volumes[-1]


def test_a_volume_that_is_not_on_the_disk_yet_comes_from_memory_and_then_from_the_file(tmp_path):
    file = GrowingFile(tmp_path / "bold.nii", volume(0))
    so_far = VolumesSoFar(volume(0).entities)
    for index in range(6):
        # Nothing is written but the first volume: all of it is asked for nevertheless.
        so_far.add(volume(index), Where(None, str(file.path), index, 0))
        assert [int(one.data[0, 0, 0]) for one in so_far.volumes] == list(range(index + 1))
    for index in range(1, 6):
        file.append(voxels(volume(index)))
    so_far.add(volume(6), Where(None, str(file.path), 6, 5))
    assert list(so_far._held) == [6]  # the others are let go of
    assert [int(one.data[0, 0, 0]) for one in so_far.volumes] == list(range(7))
    file.close()


@pytest.mark.parametrize(("filled", "places"), [(False, (0, 1, 2)), (True, (0, 3, 4))], ids=["gaps", "filled gaps"])
def test_volumes_after_a_gap_are_read_from_their_place_in_the_file(tmp_path, filled, places):
    came = (0, 3, 4)
    file = GrowingFile(tmp_path / "bold.nii", volume(0))
    for index in range(1, 5):
        if filled or index in came:
            file.append(voxels(volume(index)))
    so_far = VolumesSoFar(volume(0).entities)
    for index, place in zip(came, places, strict=True):
        so_far.add(volume(index), Where(None, str(file.path), place, 4))
    assert [(one.index, int(one.data[0, 0, 0])) for one in so_far.volumes] == [(0, 0), (3, 3), (4, 4)]
    file.close()


def test_a_volume_is_the_same_from_memory_and_from_the_file(tmp_path):
    volumes = [replace(volume(index), slope=0.5, inter=-3.0, times={"received": float(index)}) for index in range(3)]
    file = GrowingFile(tmp_path / "bold.nii", volumes[0])
    file.append(voxels(volumes[1]))
    so_far = VolumesSoFar(volumes[0].entities)
    so_far.add(volumes[0], Where(None, str(file.path), 0, -1))
    so_far.add(volumes[1], Where(None, str(file.path), 1, -1))
    in_memory = so_far.volumes[0]
    so_far.add(volumes[2], Where(None, str(file.path), 2, 1))
    stored = so_far.volumes[0]
    assert stored is not in_memory
    assert np.array_equal(stored.data, in_memory.data)
    assert stored.data.dtype == in_memory.data.dtype
    assert not stored.data.flags.writeable
    for name in ("slope", "inter", "index", "times", "entities", "metadata"):
        assert getattr(stored, name) == getattr(in_memory, name)
    assert np.array_equal(stored.affine, in_memory.affine)
    file.close()


def test_without_an_archive_the_latest_are_held_and_older_ones_are_an_error_that_names_bids_dir():
    so_far = VolumesSoFar(volume(0).entities)
    for index in range(MOST_HELD + 5):
        so_far.add(volume(index), NOWHERE)
    assert so_far.volumes[-MOST_HELD].index == 5
    with pytest.raises(UsageFault, match=r"volume 4 is no longer in memory, which holds the latest 32: run with --bids-dir"):
        so_far.volumes[4]


def test_without_an_archive_a_replayed_run_is_read_from_its_own_data_set(tmp_path):
    many = MOST_HELD + 5
    func = tmp_path / "sub-01" / "func"
    func.mkdir(parents=True)
    (tmp_path / "dataset_description.json").write_text('{"Name": "past", "BIDSVersion": "1.10.0"}')
    (func / "sub-01_task-nf_run-01_bold.json").write_text('{"RepetitionTime": 1.0, "MissingVolumes": [2]}')
    came = [index for index in range(many) if index != 2]
    image = nibabel.Nifti1Image(np.stack([volume(index).data for index in came], axis=-1), np.eye(4))
    image.to_filename(func / "sub-01_task-nf_run-01_bold.nii.gz")
    so_far = VolumesSoFar(volume(0).entities)
    for index in came:
        so_far.add(volume(index), Where(str(func / "sub-01_task-nf_run-01_bold.nii.gz")))
    assert [(one.index, int(one.data[0, 0, 0])) for one in so_far.volumes] == [(index, index) for index in came]
    assert int(so_far.volumes[1].data[0, 0, 0]) == 1  # back again, too


@pytest.mark.parametrize("content", [b"", b"not a NIfTI file", b"\0" * 400], ids=["empty", "short", "zeros"])
def test_a_file_that_cannot_be_read_is_named(tmp_path, content):
    (tmp_path / "bold.nii").write_bytes(content)
    so_far = VolumesSoFar(volume(0).entities)
    for index in range(2):
        so_far.add(volume(index), Where(None, str(tmp_path / "bold.nii"), index, index))
    with pytest.raises(RtbidsError, match=r"bold\.nii"):
        so_far.volumes[0]


def test_a_file_that_ends_early_is_named_with_the_volume(tmp_path):
    file = GrowingFile(tmp_path / "bold.nii", volume(0))
    so_far = VolumesSoFar(volume(0).entities)
    for index in range(3):
        so_far.add(volume(index), Where(None, str(file.path), index, 1))
    with pytest.raises(BadData, match=r"bold\.nii, volume 1 of 1: it is not in the file"):
        so_far.volumes[1]
    file.close()
