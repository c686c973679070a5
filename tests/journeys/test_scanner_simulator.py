"""``rtbids replay --as dicom`` plays the scanner for ``rtbids run``: what is archived is what was replayed."""

from __future__ import annotations

import json
import re
import signal
import socket
from pathlib import Path

import nibabel
import numpy as np
import peers
import pytest

from rtbids.convert import dicom, series
from rtbids.volume import Volume

SHAPE, COUNT, TR = (48, 50, 24), 15, 0.4
AFFINE = np.array([[-3.9, 0.2, 0, 90], [-0.19, -3.8, 0.9, 80.5], [-0.045, -0.91, -3.9, 60.25], [0, 0, 0, 1.0]])
AFFINE[:3, :3] = np.linalg.qr(AFFINE[:3, :3])[0] @ np.diag([3.0, 3.2, 4.0])  # oblique, with axes square to each other
AFFINE[:3, 0] *= np.sign(-np.linalg.det(AFFINE[:3, :3]))
LISTENING = re.compile(rb"listening as RTBIDS on 127\.0\.0\.1:(\d+)")
WRITINGS = (("mosaic", "slow"), ("enhanced", "in-place"), ("slices", "rename"))  # every form, and every way
MEAN = "def feedback(volume, run):\n    return float(volume.data.mean())\n"
RUN = "sub-01_task-nf_run-01"


@pytest.fixture(scope="module")
def source(tmp_path_factory) -> Path:
    """A data set with one run at a TR of 0.4 s, made by nibabel."""
    root = tmp_path_factory.mktemp("source")
    func = root / "sub-01" / "func"
    func.mkdir(parents=True)
    voxels = np.random.default_rng(5).integers(-2000, 30000, (*SHAPE, COUNT), dtype=np.int16)
    image = nibabel.Nifti1Image(voxels, AFFINE)
    image.header.set_zooms((3.0, 3.2, 4.0, TR))
    image.header.set_xyzt_units("mm", "sec")
    image.to_filename(func / f"{RUN}_bold.nii.gz")
    fields = {"RepetitionTime": TR, "TaskName": "nf", "EchoTime": 0.03, "FlipAngle": 40.0, "PhaseEncodingDirection": "j"}
    (func / f"{RUN}_bold.json").write_text(json.dumps(fields))
    (root / "dataset_description.json").write_text(json.dumps({"Name": "source", "BIDSVersion": "1.10.0"}))
    return root


def voxels(root: Path) -> np.ndarray:
    return np.asarray(nibabel.load(root / "sub-01" / "func" / f"{RUN}_bold.nii.gz").dataobj)


def sidecar(root: Path) -> dict:
    return json.loads((root / "sub-01" / "func" / f"{RUN}_bold.json").read_text())


def said(process, words: bytes) -> bytes:
    """Wait until a command says these words; return the line."""
    for line in process.stderr:
        if words in line:
            return line
    raise AssertionError(f"it ended before it said {words!r}")


def assert_archived(study: Path, source: Path, missing: list[int]) -> None:
    """Hold the data set against the source: every volume but those that are missing, and these are named."""
    kept = [index for index in range(COUNT) if index not in missing]
    assert np.array_equal(voxels(study), voxels(source)[..., kept])
    np.testing.assert_allclose(nibabel.load(next(study.rglob("*_bold.nii.gz"))).affine, AFFINE, atol=1e-3)
    assert sidecar(study).get("MissingVolumes", []) == missing
    fields = ("RepetitionTime", "EchoTime", "FlipAngle", "PhaseEncodingDirection", "TaskName")
    assert {key: sidecar(study)[key] for key in fields} == {key: sidecar(source)[key] for key in fields}


def assert_answered(out: bytes, source: Path, missing: list[int]) -> None:
    """Hold the feedback against the source: a line a volume, in order, each with its own volume's mean but those missing."""
    lines = [json.loads(line) for line in out.splitlines()]
    assert [(line["volume"], line["status"], line["reason"]) for line in lines] == [
        (index, "alternate", "missing") if index in missing else (index, "ok", None) for index in range(COUNT)
    ]
    answered = [line for line in lines if line["status"] == "ok"]
    means = voxels(source).reshape(-1, COUNT).mean(axis=0)
    assert [line["value"] for line in answered] == pytest.approx([means[line["volume"]] for line in answered], rel=1e-12)
    late = [line["sent"] - line["received"] for line in answered]
    assert np.median(late) < TR  # not each: the machine that runs the tests may stall for once, for which there is PATIENT


def ended_after(run, last: int) -> bytes:
    """Press Ctrl-C when volume `last` is answered; return the feedback."""
    out = b""
    for line in run.stdout:
        out += line
        if json.loads(line)["volume"] == last:
            break
    run.send_signal(signal.SIGINT)
    out += run.stdout.read()
    said = run.stderr.read()
    assert run.wait(60) == 130, said
    return out


PATIENT = ("--deadline", 5 * TR, "--feedback", "-")
HARMLESS = ("--duplicate", "5", "--zero", "9", "--jitter", "0.1", "--pause", "11:0.7")
HARMFUL = ("--drop", "3", "--truncate", "6", "--short", "7", "--duplicate", "5", "--jitter", "0.1", "--seed", "1")


@pytest.fixture
def into_folder(start, script, tmp_path):
    """Start a run on a folder; gives its process, and the folder."""
    export = tmp_path / "export"
    export.mkdir()
    run = start("run", script(MEAN), export, "--bids-dir", tmp_path / "study", *PATIENT)
    said(run, b"watching")
    return run, export


@pytest.fixture
def over_network(start, script, tmp_path):
    """Start a run on a port; gives its process, and the receiver's address."""
    options = ("--spool", tmp_path / "spool", "--bids-dir", tmp_path / "study", *PATIENT)
    run = start("run", script(MEAN), "dicom-scp://RTBIDS@127.0.0.1:0", *options)
    port = int(LISTENING.search(said(run, b"listening"))[1])
    return run, f"dicom://RTBIDS@127.0.0.1:{port}"


# Each sort of faults meets every form and way of writing, and both ways of arriving.
PLAYED = [
    pytest.param(way, *writing, *faults, id=f"{name}-{'-'.join(writing)}-{way}")
    for one, (name, faults) in enumerate({"harmless": (HARMLESS, []), "harmful": (HARMFUL, [3, 6, 7])}.items())
    for two, writing in enumerate(WRITINGS)
    for way in [("into_folder", "over_network")[(one + two) % 2]]
]


@pytest.mark.alone
@pytest.mark.slow
@pytest.mark.parametrize(("way", "form", "write", "faults", "missing"), PLAYED)
def test_the_simulator_drives_a_run_live_and_faults_cost_their_volumes_alone(
    way, form, write, faults, missing, source, call, request, tmp_path
):
    run, destination = request.getfixturevalue(way)
    if missing and form == "slices":  # of one that is not whole at the end some slices are there: it is known to be missing
        faults, missing = (*faults, "--truncate", f"6,{COUNT - 1}"), [*missing, COUNT - 1]
    way_of_writing = () if way == "over_network" and write == "in-place" else ("--write", write)
    played = call("replay", source, "--as", "dicom", "--form", form, "--to", destination, *way_of_writing, *faults)
    assert played.code == 0
    assert all("not stored" in line for line in played.err.splitlines())
    out = ended_after(run, max(set(range(COUNT)) - set(missing)))
    assert_archived(tmp_path / "study", source, missing)
    assert_answered(out, source, missing)


@pytest.mark.alone
def test_a_volume_that_waits_for_one_that_is_lost_has_its_feedback_on_time(source, start, script, call, tmp_path):
    export, study = tmp_path / "export", tmp_path / "study"
    export.mkdir()
    run = start("run", script(MEAN), export, "--bids-dir", study, "--deadline", "0.1", "--feedback", "-", "--volumes", "6")
    said(run, b"watching")
    assert call("replay", source, "--as", "dicom", "--to", export, "--drop", "3", "--volumes", "8").code == 0
    lines = [json.loads(line) for line in run.stdout.read().splitlines()]
    assert run.wait(60) == 0
    assert [line["volume"] for line in lines] == list(range(7))
    lost, held = lines[3:5]
    assert (lost["status"], lost["reason"]) == ("alternate", "missing")
    assert (held["status"], held["reason"]) == ("alternate", "deadline")
    times = (study / "derivatives" / "rtbids" / "sub-01" / "func" / f"{RUN}_desc-latency_timeseries.tsv").read_text()
    (row,) = [line.split("\t") for line in times.splitlines() if line.startswith("4\t")]
    converted, sent = float(row[3]), float(row[6])
    assert (
        held["sent"] == sent < converted
    )  # it left while the volume waited for the lost one, which takes a quarter of a second


@pytest.mark.alone
def test_ctrl_c_ends_the_scan_in_order(source, start, tmp_path):
    export = tmp_path / "export"
    options = ("--as", "dicom", "--write", "slow", "--speed", "0.1", "--to", export)
    played = start("replay", source, *options)
    while not (export.exists() and any(export.iterdir())):  # in the middle of its first file, which takes two seconds
        assert played.poll() is None
    played.send_signal(signal.SIGINT)
    played.communicate(timeout=10)
    assert played.returncode == 130
    (file,) = export.iterdir()
    assert dicom.read(file.read_bytes(), file.name, 0.0).dataset.InstanceNumber == 1  # what was begun is whole


def test_a_dicom_folder_is_played_again_as_it_is(source, call, tmp_path):
    first, again = tmp_path / "first", tmp_path / "again"
    assert call("replay", source, "--as", "dicom", "--to", first, "--speed", "max", "--volumes", "4").code == 0
    assert call("replay", first, "--as", "dicom", "--to", again, "--speed", "max").code == 0
    files = sorted(path.name for path in first.iterdir())
    assert len(files) == 4
    assert [(again / name).read_bytes() for name in files] == [(first / name).read_bytes() for name in files]
    assert sorted(path.name for path in again.iterdir()) == files


@pytest.mark.parametrize(
    ("options", "code", "words"),
    [
        (("--drop", "3"), 64, "--as dicom"),
        (("--as", "dicom"), 64, "expected, with --as dicom, a folder"),
        (("--as", "dicom", "--to", "there", "--drop", "-1"), 64, "counted from 0"),
        (("--as", "dicom", "--to", "there", "--pause", "3"), 64, "20:5"),
        (("--as", "dicom", "--to", "dicom://PACS@127.0.0.1:1", "--write", "in-place"), 64, "for files in a folder"),
        (("--as", "dicom", "--to", "dicom://PACS@127.0.0.1:1", "--open-timeout", "0.2"), 75, "no DICOM receiver"),
        (("--as", "dicom", "--to", "taken"), 73, "found a file"),
    ],
)
def test_what_cannot_be_is_said_in_one_line(options, code, words, source, call, tmp_path):
    (tmp_path / "taken").write_text("")
    outcome = call("replay", source, *options, cwd=tmp_path)
    assert outcome.code == code
    assert words in outcome.err
    assert not (tmp_path / "there").exists()


ASKED = ("drop", "duplicate", "truncate", "short", "zero")


@pytest.mark.parametrize("option", [*((f"--{name}", "2,99,100") for name in ASKED), ("--pause", "99:1")])
@pytest.mark.parametrize("folder", [False, True], ids=["a data set", "a DICOM folder"])
def test_volumes_that_the_replay_does_not_have_are_named(folder, option, source, call, tmp_path):
    if folder:
        assert call("replay", source, "--as", "dicom", "--to", tmp_path / "scan", "--speed", "max", "--volumes", "4").code == 0
    given = tmp_path / "scan" if folder else source
    outcome = call("replay", given, "--as", "dicom", "--to", tmp_path / "there", "--speed", "max", "--volumes", "4", *option)
    assert outcome.code == 0, outcome.err
    numbers = "99, 100" if "," in option[1] else "99"
    assert f"{option[0]} {numbers}: the replay had volumes 0 to 3 only" in outcome.err


def test_a_replay_of_which_every_volume_is_dropped_is_64(source, call, tmp_path):
    numbers = ",".join(map(str, range(COUNT)))
    outcome = call("replay", source, "--as", "dicom", "--to", tmp_path / "there", "--speed", "max", "--drop", numbers)
    assert outcome.code == 64
    assert f"--drop left out all {COUNT} volumes of the replay, so that none has left" in outcome.err
    assert not list((tmp_path / "there").iterdir())


def test_files_of_a_folder_take_no_form_and_no_entities(source, call, tmp_path):
    folder = tmp_path / "folder"
    assert call("replay", source, "--as", "dicom", "--to", folder, "--speed", "max", "--volumes", "1").code == 0
    for option in (("--form", "slices"), ("--subject", "01")):
        outcome = call("replay", folder, "--as", "dicom", "--to", tmp_path / "out", *option)
        assert outcome.code == 64, outcome.err
    assert call("replay", folder, "--as", "dicom", "--to", folder).code == 64


DCMTK = {"explicit and implicit": (), "implicit only": ("+xi",), "implicit first": ("+x=",)}


@pytest.mark.parametrize("options", DCMTK.values(), ids=DCMTK)
def test_dcmtk_receives(options, source, call, tmp_path):
    port, stored = peers.free_port(), tmp_path / "stored"
    stored.mkdir()
    destination = f"dicom://PACS@127.0.0.1:{port}"
    faults = ("--speed", "max", "--volumes", "4", "--truncate", "1", "--zero", "2", "--write", "slow", "--form", "enhanced")
    with peers.running(peers.program("storescp"), *options, "-aet", "PACS", "-od", stored, port):
        peers.until(lambda: socket.create_connection(("127.0.0.1", port)).close(), "storescp does not listen")
        played = call("replay", source, "--as", "dicom", "--to", destination, *faults)
    assert (played.code, played.err) == (0, "")
    assert_images([path.read_bytes() for path in stored.iterdir()], [0, 2, 3], source)


def test_orthanc_receives(source, call, tmp_path):
    port = peers.free_port()
    server = {"DicomServerEnabled": True, "DicomPort": port, "DicomAet": "ORTHANC", "DicomCheckCalledAet": True}
    faults = ("--speed", "max", "--volumes", "4", "--truncate", "1", "--duplicate", "2")
    with peers.orthanc(tmp_path, **server) as web:
        wrong = call("replay", source, "--as", "dicom", "--to", f"dicom://PACS@127.0.0.1:{port}")
        played = call("replay", source, "--as", "dicom", "--to", f"dicom://ORTHANC@127.0.0.1:{port}", *faults)
        stored = json.loads(peers.ask(web, "GET", "/instances"))
        images = [peers.ask(web, "GET", f"/instances/{one}/file") for one in stored]
    assert (wrong.code, len(wrong.err.splitlines())) == (75, 2)
    assert "refused the association" in wrong.err
    assert (played.code, played.err) == (0, "")
    assert_images(images, [0, 2, 3], source)


def assert_images(images: list[bytes], volumes: list[int], source: Path) -> None:
    """Hold what a receiver keeps against the volumes of the source, voxel by voxel, through rtbids' own conversion."""
    read = [dicom.read(content, "image", 0.0) for content in images]
    read.sort(key=lambda instance: int(instance.dataset.InstanceNumber))
    found = [item for item in series.volumes(read, series.Assembler({}, series.counter())) if isinstance(item, Volume)]
    assert [volume.index for volume in found] == volumes
    for volume in found:
        np.testing.assert_array_equal(volume.data, voxels(source)[..., volume.index])
