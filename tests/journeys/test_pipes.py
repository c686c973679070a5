"""watch, convert and run as three processes joined by named pipes: the same as one process, and no one left behind."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
from dataclasses import dataclass
from pathlib import Path

import nibabel
import numpy as np
import pytest
from far_side import until

from rtbids.replay import scanner
from rtbids.replay.phantom import Phantom
from rtbids.stream import fifo

pytestmark = pytest.mark.alone

PHANTOM = Phantom(shape=(16, 16, 9), voxel=(12.0, 12.0, 12.0), repetition_time=0.5, volumes=24, block=4)
SCRIPT = "def feedback(volume, run):\n    return run.roi('target').percent_signal_change()\n"


@dataclass(frozen=True)
class Scanned:
    """A folder of DICOM files, and what an experiment needs beside it."""

    folder: Path
    extra: tuple[object, ...]


@pytest.fixture
def scanned(tmp_path) -> Scanned:
    folder = tmp_path / "export"
    folder.mkdir()
    scanner.scan(scanner.dicoms(PHANTOM), folder, interval=0)
    nibabel.Nifti1Image(PHANTOM.mask(), PHANTOM.affine).to_filename(tmp_path / "mask.nii")
    (tmp_path / "events.tsv").write_text(PHANTOM.events)
    return Scanned(folder, ("--set", f"rois.target={tmp_path / 'mask.nii'}", "--events", tmp_path / "events.tsv"))


def voxels(study: Path) -> np.ndarray:
    (file,) = study.rglob("*_bold.nii.gz")
    return np.asarray(nibabel.load(file).dataobj)


def values(file: Path) -> dict[int, float]:
    return {line["volume"]: line["value"] for line in map(json.loads, file.read_text().splitlines()) if line["status"] == "ok"}


def chain(start, script, scanned, tmp_path, *watching):
    """Start the three, and return them."""
    a, b = tmp_path / "a", tmp_path / "b"
    for pipe in (a, b):
        os.mkfifo(pipe, 0o600)
    answering = ("--deadline", 30, "--feedback", tmp_path / "piped.jsonl")  # a burst of volumes on a machine with other work
    patient = ("--open-timeout", 60)  # there too: the last of them takes longest to begin
    return (
        start("watch", scanned.folder, "--to", a, *watching, *patient),
        start("convert", a, "--to", b, *patient),
        start("run", script(SCRIPT), b, *scanned.extra, "--bids-dir", tmp_path / "piped", *answering, *patient),
    )


def test_three_processes_give_what_one_gives(scanned, script, start, call, tmp_path):
    processes = chain(start, script, scanned, tmp_path, "--no-wait")
    for process in processes:
        _, err = process.communicate(timeout=60)
        assert process.returncode == 0, err.decode()
    one = tmp_path / "one"
    arguments = [*scanned.extra, "--no-wait", "--bids-dir", one, "--feedback", tmp_path / "one.jsonl"]
    outcome = call("run", script(SCRIPT), scanned.folder, *arguments)
    assert outcome.code == 0, outcome.err
    piped, single = values(tmp_path / "piped.jsonl"), values(tmp_path / "one.jsonl")
    assert len(single) == 24
    assert piped == single
    study = tmp_path / "piped"
    assert np.array_equal(voxels(study), voxels(one))
    files = [{path.relative_to(root) for path in root.rglob("*") if path.is_file()} for root in (study, one)]
    assert files[0] == files[1]
    for name in files[1]:
        if name.suffix in (".json", ".tsv") and "derivatives" not in name.parts and name.name != "dataset_description.json":
            assert (study / name).read_text() == (one / name).read_text(), name


def test_a_pipe_is_open_before_anything_has_come_through_it(start, tmp_path):
    a, b = tmp_path / "a", tmp_path / "b"
    for pipe in (a, b):
        os.mkfifo(pipe, 0o600)
    start("convert", a, "--to", b)
    with fifo.open_writer(a, 30), fifo.open_reader(b, 30):
        pass  # the scanner may take its time: nobody has given up waiting for anybody


def test_a_stream_kept_in_a_file_waits_for_the_script(scanned, script, start, call, tmp_path):
    assert call("convert", scanned.folder, "--no-wait", "-o", tmp_path / "source").code == 0
    kept = tmp_path / "kept.tar"
    assert call("replay", tmp_path / "source", "--speed", 50, "--to", kept).code == 0
    named = call("run", script(SCRIPT), kept, *scanned.extra)
    with kept.open("rb") as stream:
        process = start("run", script(SCRIPT), "-", *scanned.extra, stdin=stream)
        out, _ = process.communicate(timeout=60)
    for lines in (named.lines, [json.loads(line) for line in out.splitlines()]):
        assert [line["status"] for line in lines] == ["ok"] * 24


@pytest.mark.parametrize("victim", [0, 1, 2], ids=["watch", "convert", "run"])
def test_when_one_is_killed_the_others_end_with_74(victim, scanned, script, start, call, tmp_path):
    processes = chain(start, script, scanned, tmp_path)  # watch goes on waiting for files
    feedback = tmp_path / "piped.jsonl"
    until(lambda: feedback.exists() and len(feedback.read_text().splitlines()) >= 24, *processes)
    acknowledged = len(values(feedback))
    os.killpg(processes[victim].pid, signal.SIGKILL)
    for number, process in enumerate(processes):
        _, err = process.communicate(timeout=30)
        assert process.returncode == (-9 if number == victim else 74), err.decode()
        assert b"Traceback" not in err
    study = tmp_path / "piped"
    if victim == 2:  # it was killed in the middle: the next run on this study finishes what it left
        again = call("convert", scanned.folder, "--no-wait", "--series", 99, "-o", study)
        assert "finished sub-01" in again.err
    kept = voxels(study)
    assert kept.shape[3] >= acknowledged
    assert np.array_equal(kept, np.stack([PHANTOM.volume(n) for n in range(kept.shape[3])], axis=3))


def test_ctrl_c_twice_ends_at_once_and_loses_nothing(scanned, script, start, call, tmp_path):
    study = tmp_path / "study"
    hang = "import time\n\ndef feedback(volume, run):\n    volume.index == 10 and time.sleep(100)\n    return volume.index\n"
    arguments = ["--bids-dir", study, "--feedback", "-"]
    process = start("run", script(hang), scanned.folder, "--deadline", 50, *arguments)
    for _ in range(10):
        process.stdout.readline()
    os.killpg(process.pid, signal.SIGINT)
    while b"once more to stop at once" not in process.stderr.readline():
        assert process.poll() is None
    os.killpg(process.pid, signal.SIGINT)  # at once: the same press, sent twice
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(0.5)
    os.killpg(process.pid, signal.SIGINT)
    _, err = process.communicate(timeout=30)
    assert b"what is not finished, the next rtbids run on this data set finishes" in err
    assert process.returncode == 130, err.decode()
    assert b"Traceback" not in err
    shutil.rmtree(scanned.folder)
    scanned.folder.mkdir()
    call("convert", scanned.folder, "--no-wait", "-o", study)
    assert voxels(study).shape[3] >= 10
