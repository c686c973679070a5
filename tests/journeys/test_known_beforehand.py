"""A folder or tar that is all there is looked through first: its runs are named, ordered and ended rightly, in any order."""

from __future__ import annotations

import io
import json
import os
import random
import tarfile
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest
from pydicom import dcmread
from validity import errors

from rtbids.cli import recordings
from rtbids.errors import StreamBroken
from rtbids.replay.forms import FORMS, SERIES, Form
from rtbids.replay.series import written

SHAPE, TR = (8, 6, 5), 2.0
AFFINE = np.array([[-3.0, 0, 0, 10], [0, 3.0, 0, -8], [0, 0, 4.0, -6], [0, 0, 0, 1]])
ECHO_TIMES = (0.012, 0.028)
SILENT = 'def feedback(volume, run):\n    return {"index": volume.index, "mean": float(volume.data.mean())}\n'
Files = dict[str, bytes]


def voxels(index: int, add: int) -> np.ndarray:
    return (np.arange(np.prod(SHAPE)).reshape(SHAPE) + 100 * index + add) % 4096


def series(form: Form, number: int, volumes: int = 3, **options: Any) -> Files:
    """Return the files of a scan by name."""
    files = {}
    echo = options.get("echo", 1)
    scan = SERIES[form](SHAPE, AFFINE, TR, number, **options)
    for index in range(volumes):
        for k, content in enumerate(scan.dicoms(voxels(index, 7 * number + echo), index)):
            dataset = dcmread(BytesIO(content))
            files[f"{number}-{echo}-{index}-{k}.dcm"] = written(dataset, f"{scan.uid}.{echo}.{index}.{k}")
    return files


def echoes(form: Form) -> Files:
    """Return a scan of two echoes that no header announces; series UIDs are those of one series."""
    return {
        name: content
        for echo, seconds in enumerate(ECHO_TIMES, 1)
        for name, content in series(form, 5, echo=echo, echo_time=seconds).items()
    }


def parts(form: Form) -> Files:
    """Return three scans, of which the first and the last have phase images as series of their own."""
    phase = {"image_type": ("P", "ND")}
    found: Files = {}
    for number, options in ((5, {}), (6, phase), (7, {}), (8, {}), (9, phase)):
        found |= series(form, number, **options)
    return found


def folder(place: Path, files: Files) -> Path:
    place.mkdir()
    for number, content in enumerate(random.Random(3).sample(list(files.values()), len(files))):
        (place / f"{number:04d}.dcm").write_bytes(content)
    return place


def tar(place: Path, files: Files) -> Path:
    """Write the files to a tar in an order that nobody measured."""
    with tarfile.open(place.with_suffix(".tar"), "w") as archive:
        for number, content in enumerate(random.Random(5).sample(list(files.values()), len(files))):
            member = tarfile.TarInfo(f"{number:04d}.dcm")
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return place.with_suffix(".tar")


def images(study: Path) -> list[str]:
    return sorted(path.name for path in study.glob("sub-01/func/*_bold.nii.gz"))


def orders(place: Callable[[Path, Files], Path]) -> list[str]:
    return ["--no-wait"] if place is folder else []


@pytest.fixture(params=[folder, tar], ids=["folder", "tar"])
def place(request: pytest.FixtureRequest) -> Callable[[Path, Files], Path]:
    place: Callable[[Path, Files], Path] = request.param
    return place


@pytest.mark.parametrize("form", FORMS)
def test_every_echo_is_named_though_no_header_announces_any(form, place, tmp_path, call):
    source, study = place(tmp_path / "scanned", echoes(form)), tmp_path / "study"
    done = call("convert", source, *orders(place), "-o", study)
    assert done.code == 0, done.err
    assert "without echo" not in done.err
    assert images(study) == [f"sub-01_task-nf_run-01_echo-{echo}_bold.nii.gz" for echo in (1, 2)]
    for echo, seconds in enumerate(ECHO_TIMES, 1):
        image = study / f"sub-01/func/sub-01_task-nf_run-01_echo-{echo}_bold.nii.gz"
        expected = np.stack([voxels(index, 35 + echo) for index in range(3)], axis=-1)
        np.testing.assert_array_equal(nibabel.load(image).dataobj.get_unscaled(), expected)
        assert json.loads(image.with_name(image.name.replace(".nii.gz", ".json")).read_text())["EchoTime"] == seconds
    assert errors(study) == []


@pytest.mark.parametrize(("asked", "labels"), [((), ("01", "02", "03")), (("--run", "4,6,9"), ("04", "06", "09"))])
def test_magnitudes_and_phases_are_parts_of_one_run(asked, labels, place, tmp_path, call):
    source, study = place(tmp_path / "scanned", parts("mosaic")), tmp_path / "study"
    done = call("convert", source, *orders(place), "-o", study, *asked)
    assert done.code == 0, done.err
    first, alone, last = labels
    named = [
        f"run-{first}_part-mag",
        f"run-{first}_part-phase",
        f"run-{alone}",
        f"run-{last}_part-mag",
        f"run-{last}_part-phase",
    ]
    assert images(study) == sorted(f"sub-01_task-nf_{name}_bold.nii.gz" for name in named)
    fields = [json.loads((study / f"sub-01/func/sub-01_task-nf_{name}_bold.json").read_text()) for name in named]
    assert [one["SeriesNumber"] for one in fields] == [5, 6, 7, 8, 9]
    assert errors(study) == []


def test_what_a_watch_would_not_take_is_not_looked_at(tmp_path, call):
    """A pipe that nobody writes to would hold up the reader for ever, a raw file of a terabyte is more than any memory."""
    source, study = folder(tmp_path / "scanned", series("mosaic", 5)), tmp_path / "study"
    os.mkfifo(source / "pipe.dcm")
    with (source / "meas.dat").open("wb") as raw:
        raw.truncate(1 << 40)
    done = call("convert", source, "--no-wait", "-o", study)
    assert done.code == 0, done.err
    assert images(study) == ["sub-01_task-nf_run-01_bold.nii.gz"]


@pytest.mark.parametrize(("ending", "asked"), [(".part", ()), (".ima", ("--pattern", "*.dcm"))])
def test_phases_that_are_not_taken_give_no_name_to_their_magnitudes(ending, asked, tmp_path, call):
    source, study = folder(tmp_path / "scanned", series("mosaic", 5)), tmp_path / "study"
    for name, content in series("mosaic", 6, image_type=("P", "ND")).items():
        (source / f"{name}{ending}").write_bytes(content)
    done = call("convert", source, "--no-wait", "-o", study, *asked)
    assert done.code == 0, done.err
    assert images(study) == ["sub-01_task-nf_run-01_bold.nii.gz"]


@pytest.mark.parametrize("most", [1, 1000])
def test_a_member_is_read_whole_where_one_call_gives_only_a_part(most, tmp_path, monkeypatch):
    """Linux reads 2 GiB at the most in one call."""
    whole = os.preadv
    monkeypatch.setattr(os, "preadv", lambda file, buffers, place: whole(file, [buffers[0][:most]], place))
    content = bytes(range(256)) * 8
    (tmp_path / "file").write_bytes(b"before" + content)
    with (tmp_path / "file").open("rb") as file:
        assert recordings._content(file, recordings._Place("", 0.0, 6, len(content))) == content
        with pytest.raises(StreamBroken, match="became shorter"):
            recordings._content(file, recordings._Place("", 0.0, 6, len(content) + 1))


def test_phases_that_are_not_picked_give_no_name_to_their_magnitudes(tmp_path, call):
    study = tmp_path / "study"
    done = call("convert", folder(tmp_path / "scanned", parts("mosaic")), "--no-wait", "--series", "5", "-o", study)
    assert done.code == 0, done.err
    assert images(study) == ["sub-01_task-nf_run-01_bold.nii.gz"]


@pytest.mark.parametrize(("picked", "labels", "code"), [("5,7", "1", 64), ("5,6,7", "1", 64), ("5,6", "1", 0)])
def test_too_few_run_labels_are_refused_before_a_run_is_recorded(picked, labels, code, place, tmp_path, call):
    source, study = place(tmp_path / "scanned", parts("mosaic")), tmp_path / "study"
    done = call("convert", source, *orders(place), "--series", picked, "--run", labels, "-o", study)
    assert done.code == code, done.err
    assert ("names fewer runs than the 2 that the picked series are" in done.err) is (code != 0)
    assert bool(images(study)) is (code == 0)


def test_a_run_that_is_there_is_not_doubled_under_the_name_of_its_magnitudes(tmp_path, call):
    source, study = folder(tmp_path / "scanned", parts("mosaic")), tmp_path / "study"
    assert call("convert", source, "--no-wait", "--series", "7", "--run", "1", "-o", study).code == 0
    done = call("convert", source, "--no-wait", "--series", "5,6", "--run", "1", "-o", study)
    assert done.code == 73
    assert "sub-01_task-nf_run-01 is in the data set already" in done.err
    assert call("convert", source, "--no-wait", "--series", "8,9", "-o", study).code == 0
    named = ("run-01", "run-02_part-mag", "run-02_part-phase")
    assert images(study) == [f"sub-01_task-nf_{name}_bold.nii.gz" for name in named]


@pytest.mark.parametrize("form", FORMS)
def test_an_experiment_gets_every_volume_of_a_shuffled_tar_in_order(form, tmp_path, call, script):
    files = series(form, 5, volumes=40) | series(form, 6, volumes=4)
    study = tmp_path / "study"
    done = call("run", script(SILENT), tar(tmp_path / "scanned", files), "--bids-dir", study, "--feedback", "-")
    assert done.code == 0, done.err
    answers = [(line["run"], line["volume"], line["status"], line["value"]) for line in done.lines]
    assert answers == [
        (f"sub-01_task-nf_run-{run}", index, "ok", {"index": index, "mean": float(voxels(index, 7 * number + 1).mean())})
        for run, number, volumes in (("01", 5, 40), ("02", 6, 4))
        for index in range(volumes)
    ]
    assert "did not come" not in done.err


def test_a_tar_that_was_cut_gives_what_is_whole_in_order_and_says_that_it_is_cut(tmp_path, call):
    source, study = tar(tmp_path / "scanned", series("mosaic", 5, volumes=6)), tmp_path / "study"
    content = source.read_bytes()
    source.write_bytes(content[: len(content) * 2 // 3])
    done = call("convert", source, "-o", study)
    assert done.code == 74
    (image,) = study.glob("sub-01/func/*_bold.nii.gz")
    kept = nibabel.load(image).shape[3]
    missing = json.loads(image.with_name(image.name.replace(".nii.gz", ".json")).read_text()).get("MissingVolumes", [])
    assert kept >= 3
    assert kept + len(missing) <= 6


def test_runs_end_one_after_the_other_where_it_is_known_what_comes(tmp_path, call, script):
    text = SILENT + "def start(run):\n    print('start')\n\ndef end(run):\n    print('end')\n"
    source = folder(tmp_path / "scanned", series("mosaic", 5) | series("mosaic", 6))
    done = call("run", script(text), source, "--no-wait", "--bids-dir", tmp_path / "study", "--feedback", tmp_path / "f.jsonl")
    assert done.code == 0, done.err
    said = [word for word in (done.out.decode() + done.err).split() if word in ("start", "end")]
    assert said == ["start", "end", "start", "end"]


def test_echoes_and_parts_of_a_run_share_its_events(tmp_path, call, script):
    text = "onset\tduration\ttrial_type\n0\t2\tregulate\n"
    (tmp_path / "events.tsv").write_text(text)
    for source, several in (
        (echoes("mosaic"), "echo"),
        (series("mosaic", 8) | series("mosaic", 9, image_type=("P", "ND")), "part"),
    ):
        study = tmp_path / several
        scanned = folder(tmp_path / f"scanned-{several}", source)
        given = ("--events", tmp_path / "events.tsv", "--feedback", tmp_path / "f.jsonl")
        done = call("run", script(SILENT), scanned, "--no-wait", "--bids-dir", study, *given)
        assert done.code == 0, done.err
        assert "was there before" not in done.err
        assert len(images(study)) == 2
        assert [path.name for path in study.rglob("*_events.tsv")] == ["sub-01_task-nf_run-01_events.tsv"]
        assert errors(study) == []
        replayed = call("replay", study, "--speed", "max")
        with tarfile.open(fileobj=io.BytesIO(replayed.out)) as stream:
            tables = [stream.extractfile(name) for name in stream.getnames() if name.endswith("_events.tsv")]
            assert [table.read().decode() for table in tables if table] == [text, text]
