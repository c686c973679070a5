"""Images of functional series that are in no volume: named, not padded, and kept in ``sourcedata``."""

from __future__ import annotations

import json
import tarfile
from io import BytesIO
from pathlib import Path

import nibabel
import numpy as np
import pytest
from journeys.test_dicom_network import SOURCE, listening
from journeys.validity import errors
from peers import LONG
from pydicom import dcmread, dcmwrite

from rtbids.dicomnet import Sender
from rtbids.replay import scanner
from rtbids.replay.phantom import Phantom

PHANTOM = Phantom(shape=(16, 16, 9), voxel=(12.0, 12.0, 12.0), repetition_time=0.5, volumes=5, block=4)
SLICES = list(scanner.dicoms(PHANTOM, "slices"))
EACH = len(SLICES) // PHANTOM.volumes
SCRIPT = "def feedback(volume, run):\n    return volume.index\n"
LACKING = [*SLICES[: 3 * EACH - 2], *SLICES[3 * EACH : 5 * EACH - 4]]  # two slices of volume 2, four of the last one


def images(files: list[bytes]) -> set[tuple[int, bytes]]:
    """Return what tells images apart that are de-identified, and so have new UIDs: number and pixels."""
    return {(file.InstanceNumber, file.PixelData) for file in (dcmread(BytesIO(content)) for content in files)}


def written(files: list[bytes], folder: Path) -> Path:
    folder.mkdir()
    for number, content in enumerate(files):
        (folder / f"{number:04d}.dcm").write_bytes(content)
    return folder


def in_tar(files: list[bytes]) -> bytes:
    content = BytesIO()
    with tarfile.open(fileobj=content, mode="w") as tar:
        for number, file in enumerate(files):
            member = tarfile.TarInfo(f"{number:04d}.dcm")
            member.size = len(file)
            tar.addfile(member, BytesIO(file))
    return content.getvalue()


def kept_aside(study: Path) -> set[tuple[int, bytes]]:
    return images([file.read_bytes() for file in (study / "sourcedata").rglob("*.dcm")])


@pytest.fixture(params=["folder", "tar", "network"])
def converted(request, call, start, tmp_path):
    """Return the data set, and what was said, of the slices that lack some."""
    study = tmp_path / "study"
    if request.param == "network":
        spool = tmp_path / "spool"
        process = start("convert", SOURCE, "-o", study, "--spool", spool, "--idle-timeout", "1.5")
        with Sender(listening(process)) as sender:
            for content in LACKING:
                sender.send(content)
        _, said = process.communicate(timeout=LONG)
        assert not list(spool.glob("*.dcm"))
        return study, process.returncode, said.decode()
    if request.param == "tar":
        outcome = call("convert", "-", "-o", study, stdin=in_tar(LACKING))
    else:
        outcome = call("convert", written(LACKING, tmp_path / "export"), "--no-wait", "-o", study)
    return study, outcome.code, outcome.err


def test_slices_of_incomplete_volumes_are_kept_and_named_and_the_run_is_not_padded(converted):
    study, code, said = converted
    assert code == 0, said
    (image,) = study.rglob("*_bold.nii.gz")
    assert np.array_equal(nibabel.load(image).dataobj, np.stack([PHANTOM.volume(n) for n in (0, 1, 3)], axis=3))
    assert json.loads(Path(str(image).replace(".nii.gz", ".json")).read_text())["MissingVolumes"][0] == 2
    assert kept_aside(study) == images([*SLICES[2 * EACH : 3 * EACH - 2], *SLICES[4 * EACH : 5 * EACH - 4]])
    listed = (study / "sourcedata" / "series.tsv").read_text()
    assert "volume 2 is incomplete: 7 of 9 slices" in listed
    assert "volume 4 is incomplete: 5 of 9 slices" in listed
    assert "12 images of series 7" in said
    assert "in no volume: 12 images kept in sourcedata (DICOM, de-identified" in said
    assert "not functional:" not in said
    assert "Traceback" not in said
    assert errors(study) == []


def test_without_a_data_set_they_are_named(script, call, tmp_path):
    outcome = call("run", script(SCRIPT), written(LACKING, tmp_path / "export"), "--no-wait")
    assert outcome.code == 0, outcome.err
    assert [line["value"] for line in outcome.lines if line["status"] == "ok"] == [0, 1, 3]
    assert "volume 4 of sub-01_task-nf_run-01 is incomplete and left out: 5 of 9 slices" in outcome.err


def test_mosaics_that_lost_their_slice_count_are_refused_once_by_name_and_kept(call, tmp_path):
    files = []
    for content in scanner.dicoms(PHANTOM, "mosaic"):
        file = dcmread(BytesIO(content))
        for element in [element for element in file if element.tag.is_private]:  # as anonymisation does
            del file[element.tag]
        clean = BytesIO()
        dcmwrite(clean, file)
        files.append(clean.getvalue())
    study = tmp_path / "study"
    outcome = call("convert", written(files, tmp_path / "export"), "--no-wait", "-o", study)
    assert "Traceback" not in outcome.err
    assert not list(study.rglob("*_bold.nii.gz"))
    assert kept_aside(study) == images(files)
    said = [line for line in outcome.err.splitlines() if line.startswith("warning: ")]
    assert len(said) == 2, said  # why, and that they are kept
    assert "slice" in said[0]
    assert errors(study) == []
