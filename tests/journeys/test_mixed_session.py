"""A whole session of a scanner of our own, real series among it, in any order: every file is in the data set, once."""

from __future__ import annotations

import hashlib
import json
import random
import shutil
import signal
import subprocess
import tarfile
import threading
from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path

import dcm2niix
import mixed_session
import nibabel
import numpy as np
import pytest
from nibabel.orientations import apply_orientation, io_orientation
from pydicom import Dataset, dcmread
from test_dicom_network import SOURCE, listening
from validity import errors

from rtbids.dicomnet import Sender

LONG = 60.0  # seconds: the bound of a wait for something that takes less than five
ASIDE = {"1": "localizer", "18": "MoCoSeries", "19": "t1_mprage_sag_MPR_cor", "20": "something odd"}
BROKEN = "siemens_xa60_interrupted"  # its second volume lacks slices: refused by name, and kept as DICOM
BROKEN_ASIDE = {"6": "BOLD MOSAIC 64 resting"}


@pytest.fixture
def session(tmp_path: Path) -> Path:
    folder = tmp_path / "scanned"
    folder.mkdir()
    mixed_session.session(folder)
    return folder


def by_series(folder: Path) -> dict[str, list[Path]]:
    """Return the files of each series in the order of their names."""
    found = defaultdict(list)
    for file in sorted(folder.iterdir()):
        found[str(dcmread(file, stop_before_pixels=True).SeriesInstanceUID)].append(file)
    return dict(found)


def riffled(folder: Path) -> list[Path]:
    """Return the files with series mixed at random, the files of each in the order in which they were measured."""
    series = list(by_series(folder).values())
    order = [number for number, files in enumerate(series) for _ in files]
    random.Random(11).shuffle(order)
    streams: list[Iterator[Path]] = [iter(files) for files in series]
    return [next(streams[number]) for number in order]


def fingerprints(images: Iterator[Path]) -> Counter[tuple[str, tuple[int, ...]]]:
    """Count images by their stored voxels in the order of the patient's axes: files may keep them in any."""
    found: Counter[tuple[str, tuple[int, ...]]] = Counter()
    for path in images:
        image = nibabel.load(path)
        voxels = apply_orientation(image.dataobj.get_unscaled(), io_orientation(image.affine)).astype(np.int32)
        voxels = voxels[..., 0] if voxels.shape[3:] == (1,) else voxels
        found[hashlib.sha256(np.ascontiguousarray(voxels)).hexdigest(), voxels.shape] += 1
    return found


def wanted(series: dict[str, list[Path]], aside: set[str], place: Path) -> Counter[tuple[str, tuple[int, ...]]]:
    """Count what dcm2niix makes of each series alone, but for those that are kept aside."""
    for uid, files in series.items():
        if uid not in aside:
            alone, made = place / "alone" / uid, place / "made" / uid
            alone.mkdir(parents=True)
            made.mkdir(parents=True)
            for file in files:
                (alone / file.name).symlink_to(file)
            subprocess.run([dcm2niix.bin, "-z", "n", "-f", "%s_%e_%p", "-o", made, alone], capture_output=True, check=False)
    return fingerprints((place / "made").rglob("*.nii"))


def kept(study: Path, series: dict[str, list[Path]]) -> dict[str, set[str]]:
    """Return the instances in ``sourcedata`` by series, by the UIDs that they had before they were de-identified."""
    sent = {image(header): header for header in (dcmread(file) for files in series.values() for file in files)}
    found = defaultdict(set)
    for file in study.glob("sourcedata/sub-*/**/*.dcm"):
        header = sent[image(dcmread(file))]
        found[str(header.SeriesInstanceUID)].add(str(header.SOPInstanceUID))
    return dict(found)


def image(header: Dataset) -> tuple[int, int, bytes]:
    """Return what tells images apart whatever their UIDs."""
    return int(header.SeriesNumber), int(header.InstanceNumber), bytes(header.PixelData)


def assert_whole(study: Path, folder: Path, place: Path, without: tuple[str, ...] = ()) -> None:
    """Check that the data set has every series of `folder`: as dcm2niix's voxels, or as DICOM in ``sourcedata``."""
    series = by_series(folder)
    aside = kept(study, series)
    for uid, instances in aside.items():
        sent = {str(dcmread(file, stop_before_pixels=True).SOPInstanceUID) for file in series[uid]}
        if series[uid][0].name.startswith(without or "\0"):
            assert len(instances) == 1  # the image that lacks slices; the other is a volume
            assert instances < sent
        else:
            assert instances == sent
    listed = [line.split("\t") for line in (study / "sourcedata/series.tsv").read_text().splitlines()[1:]]
    assert {number: description for _, number, description, *_ in listed} == ({**ASIDE, **BROKEN_ASIDE} if without else ASIDE)
    looked = {uid: files for uid, files in series.items() if not files[0].name.startswith(without or "\0")}
    expected = wanted(looked, set(aside), place)
    found = fingerprints(study.glob("sub-*/**/*.nii.gz"))
    assert sum(expected.values()) >= 15
    assert not expected - found
    assert sum((found - expected).values()) == len(without)
    assert errors(study) == []


@pytest.mark.slow
def test_every_file_of_a_shuffled_session_with_real_series_is_in_the_data_set(session, tmp_path, call, real_data):
    for folder in sorted(real_data.glob("*/dicom")):
        for file in (path for path in folder.rglob("*") if path.is_file()):
            shutil.copy(file, session / f"{folder.parent.name}_{file.name}")
    files = sorted(session.iterdir())
    random.Random(5).shuffle(files)
    with tarfile.open(tmp_path / "session.tar", "w") as tar:
        for file in files:
            tar.add(file, file.name)
    study = tmp_path / "study"
    done = call("convert", tmp_path / "session.tar", "-o", study)
    assert done.code == 0, done.err
    assert "too late" not in done.err
    assert "incomplete, without slices 19, 21, 23, 25, 27, 29, 31, 33" in done.err
    assert_whole(study, session, tmp_path, (BROKEN,))


def test_a_session_that_lies_in_a_folder_is_there_as_a_whole(session, tmp_path, call):
    study = tmp_path / "study"
    done = call("convert", session, "--no-wait", "-o", study)
    assert done.code == 0, done.err
    assert_whole(study, session, tmp_path)


def test_a_session_whose_series_come_at_once_is_there_as_a_whole(session, tmp_path, start):
    folder, study = tmp_path / "export", tmp_path / "study"
    folder.mkdir()
    running = start("convert", folder, "-o", study, "--idle-timeout", "2")
    assert b"watching" in running.stderr.readline()
    for file in riffled(session):
        shutil.copy(file, folder / f".{file.name}")
        (folder / f".{file.name}").rename(folder / file.name)
    said = running.communicate(timeout=LONG)[1]
    assert running.returncode == 0, said
    assert_whole(study, session, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("command", ["convert", "run"])
def test_a_session_over_two_associations_at_once_is_there_as_a_whole(session, tmp_path, start, script, command):
    study = tmp_path / "study"
    experiment = [script("def feedback(volume, run):\n    return 1.0\n")] if command == "run" else []
    options = ("--spool", tmp_path / "spool", "--bids-dir", study, "--idle-timeout", "2")
    running = start(command, *experiment, SOURCE, *options)
    address = listening(running)
    files = riffled(session)
    odd = {uid for number, uid in enumerate(by_series(session)) if number % 2}
    shares = [[], []]
    for file in files:
        shares[str(dcmread(file, stop_before_pixels=True).SeriesInstanceUID) in odd].append(file)

    def send(share: list[Path]) -> None:
        with Sender(address) as sender:
            for file in share:
                sender.send(file.read_bytes())

    threads = [threading.Thread(target=send, args=(share,)) for share in shares]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(LONG)
    said = running.communicate(timeout=LONG)[1]
    assert running.returncode == 0, said
    assert_whole(study, session, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("images", [10, 45])
def test_a_kill_in_the_middle_of_a_session_loses_nothing(session, tmp_path, start, call, images):
    folder, study = tmp_path / "export", tmp_path / "study"
    folder.mkdir()
    files = riffled(session)
    running = start("convert", folder, "-o", study)
    assert b"watching" in running.stderr.readline()
    for file in files[: len(files) * 3 // 4]:
        shutil.copy(file, folder / f".{file.name}")
        (folder / f".{file.name}").rename(folder / file.name)
    while len(list(study.glob(".rtbids/session/*/*/dicom/*.dcm"))) < images:
        assert running.poll() is None
    running.send_signal(signal.SIGKILL)
    running.wait()
    assert errors(study) == []
    assert call("convert", session, "--no-wait", "-o", study).code == 0
    assert errors(study) == []
    assert not list((study / ".rtbids/session").iterdir())
    series = by_series(session)
    aside = kept(study, series)
    whole = {uid for uid, instances in aside.items() if len(instances) == len(series[uid])}
    assert not wanted(series, whole, tmp_path) - fingerprints(study.glob("sub-*/**/*.nii.gz"))


def test_field_maps_belong_together_and_say_what_they_are_for(session, tmp_path, call):
    study = tmp_path / "study"
    assert call("convert", session, "--no-wait", "-o", study).code == 0
    fmap = study / "sub-01/fmap"
    names = {path.name.removeprefix("sub-01_") for path in fmap.glob("*.nii.gz")}
    assert names == {
        *(f"{suffix}.nii.gz" for suffix in ("magnitude1", "magnitude2", "phasediff")),
        *(f"run-02_{suffix}.nii.gz" for suffix in ("magnitude1", "magnitude2", "phase1", "phase2")),
        *(f"dir-{direction}_epi.nii.gz" for direction in ("AP", "PA")),
    }
    runs = [f"bids::{path.relative_to(study).as_posix()}" for path in sorted(study.glob("sub-01/func/*_bold.nii.gz"))]
    assert len(runs) == 7
    echoes = [f"task-echoes_run-01_echo-{echo}" for echo in (1, 2, 3)]
    for name in ("task-slices_acq-fast_run-01", "task-parts_run-01_part-mag", "task-parts_run-01_part-phase", *echoes):
        assert f"bids::sub-01/func/sub-01_{name}_bold.nii.gz" in runs
    for name in ("phasediff", "run-02_phase1", "run-02_phase2", "dir-AP_epi", "dir-PA_epi"):
        fields = json.loads((fmap / f"sub-01_{name}.json").read_text())
        assert fields["IntendedFor"] == runs
    assert "IntendedFor" not in json.loads((fmap / "sub-01_magnitude1.json").read_text())
    assert errors(study) == []


def test_runs_name_the_field_that_a_session_map_says_their_maps_estimate(session, tmp_path, call):
    rules, study = tmp_path / "map.yaml", tmp_path / "study"
    rules.write_text(
        "rules:\n"
        + "".join(
            f"- {{match: {{name: FieldMap_{direction}}}, datatype: fmap, suffix: epi, entities: {{dir: {direction}}},"
            " metadata: {B0FieldIdentifier: pepolar}}\n"
            for direction in ("AP", "PA")
        )
    )
    assert call("convert", session, "--no-wait", "-o", study, "--session-map", rules).code == 0
    fields = [json.loads(path.read_text()) for path in study.glob("sub-01/func/*_bold.json")]
    assert [one.get("B0FieldSource") for one in fields] == ["pepolar"] * 7
    assert "IntendedFor" not in json.loads((study / "sub-01/fmap/sub-01_dir-AP_epi.json").read_text())
    assert errors(study) == []
