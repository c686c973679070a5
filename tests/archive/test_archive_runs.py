"""Runs in a growing data set: their voxels, names, sidecars, gaps and refusals."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path

import growth
import nibabel
import numpy as np
import pytest

from rtbids.archive import dataset
from rtbids.archive.dataset import Archive
from rtbids.clock import ManualClock
from rtbids.errors import BadData, CannotWrite, StreamBroken
from rtbids.receipt import Receipt
from rtbids.volume import RunEnd

STEM = "sub-01/func/sub-01_task-nf_run-01"
NEW = {"subject": "01", "task": "nf"}


def sidecar(root: Path) -> dict:
    return json.loads((root / f"{STEM}_bold.json").read_text())


@pytest.mark.parametrize("dtype", ["int16", "uint16", "float32", "uint8", "int32"])
@pytest.mark.parametrize(("slope", "inter"), [(1.0, 0.0), (4.00757, -3.5)])
def test_nibabel_reads_the_voxels_type_scale_and_affine_that_went_in(tmp_path, dtype, slope, inter):
    volumes = [growth.volume(index, dtype=dtype, slope=slope, inter=inter) for index in range(5)]
    with Archive(tmp_path) as archive:
        run = archive.begin(volumes[0])
        for volume in volumes[1:]:
            run.append(volume)
        growing = nibabel.load(run.file)
        assert growing.shape == (8, 9, 5, 5)
        np.testing.assert_array_equal(growing.dataobj.get_unscaled(), np.stack([v.data for v in volumes], axis=-1))
    image = nibabel.load(tmp_path / f"{STEM}_bold.nii.gz")
    np.testing.assert_array_equal(image.dataobj.get_unscaled(), np.stack([v.data for v in volumes], axis=-1))
    assert image.get_data_dtype() == dtype
    assert (image.dataobj.slope, image.dataobj.inter) == (np.float32(slope), np.float32(inter))
    np.testing.assert_array_equal(image.affine, np.float32(growth.AFFINE))
    assert image.header.get_zooms()[3] == 2.0
    assert image.header.get_xyzt_units() == ("mm", "sec")


def test_the_same_volumes_give_the_same_bytes(tmp_path):
    for name in ("one", "other"):
        with Archive(tmp_path / name) as archive:
            archive.begin(growth.volume(0))
    one, other = ((tmp_path / name / f"{STEM}_bold.nii.gz").read_bytes() for name in ("one", "other"))
    assert one == other


def test_the_sidecar_lists_missing_volumes_as_soon_as_they_are_known(tmp_path):
    with Archive(tmp_path) as archive:
        run = archive.begin(growth.volume(1))
        assert sidecar(tmp_path)["MissingVolumes"] == [0]
        run.append(growth.volume(4))
        assert sidecar(tmp_path)["MissingVolumes"] == [0, 2, 3]
        run.end(RunEnd(growth.RUN, 2, (0, 2, 3, 5)))
    assert sidecar(tmp_path)["MissingVolumes"] == [0, 2, 3, 5]
    assert nibabel.load(tmp_path / f"{STEM}_bold.nii.gz").shape[3] == 2


@pytest.mark.parametrize(("fill", "sources"), [("zero", [None, 1, None, 3, None]), ("previous", [None, 1, 1, 3, 3])])
def test_filled_gaps_keep_the_grid_of_time(tmp_path, fill, sources):
    with Archive(tmp_path, fill_gaps=fill) as archive:
        run = archive.begin(growth.volume(1))
        run.append(growth.volume(3))
        run.end(RunEnd(growth.RUN, 2, (0, 2, 4)))
    found = np.asarray(nibabel.load(tmp_path / f"{STEM}_bold.nii.gz").dataobj)
    expected = [np.zeros((8, 9, 5)) if index is None else growth.voxels_of(index) for index in sources]
    np.testing.assert_array_equal(found, np.stack(expected, axis=-1))
    assert "MissingVolumes" not in sidecar(tmp_path)
    assert sidecar(tmp_path)["FilledVolumes"] == [0, 2, 4]


def test_what_becomes_known_later_is_written_down(tmp_path):
    with Archive(tmp_path) as archive:
        run = archive.begin(growth.volume(0))
        known = {**growth.METADATA, "SliceTiming": [0.0, 1.0]}
        run.append(growth.volume(1, metadata=known, events=growth.EVENTS))
        assert sidecar(tmp_path)["SliceTiming"] == [0.0, 1.0]
        assert (tmp_path / f"{STEM}_events.tsv").read_text() == growth.EVENTS


def test_identifiers_and_internal_fields_stay_out_of_the_sidecar(tmp_path):
    told = {"PatientName": "A", "StudyInstanceUID": "1.2", "AcquisitionDateTime": "x", "deep": {"PatientID": "7", "Kept": 1}}
    with Archive(tmp_path) as archive:
        archive.begin(growth.volume(0, metadata={**growth.METADATA, **told}))
    assert sidecar(tmp_path) == {"RepetitionTime": 2.0, "TaskName": "nf", "EchoTime": 0.03, "deep": {"Kept": 1}}


@pytest.mark.parametrize(
    ("odd", "said"),
    [
        ({"shape": (8, 9, 6)}, r"expected \(8, 9, 5\)"),
        ({"dtype": np.uint16}, "int16"),
        ({"slope": 2.0}, "scale 1"),
        ({"metadata": {**growth.METADATA, "RepetitionTime": 1.5}}, "RepetitionTime of 2 s"),
    ],
)
def test_a_volume_that_does_not_fit_is_refused_and_the_run_goes_on(tmp_path, odd, said):
    with Archive(tmp_path) as archive:
        run = archive.begin(growth.volume(0))
        with pytest.raises(BadData, match=said):
            run.append(growth.volume(1, **odd))
        run.append(growth.volume(2))
    assert nibabel.load(tmp_path / f"{STEM}_bold.nii.gz").shape[3] == 2
    assert sidecar(tmp_path)["MissingVolumes"] == [1]


def test_a_volume_out_of_order_is_refused(tmp_path):
    with Archive(tmp_path) as archive:
        run = archive.begin(growth.volume(3))
        with pytest.raises(BadData, match="expected a volume after 3, found volume 3"):
            run.append(growth.volume(3))


def test_numbers_go_on_after_what_is_there_and_are_given_once(tmp_path):
    with Archive(tmp_path) as archive:
        assert archive.number(NEW) == "01"
        assert archive.number(NEW) == "02"
        assert archive.number({"subject": "01", "task": "other"}) == "01"
        archive.begin(growth.volume(0, entities={**NEW, "run": "4"}))
        assert archive.number(NEW) == "05"
    with Archive(tmp_path) as archive:
        assert archive.number(NEW) == "05"


def test_a_run_that_is_there_moves_the_next_one_on_with_a_warning(tmp_path, caplog):
    with Archive(tmp_path) as archive:
        assert archive.place(growth.RUN) == growth.RUN
        archive.begin(growth.volume(0, entities={**NEW, "run": "1"}))
        with caplog.at_level(logging.WARNING, logger="rtbids"):
            assert archive.place(growth.RUN) == {**NEW, "run": "02"}
    assert "sub-01_task-nf_run-1 is in the data set already: this run becomes sub-01_task-nf_run-02" in caplog.text


def test_a_run_that_the_user_named_is_never_overwritten_unasked(tmp_path):
    with Archive(tmp_path) as archive:
        archive.begin(growth.volume(0)).end()
        with pytest.raises(CannotWrite, match="sub-01_task-nf_run-01 is in the data set already"):
            archive.place(growth.RUN, explicit=True)
        with pytest.raises(CannotWrite, match="in the data set already"):
            archive.begin(growth.volume(0))


def test_overwriting_replaces_the_run_and_what_was_derived_from_it(tmp_path, errors_of):
    with Archive(tmp_path) as archive:
        run = archive.begin(growth.volume(0), growth.EVENTS)
        run.derivative("old", "timeseries", ".tsv").write_text("a\n")
    with Archive(tmp_path) as archive:
        placed = archive.place(growth.RUN, overwrite=True, explicit=True)
        archive.begin(growth.volume(5, entities=placed)).end()
    np.testing.assert_array_equal(
        np.asarray(nibabel.load(tmp_path / f"{STEM}_bold.nii.gz").dataobj)[..., 0], growth.voxels_of(5)
    )
    assert not [*tmp_path.rglob("*desc-old*"), *tmp_path.rglob("*_events.tsv")]
    assert errors_of(tmp_path) == []


def test_a_second_process_on_the_same_run_is_refused(tmp_path):
    script = (
        f"import sys; sys.path.insert(0, {str(Path(growth.__file__).parent)!r}); import growth, pathlib\n"
        f"from rtbids.archive.dataset import Archive\n"
        f"archive = Archive(pathlib.Path({str(tmp_path)!r}))\n"
        f"run = archive.begin(growth.volume(0)); print('begun', flush=True)\n"
        f"sys.stdin.read(); archive.close()\n"
    )
    with subprocess.Popen([sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as first:
        assert first.stdout.readline() == "begun\n"
        with Archive(tmp_path) as second:
            assert second.recover() == []
            assert second.number(NEW) == "02"
            with pytest.raises(CannotWrite, match="another process is writing this run"):
                second.begin(growth.volume(0))
        first.stdin.close()
    assert first.returncode == 0
    assert nibabel.load(tmp_path / f"{STEM}_bold.nii.gz").shape[3] == 1


def test_a_folder_of_other_files_is_refused(tmp_path):
    (tmp_path / "thesis.txt").write_text("all of it")
    with pytest.raises(CannotWrite, match=r"found files but no dataset_description\.json"):
        Archive(tmp_path)
    assert [file.name for file in tmp_path.iterdir()] == ["thesis.txt"]


def test_a_derivative_is_refused(tmp_path):
    (tmp_path / "dataset_description.json").write_text('{"Name": "d", "BIDSVersion": "1.10.0", "DatasetType": "derivative"}')
    with pytest.raises(CannotWrite, match="found a derivative"):
        Archive(tmp_path)


def test_tables_of_an_existing_data_set_keep_their_columns(tmp_path, errors_of):
    (tmp_path / "dataset_description.json").write_text('{"Name": "old", "BIDSVersion": "1.8.0", "DatasetType": "raw"}')
    (tmp_path / "README").write_text("An old data set.\n")
    (tmp_path / "participants.tsv").write_text("participant_id\tage\nsub-7\t30")
    (tmp_path / "sub-7" / "func").mkdir(parents=True)
    with Archive(tmp_path) as archive:
        archive.begin(growth.volume(0))
        assert errors_of(tmp_path) == []
    assert (tmp_path / "participants.tsv").read_text() == "participant_id\tage\nsub-7\t30\nsub-01\tn/a\n"
    assert (tmp_path / "sub-01/sub-01_scans.tsv").read_text() == "filename\nfunc/sub-01_task-nf_run-01_bold.nii.gz\n"
    assert not (tmp_path / "README.md").exists()
    assert not (tmp_path / ".bidsignore").exists()
    assert errors_of(tmp_path) == []


def test_interleaved_runs_are_told_apart(tmp_path):
    other = {**growth.RUN, "task": "rest"}
    items = [growth.volume(index, entities=entities) for index in range(3) for entities in (growth.RUN, other)]
    with Archive(tmp_path) as archive:
        counts = dataset.add([*items, RunEnd(growth.RUN, 3), RunEnd(other, 3)], archive)
    assert counts == {"sub-01_task-nf_run-01": 3, "sub-01_task-rest_run-01": 3}


def test_a_source_that_breaks_leaves_the_volumes_before_it(tmp_path):
    def items():
        yield growth.volume(0)
        yield growth.volume(1)
        raise StreamBroken("cut")

    with Archive(tmp_path) as archive, pytest.raises(StreamBroken, match="cut"):
        dataset.add(items(), archive)
    assert nibabel.load(tmp_path / f"{STEM}_bold.nii.gz").shape[3] == 2


def test_closing_waits_for_the_last_byte_and_says_how_far_it_is(tmp_path):
    told = []
    archive = Archive(tmp_path)
    archive.begin(growth.volume(0))
    archive.close(on_progress=lambda done, total: told.append((done, total)))
    size = 352 + 8 * 9 * 5 * 2
    assert told[-1] == (size, size)


def test_the_disk_is_written_to_once_a_second_at_the_most(tmp_path, monkeypatch):
    synced = []
    monkeypatch.setattr(os, "fdatasync", synced.append)
    clock = ManualClock(100.0)
    with Archive(tmp_path, clock=clock) as archive:
        run = archive.begin(growth.volume(0))
        for index in range(1, 21):
            run.append(growth.volume(index))
            clock.advance(0.25 if index < 20 else 0.0)
        run.end()
    assert len(synced) == 5 + 1  # at 0, 1, 2, 3 and 4 s, and at the end


def test_what_was_appended_last_is_on_the_disk_a_second_later_though_nothing_more_comes(tmp_path):
    safe = threading.Semaphore(0)
    with Archive(tmp_path) as archive:
        run = archive.begin(growth.volume(0))
        for index in range(1, 3):  # the second soon after the disk was written to for the first
            receipt = Receipt(safe.release, durable=True)
            run.append(replace(growth.volume(index), receipts=(receipt,)))
            assert safe.acquire(timeout=20)


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 2 MiB."""
    place = tmp_path / "small"
    place.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "none", str(place)], capture_output=True, check=False)
    if mounted.returncode:
        pytest.skip("a small file system cannot be mounted here (needs root and mount)")
    yield place
    subprocess.run(["umount", str(place)], check=True)


def append_until_full(run) -> None:
    for index in range(1, 40):
        run.append(growth.volume(index, shape=(40, 40, 20)))


def test_a_full_disk_keeps_every_whole_volume_and_the_next_run_finishes_it(small_disk, errors_of):
    root, ballast = small_disk / "study", small_disk / "ballast"
    ballast.write_bytes(bytes(900_000))
    archive = Archive(root)
    run = archive.begin(growth.volume(0, shape=(40, 40, 20)))
    with pytest.raises(CannotWrite, match="no space left"):
        append_until_full(run)
    kept = run.count
    assert run.file.stat().st_size == 352 + kept * 40 * 40 * 20 * 2
    assert errors_of(root) == []
    run.end()
    with pytest.raises(CannotWrite, match="no space left") as fault:
        archive.close()
    assert "whole as .nii" in fault.value.hint
    assert errors_of(root) == []
    ballast.unlink()
    with Archive(root) as archive:
        assert archive.recover() == [run.name]
    found = np.asarray(nibabel.load(root / f"{STEM}_bold.nii.gz").dataobj)
    np.testing.assert_array_equal(found, np.stack([growth.voxels_of(i, (40, 40, 20)) for i in range(kept)], axis=-1))


def test_volumes_go_on_when_there_is_room_again(small_disk):
    ballast = small_disk / "ballast"
    with Archive(small_disk / "study") as archive:
        run = archive.begin(growth.volume(0, shape=(40, 40, 20)))
        ballast.write_bytes(bytes(1_800_000))
        with pytest.raises(CannotWrite, match="no space left"):
            append_until_full(run)
        ballast.unlink()
        run.append(growth.volume(40, shape=(40, 40, 20)))
        assert nibabel.load(run.file).shape[3] == run.count
        np.testing.assert_array_equal(np.asarray(nibabel.load(run.file).dataobj)[..., -1], growth.voxels_of(40, (40, 40, 20)))


@pytest.mark.skipif(sys.platform != "linux", reason="resident memory is read from /proc")
def test_a_run_of_400_volumes_needs_no_more_memory_than_one(tmp_path):
    def resident() -> float:
        return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGESIZE") / 2**20

    grid = (64, 64, 36)
    with Archive(tmp_path) as archive:
        run = archive.begin(growth.volume(0, shape=grid))
        run.append(growth.volume(1, shape=grid))
        before = resident()
        for index in range(2, 400):
            run.append(growth.volume(index, shape=grid))
        assert resident() - before < 20
