"""The command line at the end of a DICOM network: dcmtk and Orthanc send, processes are killed, and a run keeps its pace."""

from __future__ import annotations

import contextlib
import json
import os
import random
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
from rtbids.errors import ConnectionLost
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


@pytest.mark.parametrize("form", ["slices", "mosaic", "enhanced"])
def test_a_folder_that_dcmtk_sends_in_no_order_arrives_whole(start, tmp_path, form):
    """``storescu +sd`` takes files as the file system lists them; here their names have nothing to do with their order."""
    folder = tmp_path / "exported"
    folder.mkdir()
    contents = list(dicoms(PHANTOM, form))
    names = random.Random(1).sample(range(len(contents)), len(contents))
    for name, content in zip(names, contents, strict=True):
        (folder / f"{name:03d}.dcm").write_bytes(content)
    into = ("-o", tmp_path / "study", "--spool", tmp_path / "spool")
    converting = start("convert", SOURCE, *into, "--idle-timeout", "3")
    address = listening(converting)
    order = [address.host, str(address.port), folder]
    subprocess.run([program("storescu"), "-aec", "RTBIDS", "+sd", *order], check=True, timeout=LONG)
    said = converting.communicate(timeout=LONG)[1]
    assert converting.returncode == 0, said
    (sidecar,) = (tmp_path / "study").glob("sub-01/func/*_bold.json")
    assert "MissingVolumes" not in json.loads(sidecar.read_bytes())
    got = np.asarray(nibabel.load(str(sidecar).replace(".json", ".nii.gz")).dataobj)
    assert got.shape[3] == PHANTOM.volumes
    for index in range(PHANTOM.volumes):
        assert np.array_equal(got[..., index], PHANTOM.volume(index))
    assert not (tmp_path / "study" / "sourcedata").exists()


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
        (("dicom-spc://127.0.0.1:0", "--fsync"), 64, "dicom-scp://host:port, ssh://host/PATH or -, found dicom-spc://"),
        (("dicom://RTBIDS@127.0.0.1:0",), 64, "dicom-scp://host:port, ssh://host/PATH or -, found dicom://"),
        (("dicom-scp://no.such.host.invalid:0",), 73, "cannot listen on no.such.host.invalid:0: "),
        (("dicom-scp://[2001:db8::1]:0",), 73, "cannot listen on [2001:db8::1]:0: "),
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


def test_eight_dcmtk_senders_at_once_lose_nothing(start, tmp_path):
    store = program("storescu")
    watch = start("watch", SOURCE, "--spool", tmp_path / "spool", "--idle-timeout", "3")
    address = listening(watch)
    senders = []
    for number in range(8):
        folder = tmp_path / f"console {number}"
        folder.mkdir()
        for index, content in enumerate(dicoms(PHANTOM, number=number + 1)):
            (folder / f"{index:03d}.dcm").write_bytes(content)
        command = [store, "-aec", "RTBIDS", "+sd", address.host, str(address.port), folder]
        senders.append(subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL))
    assert [sender.wait(LONG) for sender in senders] == [0] * 8
    tar, said = watch.communicate(timeout=LONG)
    assert watch.returncode == 0
    assert len(set(uids(tar))) == len(uids(tar)) == 8 * PHANTOM.volumes
    assert said == b""


def test_dcmtk_delivers_over_tls_and_only_with_a_certificate_that_is_known(start, exported, tmp_path):
    store, echo = program("storescu"), program("echoscu")
    names = ("receiver", "scanner", "stranger")
    for name in names:
        subject = ["-subj", f"/CN={name}", "-keyout", tmp_path / f"{name}.key", "-out", tmp_path / f"{name}.pem"]
        request = [program("openssl"), "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", *subject]
        subprocess.run(request, check=True, capture_output=True)
    ours = ("--tls-cert", tmp_path / "receiver.pem", "--tls-key", tmp_path / "receiver.key")
    options = (*ours, "--tls-ca", tmp_path / "scanner.pem", "--spool", tmp_path / "spool", "--idle-timeout", "3")
    watch = start("watch", SOURCE, *options)
    address = listening(watch)

    def call_as(name: str, command: str, *rest: object) -> int:
        tls = ["+tls", tmp_path / f"{name}.key", tmp_path / f"{name}.pem", "+cf", tmp_path / "receiver.pem"]
        where = ["-aec", "RTBIDS", address.host, str(address.port)]
        return subprocess.run([command, *tls, *where, *rest], check=False, capture_output=True, timeout=LONG).returncode

    assert call_as("scanner", echo) == 0
    assert call_as("stranger", echo) != 0
    assert call_as("scanner", store, *sorted(exported.iterdir())) == 0
    tar, said = watch.communicate(timeout=LONG)
    assert watch.returncode == 0, said
    assert sorted(uids(tar)) == sorted(SENT)


def test_what_a_stop_leaves_in_the_spool_comes_at_the_next_start(start, call, script, tmp_path):
    study, spool = tmp_path / "study", tmp_path / "spool"
    options = ("--spool", spool, "--bids-dir", study)
    run = start("run", script(SCRIPT), SOURCE, *options, "--volumes", 4)
    with contextlib.suppress(ConnectionLost), Sender(listening(run)) as sender:
        sent = 0
        for content in RUN:
            sender.send(content)
            sent += 1
    _, said = run.communicate(timeout=LONG)
    assert run.returncode == 0, said
    assert len(list(spool.glob("*.dcm"))) == sent - 4
    again = call("convert", SOURCE, "--no-wait", "--spool", spool, "-o", study)
    assert again.code == 0, again.err
    counts = [nibabel.load(image).shape[3] for image in sorted(study.rglob("*_bold.nii.gz"))]
    assert counts == [count for count in (4, sent - 4) if count]
    assert not list(spool.glob("*.dcm"))
