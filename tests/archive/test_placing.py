"""Images of a whole series in a data set: all of them or none, whatever happens."""

from __future__ import annotations

import errno
import os
import shutil
import signal
import stat
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import growth
import nibabel
import numpy as np
import pytest

from rtbids.archive.dataset import Archive, add
from rtbids.archive.placing import Aside, Image
from rtbids.archive.waiting import Waiting
from rtbids.errors import CannotWrite

OWNER = {"subject": "01"}
_KILLED = """
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
import growth
from test_placing import OWNER, images_of, waiting_in
from rtbids.archive.dataset import Archive

root, step = Path(sys.argv[1]), int(sys.argv[2])
archive = Archive(root)
series, images = waiting_in(archive), images_of(root.parent)
growth.die_at(step, str(root))
archive.place_images(images, series, OWNER)
"""


def waiting_in(archive: Archive) -> Waiting:
    series = archive.waiting_room().new()
    series.note({"number": 5})
    (series.dicom / "000001.dcm").write_bytes(b"an image")
    return series


def images_of(folder: Path) -> list[Image]:
    """Two echoes of a field map's magnitude."""
    found = []
    for echo in (1, 2):
        path = folder / f"echo{echo}.nii"
        nibabel.Nifti1Image(np.full((4, 5, 3), echo, dtype=np.int16), np.eye(4)).to_filename(path)
        fields = {"EchoTime": 0.004 * echo, "InstitutionName": "a clinic", "SeriesInstanceUID": "1.2.3"}
        found.append(Image(OWNER, "fmap", f"magnitude{echo}", path, fields))
    return found


def names(root: Path) -> set[str]:
    return {path.name for path in root.glob("sub-*/*/*")}


BOTH = {f"sub-01_magnitude{echo}{extension}" for echo in (1, 2) for extension in (".nii.gz", ".json")}


def test_images_are_placed_with_rows_and_clean_sidecars(tmp_path, errors_of):
    root = tmp_path / "study"
    with Archive(root) as archive:
        series = waiting_in(archive)
        archive.place_images(images_of(tmp_path), series, OWNER)
        assert not series.folder.exists()
    assert names(root) == BOTH
    assert (root / "participants.tsv").read_text() == "participant_id\nsub-01\n"
    assert "fmap/sub-01_magnitude2.nii.gz" in (root / "sub-01/sub-01_scans.tsv").read_text()
    assert "clinic" not in (root / "sub-01/fmap/sub-01_magnitude1.json").read_text()
    assert "UID" not in (root / "sub-01/fmap/sub-01_magnitude1.json").read_text()
    assert errors_of(root) == []


def test_a_name_that_is_taken_gets_the_next_run(tmp_path):
    root = tmp_path / "study"
    with Archive(root) as archive:
        for _ in range(2):
            archive.place_images(images_of(tmp_path), waiting_in(archive), OWNER)
    assert names(root) == BOTH | {name.replace("_mag", "_run-02_mag") for name in BOTH}


@pytest.mark.parametrize("step", range(1, 46, 3))
def test_a_kill_while_placing_leaves_a_valid_data_set_and_the_series_waits(tmp_path, errors_of, step):
    root = tmp_path / "study"
    Archive(root).close()
    command = [sys.executable, "-c", _KILLED, str(root), str(step)]
    done = subprocess.run(command, cwd=Path(__file__).parent, capture_output=True, text=True, check=False)
    assert done.returncode == -signal.SIGKILL or (done.returncode == 0 and step > 34), done.stderr
    assert errors_of(root) == []
    waits = any(root.glob(".rtbids/session/*/*/dicom"))
    assert waits or names(root) == BOTH
    with Archive(root) as archive:
        archive.recover()
        left = list(archive.left_waiting())
        assert errors_of(root) == []
        for series in left:
            assert names(root) == set()
            assert (series.dicom / "000001.dcm").read_bytes() == b"an image"
            archive.place_images(images_of(tmp_path), series, OWNER)
    assert bool(left) == waits
    assert not any(root.glob(".rtbids/session/*/*/*"))
    assert names(root) == BOTH
    assert "rtbids" not in (root / ".bidsignore").read_text()
    assert errors_of(root) == []


def test_a_disk_that_refuses_in_the_middle_leaves_nothing_behind(tmp_path, errors_of, monkeypatch):
    root, real = tmp_path / "study", os.replace
    with Archive(root) as archive:
        series = waiting_in(archive)

        def full(source: Path, target: Path) -> None:
            if Path(target).name == "sub-01_magnitude2.json":
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            real(source, target)

        with monkeypatch.context() as patch:
            patch.setattr(os, "replace", full)
            with pytest.raises(CannotWrite, match="no space left"):
                archive.place_images(images_of(tmp_path), series, OWNER)
        assert names(root) == set()
        assert errors_of(root) == []
        archive.place_images(images_of(tmp_path), series, OWNER)
    assert names(root) == BOTH


def test_what_was_taken_back_once_is_not_taken_from_its_next_owner(tmp_path):
    root = tmp_path / "study"
    with Archive(root) as archive:
        room = archive.waiting_room()
        series = room.new()
        series.dicom.joinpath("000001.dcm").write_bytes(b"an image")
        series.intend([f"sub-01/fmap/{name}" for name in sorted(BOTH)], OWNER)
        room.close()  # as a kill leaves it
        archive.recover()
        archive.place_images(images_of(tmp_path), waiting_in(archive), OWNER)
        archive.recover()
    assert names(root) == BOTH


def test_names_that_a_killed_process_meant_to_give_are_not_given_before_they_are_taken_back(tmp_path):
    root = tmp_path / "study"
    with Archive(root) as archive:
        killed = waiting_in(archive)
        killed.intend(["sub-01/fmap/sub-01_magnitude1.nii.gz"], OWNER)
        archive.place_images(images_of(tmp_path), waiting_in(archive), OWNER)
    assert "sub-01_run-02_magnitude1.nii.gz" in names(root)


def test_a_room_that_opens_is_not_taken_for_one_that_was_left(tmp_path):
    with Archive(tmp_path / "study") as archive, ThreadPoolExecutor(1) as other:
        for _ in range(100):
            looking = other.submit(lambda: list(archive.left_waiting()))
            room = archive.waiting_room()
            made = room.new()
            assert looking.result() == []
            assert made.dicom.exists()
            shutil.rmtree(made.folder)
            room.close()


def test_threads_that_ask_for_a_folder_at_once_each_get_their_own(tmp_path):
    with Archive(tmp_path / "study") as archive, ThreadPoolExecutor(8) as threads:
        for _ in range(20):  # the first one of a room makes more than a folder
            room = archive.waiting_room()
            ready = threading.Barrier(8)
            made = list(threads.map(lambda number, room=room, ready=ready: ready.wait() >= 0 and room.new().folder, range(8)))
            assert len(set(made)) == 8


@pytest.mark.parametrize("content", [b"", b"\0" * 40, b"[]"])
def test_notes_that_a_loss_of_power_left_empty_keep_no_series_from_being_taken_over(tmp_path, content):
    with Archive(tmp_path / "study") as archive:
        room = archive.waiting_room()
        series = room.new()
        (series.dicom / "000001.dcm").write_bytes(b"an image")
        room.close()  # as its process ends
    for note in ("series.json", "placing.json"):
        (series.folder / note).write_bytes(content)
    with Archive(tmp_path / "study") as archive:
        assert archive.recover() == []
        (left,) = archive.left_waiting()
        assert (left.facts(), left.intended()) == ({}, ([], {}))
        archive.set_aside(left, OWNER, Aside(0, "", 1, "killed"))
    assert list((tmp_path / "study/sourcedata").glob("**/000001.dcm"))


def test_a_run_that_is_overwritten_takes_its_reference_with_it(tmp_path, errors_of):
    root = tmp_path / "study"
    with Archive(root) as archive:
        add([growth.volume(index) for index in range(3)], archive)
        reference = Image(
            {**OWNER, "task": "nf", "run": "01"}, "func", "sbref", images_of(tmp_path)[0].nifti, {"TaskName": "nf"}
        )
        archive.place_images([reference], waiting_in(archive), OWNER)
    with Archive(root) as archive:
        add([growth.volume(index) for index in range(2)], archive, overwrite=True, explicit=True)
    assert names(root) == {"sub-01_task-nf_run-01_bold.nii.gz", "sub-01_task-nf_run-01_bold.json"}
    assert errors_of(root) == []


def test_a_series_that_is_set_aside_is_listed_once(tmp_path):
    root = tmp_path / "study"
    with Archive(root) as archive:
        for reason in ("no rule", "no rule\tfits"):
            archive.set_aside(waiting_in(archive), OWNER, Aside(5, "odd", 1, reason))
    lines = (root / "sourcedata/series.tsv").read_text().splitlines()
    assert lines[1:] == ["sub-01/series-005\t5\todd\t1\tno rule", "sub-01/series-005-2\t5\todd\t1\tno rule fits"]
    assert stat.S_IMODE((root / "sourcedata/sub-01/series-005").stat().st_mode) == 0o700
