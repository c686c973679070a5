"""The command line at the end of a DICOM network: dcmtk and Orthanc send, processes are killed, and a run keeps its pace."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
import tarfile
from io import BytesIO
from pathlib import Path

import nibabel
import numpy as np
import peers
import pytest
from peers import LONG, program
from pydicom import dcmread
from validity import errors

from rtbids.clock import CLOCK
from rtbids.dicomnet import Address, Sender
from rtbids.replay.scanner import Phantom, dicoms

PHANTOM = Phantom(shape=(16, 16, 9), voxel=(12.0, 12.0, 14.0), volumes=12, repetition_time=0.4)
RUN = list(dicoms(PHANTOM))
SOURCE = "dicom-scp://RTBIDS@127.0.0.1:0"
LISTENING = re.compile(rb"listening as RTBIDS on 127\.0\.0\.1:(\d+)")


def listening(process: subprocess.Popen) -> Address:
    """Wait until a command says where it listens."""
    for line in process.stderr:
        if found := LISTENING.search(line):
            return Address("RTBIDS", "127.0.0.1", int(found[1]))
    raise AssertionError("it ended before it listened")


@pytest.fixture
def exported(tmp_path: Path) -> Path:
    folder = tmp_path / "exported"
    folder.mkdir()
    for number, content in enumerate(RUN):
        (folder / f"{number:03d}.dcm").write_bytes(content)
    return folder


def uids(tar: bytes) -> list[str]:
    """Return the SOP Instance UIDs in a tar of DICOM files, as far as it goes."""
    found = []
    with contextlib.suppress(tarfile.ReadError), tarfile.open(fileobj=BytesIO(tar), mode="r:") as members:
        for member in members:
            content = members.extractfile(member)
            assert content is not None
            found.append(str(dcmread(content, stop_before_pixels=True).SOPInstanceUID))
    return found


SENT = [str(dcmread(BytesIO(content)).SOPInstanceUID) for content in RUN]


def test_dcmtk_delivers(start, exported, tmp_path):
    store, echo = program("storescu"), program("echoscu")
    watch = start("watch", SOURCE, "--spool", tmp_path / "spool", "--idle-timeout", "3")
    address = listening(watch)
    subprocess.run([echo, "-aec", "RTBIDS", address.host, str(address.port)], check=True, timeout=LONG)
    subprocess.run([store, "-aec", "RTBIDS", "+sd", address.host, str(address.port), exported], check=True, timeout=LONG)
    wrong = subprocess.run([store, "-aec", "PACS", address.host, str(address.port), exported / "000.dcm"], check=False)
    assert wrong.returncode != 0
    tar, said = watch.communicate(timeout=LONG)
    assert watch.returncode == 0
    assert sorted(uids(tar)) == sorted(SENT)
    assert said.decode() == "warning: an association was turned away: it called an AE title that is not ours\n"


def test_orthanc_delivers(start, tmp_path):
    watch = start("watch", SOURCE, "--spool", tmp_path / "spool", "--idle-timeout", "2")
    address = listening(watch)
    known = {"rtbids": [address.aet, address.host, address.port]}
    with peers.orthanc(tmp_path, DicomModalities=known) as port:
        stored = [json.loads(peers.ask(port, "POST", "/instances", content))["ID"] for content in RUN]
        answer = json.loads(peers.ask(port, "POST", "/modalities/rtbids/store", json.dumps(stored).encode()))
        assert (answer["InstancesCount"], answer["FailedInstancesCount"]) == (len(RUN), 0)
    tar, said = watch.communicate(timeout=LONG)
    assert watch.returncode == 0
    assert sorted(uids(tar)) == sorted(SENT)
    assert said == b""


def test_what_was_acknowledged_outlives_a_receiver_that_is_killed(start, call, tmp_path):
    pipe = tmp_path / "pipe"  # nobody reads it: nothing leaves the receiver but what a pipe's buffer takes
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    spool = tmp_path / "spool"
    watch = start("watch", SOURCE, "--spool", spool, "--to", pipe)
    with Sender(listening(watch)) as sender:
        for content in RUN:
            sender.send(content)
        os.killpg(watch.pid, signal.SIGKILL)
        watch.wait()
    taken = b""
    while part := os.read(reader, 1 << 20):
        taken += part
    os.close(reader)
    left = call("watch", SOURCE, "--spool", spool, "--no-wait")
    assert left.code == 0
    assert set(uids(taken)) | set(uids(left.out)) == set(SENT)
    again = call("watch", SOURCE, "--spool", spool, "--no-wait")
    assert uids(again.out) == []


def test_ctrl_c_ends_it_in_order(start, tmp_path):
    watch = start("watch", SOURCE, "--spool", tmp_path / "spool")
    with Sender(listening(watch)) as sender:
        for content in RUN[:5]:
            sender.send(content)
        os.killpg(watch.pid, signal.SIGINT)
        tar, _ = watch.communicate(timeout=LONG)
    assert watch.returncode == 130
    assert uids(tar) == SENT[:5]
    assert tar.endswith(bytes(1024))  # the mark of a stream that ended
    assert list((tmp_path / "spool").glob("*.dcm")) == []


SCRIPT = "def feedback(volume, run):\n    return float(volume.data.mean())\n"


def test_a_run_over_the_network_keeps_the_scanners_pace_and_misses_nothing(start, script, tmp_path):
    study = tmp_path / "study"
    options = ("--spool", tmp_path / "spool", "--volumes", len(RUN), "--bids-dir", study, "--feedback", "-")
    run = start("run", script(SCRIPT), SOURCE, *options)
    address = listening(run)
    begin = CLOCK.now() + 0.2
    with Sender(address) as sender:
        for index, content in enumerate(RUN):
            CLOCK.wait_until(begin + index * PHANTOM.repetition_time)
            sender.send(content)
        out, said = run.communicate(timeout=LONG)
    assert run.returncode == 0, said
    lines = [json.loads(line) for line in out.splitlines()]
    assert [(line["volume"], line["status"]) for line in lines] == [(index, "ok") for index in range(len(RUN))]
    assert max(line["sent"] - line["received"] for line in lines) < PHANTOM.repetition_time
    (image,) = study.rglob("*_bold.nii.gz")
    archived = np.asarray(nibabel.load(image).dataobj)
    for index in range(len(RUN)):
        np.testing.assert_array_equal(archived[..., index], PHANTOM.volume(index))
    assert errors(study) == []


@pytest.mark.parametrize(
    ("arguments", "code", "complaint"),
    [
        (("dicom-scp://127.0.0.1:port",), 64, "expected dicom-scp://"),
        (("dicom-scp://127.0.0.1:0", "--tls-key", __file__), 64, "--tls-key and --tls-ca need --tls-cert"),
        (("dicom-scp://127.0.0.1:0", "--allow-host", "no such host"), 64, "found 'no such host'"),
        (("dicom-scp://192.0.2.1:0",), 73, "cannot listen on 192.0.2.1:0"),
        ((".", "--fsync"), 64, "expected dicom-scp://host:port"),
    ],
)
def test_what_cannot_be_listened_to_is_said_in_one_line(call, tmp_path, arguments, code, complaint):
    extra = ("--spool", tmp_path / "spool") if arguments[0] != "." else ()
    outcome = call("watch", *arguments, *extra, cwd=tmp_path)
    assert outcome.code == code
    assert complaint in outcome.err
    assert len(outcome.err.splitlines()) <= 2


def test_a_port_that_is_taken_is_said_before_anything_is_lost(start, call, tmp_path):
    address = listening(start("watch", SOURCE, "--spool", tmp_path / "one"))
    outcome = call("watch", f"dicom-scp://127.0.0.1:{address.port}", "--spool", tmp_path / "two")
    assert outcome.code == 73
    assert f"cannot listen on 127.0.0.1:{address.port}: address already in use" in outcome.err
