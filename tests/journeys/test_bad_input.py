"""What a scanner's folder may hold besides good files, and a full disk: one clear line each, every good volume kept."""

from __future__ import annotations

import gzip
import json
import os
import subprocess
from pathlib import Path

import nibabel
import numpy as np
import pytest

from rtbids.replay import scanner
from rtbids.replay.mosaic import MosaicSeries
from rtbids.replay.phantom import Phantom

PHANTOM = Phantom(shape=(16, 16, 9), voxel=(12.0, 12.0, 12.0), repetition_time=0.5, volumes=12, block=4)
SCRIPT = "def feedback(volume, run):\n    return volume.index\n"


@pytest.fixture
def export(tmp_path) -> Path:
    folder = tmp_path / "export"
    folder.mkdir()
    scanner.scan(scanner.dicoms(PHANTOM), folder, interval=0)
    return folder


def files(export: Path) -> list[Path]:
    return sorted(export.glob("*.dcm"))


def truth(indices) -> np.ndarray:
    return np.stack([PHANTOM.volume(n) for n in indices], axis=3)


def voxels(study: Path) -> np.ndarray:
    (file,) = study.rglob("*_bold.nii.gz")
    return np.asarray(nibabel.load(file).dataobj)


def sidecar(study: Path) -> dict:
    (file,) = study.glob("sub-*/func/*_bold.json")
    return json.loads(file.read_text())


def truncated(file: Path) -> str:
    file.write_bytes(file.read_bytes()[:-1000])
    return "after 3608 of 4608 bytes"


def not_dicom(file: Path) -> str:
    file.write_text("not an image")
    return "not a DICOM file"


def gone(file: Path) -> str:
    file.unlink()
    return "did not come"


@pytest.mark.parametrize("harm", [truncated, not_dicom, gone], ids=lambda harm: harm.__name__)
def test_a_file_that_cannot_be_used_is_a_gap_that_is_named(export, script, call, tmp_path, harm):
    words = harm(files(export)[5])
    study = tmp_path / "study"
    outcome = call("run", script(SCRIPT), export, "--no-wait", "--bids-dir", study, "--feedback", "-")
    assert outcome.code == 0, outcome.err
    assert words in outcome.err
    assert "Traceback" not in outcome.err
    kept = [*range(5), *range(6, 12)]
    assert [(line["volume"], line["status"], line["reason"]) for line in outcome.lines] == [
        (n, "ok", None) if n != 5 else (5, "alternate", "missing") for n in range(12)
    ]
    assert np.array_equal(voxels(study), truth(kept))
    assert sidecar(study)["MissingVolumes"] == [5]
    (report,) = study.rglob("*_report.html")
    assert words in report.read_text()


def test_gaps_are_filled_where_that_is_asked_for(export, script, call, tmp_path):
    gone(files(export)[5])
    study = tmp_path / "study"
    outcome = call("run", script(SCRIPT), export, "--no-wait", "--bids-dir", study, "--fill-gaps", "previous")
    assert outcome.code == 0, outcome.err
    assert np.array_equal(voxels(study), truth([0, 1, 2, 3, 4, 4, 6, 7, 8, 9, 10, 11]))


def test_a_duplicate_is_dropped_with_a_warning(export, script, call):
    (export / "copy of five.dcm").write_bytes(files(export)[5].read_bytes())
    outcome = call("run", script(SCRIPT), export, "--no-wait")
    assert [line["volume"] for line in outcome.lines] == list(range(12))
    assert "warning" in outcome.err


def test_a_series_that_changes_its_geometry_midway_keeps_what_fits(export, script, call, tmp_path):
    moved = PHANTOM.affine.copy()
    moved[:3, 3] += 4
    series = MosaicSeries(PHANTOM.shape, moved, PHANTOM.repetition_time, protocol="func_task-nf", study=1)
    files(export)[5].write_bytes(series.dicom(PHANTOM.volume(5), 5))
    study = tmp_path / "study"
    outcome = call("run", script(SCRIPT), export, "--no-wait", "--bids-dir", study)
    assert outcome.code == 0, outcome.err
    assert "volume 5" in outcome.err
    assert np.array_equal(voxels(study), truth([*range(5), *range(6, 12)]))


def test_nothing_good_at_all_is_65_and_an_empty_folder_66(script, call, tmp_path):
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad" / "x.dcm").write_text("no image")
    (tmp_path / "empty").mkdir()
    assert call("run", script(SCRIPT), tmp_path / "bad", "--no-wait").code == 65
    assert call("run", script(SCRIPT), tmp_path / "empty", "--no-wait").code == 66


@pytest.mark.parametrize("command", ["watch", "convert"])
def test_a_series_that_is_not_there_is_missed_and_the_others_are_named(export, call, command):
    outcome = call(command, export, "--no-wait", "--series", "98,99")
    assert outcome.code == 18
    assert "no series 98, 99, there are: 7" in outcome.err


@pytest.mark.parametrize("command", ["watch", "convert"])
def test_a_pattern_of_other_names_is_missed_and_the_files_are_counted(export, call, command):
    outcome = call(command, export, "--no-wait", "--pattern", "*.IMA")
    assert outcome.code == 18
    assert f"found {PHANTOM.volumes} files, and no name that matches *.IMA" in outcome.err


def test_a_data_set_is_not_watched_and_is_called_what_it_is(small, call):
    outcome = call("watch", small.root)
    assert outcome.code == 64
    assert "found a BIDS data set" in outcome.err
    assert "rtbids replay" in outcome.err


@pytest.mark.parametrize("seconds", ["-1", "nan", "soon"])
@pytest.mark.parametrize("option", ["--idle-timeout", "--open-timeout"])
def test_a_time_is_a_number_of_seconds(export, call, option, seconds):
    outcome = call("convert", export, option, seconds)
    assert outcome.code == 64
    assert f"Invalid value for '{option}'" in outcome.err


def test_a_count_is_a_whole_number(export, call):
    outcome = call("convert", export, "--volumes", "2x")
    assert outcome.code == 64
    assert "'2x' is not a valid whole number" in outcome.err


def test_a_full_disk_ends_the_run_with_73_and_keeps_what_was_written(export, script, call, tmp_path):
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=80k", "tmpfs", str(disk)], capture_output=True, check=False)
    if os.geteuid() != 0 or mounted.returncode != 0:
        pytest.skip("a small disk cannot be mounted here: needs root and tmpfs")
    try:
        outcome = call("run", script(SCRIPT), export, "--no-wait", "--bids-dir", disk / "study", "--feedback", "-")
        assert outcome.code == 73, outcome.err
        assert "no space left" in outcome.err
        assert "Traceback" not in outcome.err
        acknowledged = sum(line["status"] == "ok" for line in outcome.lines)
        (file,) = (disk / "study").rglob("*_bold.nii*")
        kept = np.asarray(nibabel.load(file).dataobj)
        assert kept.shape[3] >= min(acknowledged, 1)
        assert np.array_equal(kept, truth(range(kept.shape[3])))
    finally:
        subprocess.run(["umount", "-l", str(disk)], check=True)


def test_a_report_that_cannot_be_finished_for_a_killed_run_holds_up_no_new_one(export, script, call, tmp_path):
    study = tmp_path / "study"
    assert call("run", script(SCRIPT), export, "--no-wait", "--bids-dir", study).code == 0
    (packed,) = study.rglob("*_bold.nii.gz")
    packed.with_suffix("").write_bytes(gzip.decompress(packed.read_bytes()))  # as a kill leaves it: claimed, not compressed
    packed.unlink()
    name = packed.name.removesuffix("_bold.nii.gz")
    (study / ".rtbids" / "growing" / f"{name}.json").touch()
    report = study / "derivatives" / "rtbids" / f"{name}_report.html"
    report.unlink()
    report.mkdir()
    outcome = call("run", script(SCRIPT), export, "--no-wait", "--bids-dir", study)
    assert outcome.code == 0, outcome.err
    assert f"finished {name}" in outcome.err
    assert f"the report of {name} could not be finished" in outcome.err
    assert len(list(study.rglob("*_bold.nii.gz"))) == 2
