"""``rtbids replay --as dicom`` plays the scanner for ``rtbids run``: what is archived is what was replayed."""

from __future__ import annotations

import json
import re
import signal
from pathlib import Path

import nibabel
import numpy as np
import pytest

from rtbids.convert import dicom
from rtbids.replay.forms import FORMS

SHAPE, COUNT, TR = (48, 50, 24), 15, 0.4
AFFINE = np.array([[-3.9, 0.2, 0, 90], [-0.19, -3.8, 0.9, 80.5], [-0.045, -0.91, -3.9, 60.25], [0, 0, 0, 1.0]])
AFFINE[:3, :3] = np.linalg.qr(AFFINE[:3, :3])[0] @ np.diag([3.0, 3.2, 4.0])  # oblique, with axes square to each other
AFFINE[:3, 0] *= np.sign(-np.linalg.det(AFFINE[:3, :3]))
LISTENING = re.compile(rb"listening as RTBIDS on 127\.0\.0\.1:(\d+)")
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


def lines(out: bytes) -> dict[int, list[dict]]:
    """Return the feedback by volume."""
    found: dict[int, list[dict]] = {}
    for line in map(json.loads, out.splitlines()):
        found.setdefault(line["volume"], []).append(line)
    return found


def assert_whole(study: Path, source: Path, feedback: dict[int, list[dict]]) -> None:
    assert np.array_equal(voxels(study), voxels(source))
    np.testing.assert_allclose(nibabel.load(next(study.rglob("*_bold.nii.gz"))).affine, AFFINE, atol=1e-3)
    assert "MissingVolumes" not in sidecar(study)
    kept = ("RepetitionTime", "EchoTime", "FlipAngle", "PhaseEncodingDirection", "TaskName")
    assert {key: sidecar(study)[key] for key in kept} == {key: sidecar(source)[key] for key in kept}
    assert sorted(feedback) == list(range(COUNT))
    assert not [line for several in feedback.values() for line in several if line["reason"] == "missing"]


@pytest.mark.slow
@pytest.mark.parametrize("form", FORMS)
def test_a_folder_that_the_simulator_fills_drives_a_run_live(form, source, script, start, call, tmp_path):
    export, study = tmp_path / "export", tmp_path / "study"
    export.mkdir()
    run = start("run", script(MEAN), export, "--bids-dir", study, "--feedback", "-", "--idle-timeout", "2")
    said(run, b"watching")
    played = call("replay", source, "--as", "dicom", "--form", form, "--to", export)
    assert (played.code, played.err) == (0, "")
    out, err = run.communicate(timeout=60)
    assert run.returncode == 0, err
    assert_whole(study, source, lines(out))


@pytest.mark.slow
@pytest.mark.parametrize("form", FORMS)
def test_over_the_network_as_well(form, source, script, start, call, tmp_path):
    study = tmp_path / "study"
    options = ("--spool", tmp_path / "spool", "--bids-dir", study, "--feedback", "-", "--idle-timeout", "2")
    run = start("run", script(MEAN), "dicom-scp://RTBIDS@127.0.0.1:0", *options)
    port = int(LISTENING.search(said(run, b"listening"))[1])
    played = call(
        "replay", source, "--as", "dicom", "--form", form, "--to", f"dicom://RTBIDS@127.0.0.1:{port}", "--duplicate", "2,3"
    )
    assert (played.code, played.err) == (0, "")
    out, err = run.communicate(timeout=60)
    assert run.returncode == 0, err
    assert_whole(study, source, lines(out))


@pytest.mark.slow
@pytest.mark.parametrize(("form", "write"), [("mosaic", "slow"), ("enhanced", "in-place"), ("slices", "rename")])
def test_faults_cost_their_volumes_and_no_other(form, write, source, script, start, call, tmp_path):
    export, study = tmp_path / "export", tmp_path / "study"
    export.mkdir()
    run = start("run", script(MEAN), export, "--bids-dir", study, "--feedback", "-", "--idle-timeout", "2")
    said(run, b"watching")
    faults = ("--drop", "3", "--truncate", "7", "--duplicate", "5", "--zero", "9", "--jitter", "0.1", "--pause", "11:0.7")
    played = call("replay", source, "--as", "dicom", "--form", form, "--write", write, "--to", export, *faults)
    assert (played.code, played.err) == (0, "")
    out, err = run.communicate(timeout=60)
    assert run.returncode == 0, err
    kept = [index for index in range(COUNT) if index not in (3, 7)]
    assert sidecar(study)["MissingVolumes"] == [3, 7]
    assert np.array_equal(voxels(study), voxels(source)[..., kept])
    feedback = lines(out)
    assert sorted(feedback) == list(range(COUNT))
    assert [index for index, several in feedback.items() if several[0]["reason"] == "missing"] == [3, 7]


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
        (("--as", "dicom", "--to", "dicom://PACS@127.0.0.1:1", "--truncate", "3"), 64, "over the network"),
        (("--as", "dicom", "--to", "dicom://PACS@127.0.0.1:1"), 75, "no DICOM receiver"),
        (("--as", "dicom", "--to", "taken"), 73, "found a file"),
    ],
)
def test_what_cannot_be_is_said_in_one_line(options, code, words, source, call, tmp_path):
    (tmp_path / "taken").write_text("")
    outcome = call("replay", source, *options, cwd=tmp_path)
    assert outcome.code == code
    assert words in outcome.err
    assert not (tmp_path / "there").exists()


def test_files_of_a_folder_take_no_form_and_no_entities(source, call, tmp_path):
    folder = tmp_path / "folder"
    assert call("replay", source, "--as", "dicom", "--to", folder, "--speed", "max", "--volumes", "1").code == 0
    for option in (("--form", "slices"), ("--subject", "01")):
        outcome = call("replay", folder, "--as", "dicom", "--to", tmp_path / "out", *option)
        assert outcome.code == 64, outcome.err
    assert call("replay", folder, "--as", "dicom", "--to", folder).code == 64
