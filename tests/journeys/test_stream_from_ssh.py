"""A source on another machine: watched, de-identified and converted there, and here as if it were measured here."""

from __future__ import annotations

import io
import json
import os
import signal
from contextlib import suppress
from pathlib import Path

import numpy as np
import pydicom
import pytest
from far_side import FarSide, count, expected, export, finished, until, voxels

from rtbids.errors import StreamBroken
from rtbids.stream import wire


def test_a_folder_there_becomes_a_data_set_and_a_stream_here(side, files, tmp_path):
    code, err = side.run(side.place(files[0].parent), tmp_path / "study", tmp_path / "copy.tar", "--no-wait")
    assert code == 0, err
    assert np.array_equal(voxels(tmp_path / "study"), expected())
    assert b"_vol-00099_bold.nii" in (tmp_path / "copy.tar").read_bytes()


def keepers_of(side: FarSide, place: Path) -> list[dict]:
    return [one for one in side.keepers() if one["told"].get("place") == str(place)]


@pytest.mark.slow
def test_through_twenty_cuts_each_volume_comes_once(side, files, watched, tmp_path):
    study = tmp_path / "study"
    process = side.stream(side.place(watched), study)
    for cut in range(20):
        export(files[cut * 5 : cut * 5 + 5], watched)
        until(lambda wanted=cut * 5 + 3: count(study) >= wanted, process)
        assert side.server.kill_connections()
    until(lambda: count(study) >= 99 and keepers_of(side, watched)[0]["link"]["is_up"], process)
    os.kill(process.pid, signal.SIGINT)
    code, err = finished(process)
    assert code == 130, err
    assert np.array_equal(voxels(study), expected())
    until(lambda: not keepers_of(side, watched))


def test_a_second_look_at_a_folder_ends_no_other(side, files, watched, tmp_path):
    export(files[:5], watched)
    process = side.stream(side.place(watched), tmp_path / "first")
    until(lambda: count(tmp_path / "first") >= 4, process)
    code, err = side.run(side.place(watched), tmp_path / "second.tar", "--no-wait")
    assert code == 0, err
    export(files[5:10], watched)
    until(lambda: count(tmp_path / "first") >= 9, process)
    os.kill(process.pid, signal.SIGINT)
    assert finished(process)[0] == 130


@pytest.mark.slow
def test_a_keeper_that_is_killed_begins_anew_and_no_volume_comes_twice(side, files, watched, tmp_path):
    study = tmp_path / "study"
    export(files[:60], watched)
    process = side.stream(side.place(watched), study)
    until(lambda: count(study) >= 40, process)
    (keeper,) = keepers_of(side, watched)
    os.kill(keeper["pid"], signal.SIGKILL)
    export(files[60:], watched)
    until(lambda: count(study) >= 99, process)
    os.kill(process.pid, signal.SIGINT)
    code, err = finished(process)
    assert code == 130, err
    assert np.array_equal(voxels(study), expected())


@pytest.mark.slow
def test_a_keeper_that_is_killed_leaves_no_gap_in_what_is_new(side, files, watched, tmp_path):
    tar, new = tmp_path / "files.tar", files[3:40]
    export(files[:3], watched)
    process = side.start("watch", side.place(watched), "--new-only", "--to", tar, *side.options)
    until(lambda: b"de-identified" in os.read(process.stderr.fileno(), 4096), process)  # said once it is watched there
    export(new[:10], watched)
    until(lambda: len(names(tar)) == 10, process)
    (keeper,) = [one for one in side.keepers() if one["told"]["place"] == str(watched)]
    os.kill(keeper["pid"], signal.SIGKILL)
    export(new[10:], watched)
    until(lambda: len(names(tar)) >= len(new), process)
    os.kill(process.pid, signal.SIGINT)
    assert finished(process)[0] == 130
    with tar.open("rb", buffering=0) as file:
        found = [pydicom.dcmread(io.BytesIO(member.content)) for member in wire.members(file)]
    wanted = [pydicom.dcmread(path).InstanceNumber for path in new]
    assert [one.InstanceNumber for one in found] == wanted


def names(tar: Path) -> list[str]:
    """Return the members of a tar that grows."""
    found = []
    with suppress(StreamBroken, OSError), tar.open("rb", buffering=0) as file:
        for member in wire.members(file):
            found.append(member.name)
    return found


def test_files_are_watched_there_and_come_without_what_identifies(side, files, tmp_path):
    tar = tmp_path / "files.tar"
    place = side.place(files[0].parent)
    code, err = finished(side.start("watch", place, "--no-wait", "--to", tar, *side.options))
    assert code == 0, err
    with tar.open("rb", buffering=0) as file:
        assert len(list(wire.members(file))) == 100
    assert str(pydicom.dcmread(files[0]).PatientName).encode() not in tar.read_bytes()


def test_run_answers_what_is_measured_there_within_the_deadline(side, files, watched, tmp_path):
    (tmp_path / "mine.py").write_text("def feedback(volume, run):\n    return float(volume.data.mean())\n")
    arguments = ("--bids-dir", tmp_path / "study", "--feedback", tmp_path / "out.jsonl", "--volumes", 10, "--deadline", 20)
    process = side.start("run", tmp_path / "mine.py", side.place(watched), *arguments, *side.options)
    export(files[:20], watched)
    code, err = finished(process)
    assert code == 0, err
    lines = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()]
    assert [(line["volume"], line["status"]) for line in lines] == [(number, "ok") for number in range(10)]
    means = [float(expected(10)[..., number].mean()) for number in range(10)]
    assert [line["value"] for line in lines] == pytest.approx(means)
    assert all(0 <= line["sent"] - line["received"] < 20 for line in lines)  # both by this machine's clock


def test_a_recording_there_is_answered_as_if_it_came_now(side, files, tmp_path):
    tar = tmp_path / "recorded.tar"
    assert finished(side.start("convert", files[0].parent, "--no-wait", "--volumes", 5, "--to", tar))[0] == 0
    recorded = tar.stat().st_mtime
    (tmp_path / "mine.py").write_text("def feedback(volume, run):\n    return volume.index\n")
    arguments = ("--feedback", tmp_path / "out.jsonl", "--deadline", 20)
    code, err = finished(side.start("run", tmp_path / "mine.py", side.place(tar), *arguments, *side.options))
    assert code == 0, err
    lines = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()]
    assert [(line["volume"], line["status"]) for line in lines] == [(number, "ok") for number in range(5)]
    assert all(line["received"] > recorded for line in lines)


def test_convert_takes_it(side, files, tmp_path):
    place = side.place(files[0].parent)
    code, err = finished(side.start("convert", place, "--no-wait", "-o", tmp_path / "study", "--task", "far", *side.options))
    assert code == 0, err
    assert np.array_equal(voxels(tmp_path / "study"), expected())
    assert list((tmp_path / "study").rglob("sub-01_task-far_run-01_bold.nii.gz"))


def test_a_pipe_there_is_read_there(side, files, tmp_path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe, 0o600)
    process = side.stream(side.place(pipe), tmp_path / "copy.tar")
    writer = side.start("convert", files[0].parent, "--no-wait", "--volumes", 5, "--to", pipe, "--open-timeout", 60)
    assert finished(writer)[0] == 0
    code, err = finished(process)
    assert code == 0, err
    assert b"_vol-00004_bold.nii" in (tmp_path / "copy.tar").read_bytes()


@pytest.mark.parametrize(
    ("place", "code", "said"),
    [
        ("{server}/nowhere", 66, "no such file or folder"),
        ("{server}", 64, "expected a place"),
        ("{server}/dev/null", 64, "a device"),
    ],
)
def test_what_is_not_there_is_said_in_one_line(place, code, said, side, tmp_path):
    found, err = side.run(place.format(server=side.server.address), tmp_path / "x.tar")
    assert found == code, err
    (line,) = [line for line in err.splitlines() if line.startswith("rtbids:")]
    assert said in line


def test_a_place_that_is_not_allowed_is_refused_in_both_directions(side, files, tmp_path):
    allowed = ("--remote-command", f"rtbids far --within {tmp_path / 'in'}")
    for arguments in ((side.place(files[0].parent), tmp_path / "x.tar"), (files[0].parent, side.place(tmp_path / "study"))):
        code, err = side.run(*arguments, "--no-wait", *allowed)
        assert code == 64, err
        assert "is not allowed here" in err
    code, err = side.run(files[0].parent, side.place(tmp_path / "in" / "study"), "--no-wait", *allowed)
    assert code == 0, err
    code, err = side.run(files[0].parent, side.place("/scanner"), "--keep", "--no-wait", *allowed)
    assert code == 64, err
    assert "no source can stay connected here" in err


def test_a_machine_that_gives_nothing_identifying_refuses_to_though_it_is_asked(side, files, tmp_path):
    only = ("--remote-command", "rtbids far --deidentified-only")
    for wish in ("--no-deidentify", "--identified"):
        code, err = side.run(side.place(files[0].parent), tmp_path / "x.tar", wish, *only)
        assert code == 64, err
        assert "what identifies does not leave here" in err
