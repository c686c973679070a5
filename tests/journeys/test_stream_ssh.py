"""A stream to a machine that is reached by SSH: through cuts and kills each volume arrives once, in order, bit for bit."""

from __future__ import annotations

import io
import os
import signal
from contextlib import suppress
from pathlib import Path

import numpy as np
import pydicom
import pytest
import sshd
from far_side import FarSide, count, expected, export, finished, reading, until, voxels
from pydicom.filebase import DicomBytesIO

from rtbids.errors import StreamBroken
from rtbids.stream import bidsi, wire
from rtbids.volume import volumes as volumes_of


def interrupted(process) -> tuple[int, str]:
    os.kill(process.pid, signal.SIGINT)
    return finished(process)


def test_a_data_set_grows_on_the_other_machine_and_holds_what_was_measured(side, files, tmp_path):
    study = tmp_path / "study"
    code, err = side.run(files[0].parent, side.place(study), "--no-wait")
    assert code == 0, err
    assert np.array_equal(voxels(study), expected())
    assert "100 images" in err
    assert f"{side.place(study)} is a new data set" in err
    assert not list((side.server.folder / "far").rglob("context.tar"))  # nothing is left of a stream that has ended


@pytest.mark.slow
def test_through_twenty_cuts_each_volume_arrives_once(side, files, watched, tmp_path):
    study = tmp_path / "study"
    process = side.stream(watched, side.place(study))
    for cut in range(20):
        export(files[cut * 5 : cut * 5 + 5], watched)
        until(lambda wanted=cut * 5 + 3: count(study) >= wanted, process)
        assert side.server.kill_connections()
    until(lambda: count(study) >= 99, process)
    code, err = interrupted(process)
    assert code == 130, err
    assert np.array_equal(voxels(study), expected())


@pytest.mark.slow
def test_a_sender_that_is_killed_and_started_again_goes_on_with_the_run(side, files, watched, tmp_path):
    study = tmp_path / "study"
    export(files[:60], watched)
    process = side.stream(watched, side.place(study))
    until(lambda: count(study) >= 30, process)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    export(files[60:], watched)
    again = side.stream(watched, side.place(study))
    until(lambda: count(study) >= 99, again)
    code, err = interrupted(again)
    assert code == 130, err
    assert np.array_equal(voxels(study), expected())


@pytest.mark.slow
def test_a_keeper_that_is_killed_is_replaced_and_the_run_goes_on(side, files, watched, tmp_path):
    study = tmp_path / "study"
    export(files[:60], watched)
    process = side.stream(watched, side.place(study))
    until(lambda: count(study) >= 40, process)
    (keeper,) = side.keepers()
    os.kill(keeper["pid"], signal.SIGKILL)
    export(files[60:], watched)
    until(lambda: count(study) >= 99, process)
    code, err = interrupted(process)
    assert code == 130, err
    assert np.array_equal(voxels(study), expected())
    assert (study / "participants.tsv").exists()


def whole_members(tar: Path) -> list[bytes]:
    """Return the contents of what is whole in a file that grows."""
    found: list[bytes] = []
    with suppress(StreamBroken), tar.open("rb", buffering=0) as file:
        for member in wire.members(file):
            found.append(bytes(member.content))
    return found


@pytest.mark.slow
@pytest.mark.parametrize(
    ("victim", "options"),
    [("connection", ("--no-deidentify",)), ("keeper", ("--no-deidentify",)), ("keeper", ()), ("sender", ())],
)
def test_a_tar_there_has_each_file_of_dicom_once_whatever_is_killed(victim, options, side, files, watched, tmp_path):
    tar = tmp_path / "files.tar"
    raw = [path.read_bytes() for path in files]

    def begin():
        watch = side.start("watch", watched)
        return watch, side.stream("-", side.place(tar), *options, stdin=watch.stdout)

    export(files[:50], watched)
    watch, process = begin()
    until(lambda: tar.exists() and tar.stat().st_size > 20 * files[0].stat().st_size, process)
    if victim == "connection":
        side.server.kill_connections()
    elif victim == "keeper":
        (keeper,) = side.keepers()
        os.kill(keeper["pid"], signal.SIGKILL)
    else:
        for one in (process, watch):
            os.killpg(one.pid, signal.SIGKILL)
        process.communicate()
        watch, process = begin()
    export(files[50:], watched)
    until(lambda: len(whole_members(tar)) == 100, process)
    os.kill(watch.pid, signal.SIGINT)
    code, err = finished(process)
    assert code == 0, err
    assert tar.read_bytes().endswith(wire.END)
    there, here = ([pydicom.dcmread(DicomBytesIO(content)) for content in found] for found in (whole_members(tar), raw))
    assert [image.InstanceNumber for image in there] == [image.InstanceNumber for image in here]
    assert [image.PixelData for image in there] == [image.PixelData for image in here]
    if options:
        assert whole_members(tar) == raw
    else:
        assert not {image.SOPInstanceUID for image in there} & {image.SOPInstanceUID for image in here}
        assert str(here[0].PatientName).encode() not in tar.read_bytes()


def test_a_pipe_there_has_a_reader_that_is_started_again(side, files, watched, tmp_path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe, 0o600)
    process = side.stream(watched, side.place(pipe))
    with pipe.open("rb", buffering=0) as first:
        export(files[:10], watched)
        seen = [item.index for item, _ in zip(volumes_of(bidsi.read(first)), range(5), strict=False)]
    assert seen == list(range(5))
    written = _images(side)  # at most this many lay in the pipe that the first one left
    until(lambda: "has gone" in _said(side))
    rest: list[bytes] = []
    second = reading(pipe, rest)
    export(files[10:20], watched)
    until(lambda: not second.is_alive() or _images(side) >= 19, process)
    code, err = interrupted(process)
    assert code == 130, err
    second.join(30)
    indices = [item.index for item in volumes_of(bidsi.read(io.BytesIO(rest[0])))]
    assert 5 <= indices[0] <= max(written, 10)
    assert indices == list(range(indices[0], 20))  # whole volumes, none twice


def test_the_reader_of_a_pipe_there_sees_one_stream_though_the_sender_is_started_again(side, files, watched, tmp_path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe, 0o600)
    export(files[:10], watched)
    process = side.stream(watched, side.place(pipe))
    found: list[bytes] = []
    reader = reading(pipe, found)
    until(lambda: _images(side) >= 9, process)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    export(files[10:20], watched)
    again = side.stream(watched, side.place(pipe))
    until(lambda: _images(side) >= 19, again)
    code, err = interrupted(again)
    assert code == 130, err
    reader.join(30)
    assert [item.index for item in volumes_of(bidsi.read(io.BytesIO(found[0])))] == list(range(20))


def _said(side: FarSide) -> str:
    return "".join(path.read_text() for path in side.server.folder.glob("far/rtbids/run/*/*.log"))


def _images(side: FarSide) -> int:
    return max((keeper["told"].get("images", 0) for keeper in side.keepers()), default=0)


def test_a_second_stream_to_the_same_place_is_refused(side, files, watched, tmp_path):
    study = tmp_path / "study"
    export(files[:3], watched)
    process = side.stream(watched, side.place(study))
    until(lambda: count(study) >= 1, process)
    code, err = side.run(files[0].parent, side.place(study), "--no-wait")
    assert code == 73
    assert "is in use by another stream since" in err
    assert interrupted(process)[0] == 130


@pytest.mark.parametrize(
    ("place", "options", "code", "said"),
    [
        ("ssh://nobody.invalid/study", (), 75, "nobody.invalid"),
        ("ssh://127.0.0.1:1/study", (), 75, "127.0.0.1"),
        ("{server}", (), 64, "expected a place"),
        ("{server}/proc/nothing/study", (), 73, "/proc/nothing"),
        ("{server}/dev/null", (), 64, "another sort of file"),
        ("{server}/~/x.tar", ("--remote-command", "nothing-of-the-sort"), 64, "--remote-command names what starts rtbids"),
    ],
    ids=["host", "port", "no place", "not writable", "a device", "no rtbids"],
)
def test_what_is_wrong_is_said_in_one_line(place, options, code, said, side, files):
    found, err = side.run(files[0].parent, place.format(server=side.server.address), "--no-wait", *options)
    assert found == code, err
    lines = [line for line in err.splitlines() if line.startswith("rtbids:")]
    assert len(lines) == 1
    assert said in err


def test_nothing_that_identifies_leaves_unless_that_is_asked_for(side, files, tmp_path):
    names = {}
    for name, options in (("clean", ()), ("raw", ("--no-deidentify",))):
        watch = side.start("watch", files[0].parent, "--no-wait", "--volumes", 2)
        process = side.stream("-", side.place(tmp_path / f"{name}.tar"), *options, stdin=watch.stdout)
        code, err = finished(process)
        assert code == 0, err
        names[name] = (tmp_path / f"{name}.tar").read_bytes()
    import pydicom

    person = str(pydicom.dcmread(files[0]).PatientName).encode()
    assert person in names["raw"]
    assert person not in names["clean"]


def test_dicom_behind_another_first_member_does_not_leave(side, files, tmp_path):
    with (tmp_path / "mixed.tar").open("wb", buffering=0) as file:
        writer = wire.Writer(file)
        writer.write("Info.json", b"{}")
        writer.write("scan.dcm", files[0].read_bytes())
        writer.close()
    code, err = side.run(tmp_path / "mixed.tar", side.place(tmp_path / "copy.tar"))
    assert code == 65, err
    assert "nothing leaves: expected BIDS-I, found none among 2 files" in err
    assert not whole_members(tmp_path / "copy.tar")


def test_volumes_need_no_key_to_leave_and_images_do(side, files, tmp_path):
    assert finished(side.start("convert", files[0].parent, "--no-wait", "--volumes", 3, "--to", tmp_path / "v.tar"))[0] == 0
    key = ("--key", tmp_path / "no.key")
    code, err = side.run(tmp_path / "v.tar", side.place(tmp_path / "copy.tar"), *key)
    assert code == 0, err
    assert (tmp_path / "copy.tar").read_bytes() == (tmp_path / "v.tar").read_bytes()
    code, err = side.run(tmp_path / "v.tar", side.place(tmp_path / "study"), "--subject", "07", *key)
    assert code == 0, err
    assert (tmp_path / "study" / "sub-07").is_dir()
    assert finished(side.start("watch", files[0].parent, "--no-wait", "--volumes", 3, "--to", tmp_path / "d.tar"))[0] == 0
    code, err = side.run(tmp_path / "d.tar", side.place(tmp_path / "images.tar"), *key)
    assert code == 66, err
    assert "no.key" in err
    assert not whole_members(tmp_path / "images.tar")


def test_what_would_leave_is_shown_by_name_and_nothing_is_sent(side, files, tmp_path):
    import pydicom

    process = side.stream(files[0].parent, side.place(tmp_path / "study"), "--dry-run")
    out, err = process.communicate(timeout=60)
    assert process.returncode == 0, err.decode()
    shown = out.decode()
    assert f"would leave for {side.place(tmp_path / 'study')}" in shown
    assert "sub-01_task-nf_run-01: 100 images" in shown
    assert "EchoTime" in shown.partition("fields of sidecars kept:")[2].partition("\n")[0]
    header = pydicom.dcmread(files[0])
    assert "PatientName" not in shown  # volumes have sidecars, and no header of DICOM
    assert "elements of DICOM: none" in shown
    assert str(header.PatientName) not in shown
    assert str(header.StudyInstanceUID) not in shown
    assert not (tmp_path / "study").exists()
    assert not side.server.connections()


@pytest.mark.slow
def test_a_connection_that_stays_open_and_says_nothing_is_given_up_and_nothing_is_lost(side, files, watched, tmp_path):
    study = tmp_path / "study"
    export(files[:30], watched)
    process = side.stream(watched, side.place(study))
    until(lambda: count(study) >= 29, process)
    assert side.server.freeze()
    export(files[30:], watched)
    until(lambda: count(study) >= 99, process)
    code, err = interrupted(process)
    assert code == 130, err
    assert np.array_equal(voxels(study), expected())
    assert "1 cut" in err


def test_a_disk_there_that_is_full_is_told_of_here_and_the_other_places_get_all(side, files, tmp_path):
    full = ("--remote-command", "sh -c 'ulimit -f 40; exec rtbids far'")
    code, err = side.run(files[0].parent, side.place(tmp_path / "x.tar"), tmp_path / "here.tar", "--no-wait", *full)
    assert code == 73, err
    assert str(tmp_path / "x.tar") in err.splitlines()[-1]
    assert b"_vol-00099_bold.nii" in (tmp_path / "here.tar").read_bytes()


@pytest.mark.parametrize("known", ["", "{label} {other}\n"], ids=["unknown", "changed"])
def test_a_host_that_is_not_known_or_not_the_one_it_was_gets_nothing(known, side, files, tmp_path):
    sshd.make_key(tmp_path / "other")
    other = " ".join((tmp_path / "other.pub").read_text().split()[:2])
    (tmp_path / "known_hosts").write_text(known.format(label=side.server.label, other=other))
    keys = ["--identity", side.server.folder / "id", "--known-hosts", tmp_path / "known_hosts"]
    code, err = finished(side.start("stream", files[0].parent, side.place(tmp_path / "x.tar"), "--no-wait", *keys))
    assert code == 74, err
    assert sshd.fingerprint(side.server.folder / "host_key.pub") in err
    assert not (tmp_path / "x.tar").exists()


def test_a_key_that_is_not_let_in_is_told_of(side, files, tmp_path):
    sshd.make_key(tmp_path / "other")
    keys = ["--identity", tmp_path / "other", "--known-hosts", side.server.folder / "known_hosts"]
    code, err = finished(side.start("stream", files[0].parent, side.place(tmp_path / "x.tar"), "--no-wait", *keys))
    assert code in (64, 75), err
    assert len([line for line in err.splitlines() if line.startswith("rtbids:")]) == 1
    assert not (tmp_path / "x.tar").exists()
