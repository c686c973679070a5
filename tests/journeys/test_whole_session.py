"""A session of every kind of series, in any order, becomes a data set."""

from __future__ import annotations

import json
import random
import re
import shutil
import signal
import stat
import tarfile
from pathlib import Path

import nibabel
import numpy as np
import pytest
from series_of_a_session import BOLD, GREY, bold, field_map, write
from validity import errors

from rtbids.archive.dataset import Archive
from rtbids.cli.whole_session import ALL, placed
from rtbids.convert import dicom, whole_series
from rtbids.convert.series import Assembler
from rtbids.wakeup import Wakeup

PLACED = {
    "anat/sub-01_T1w.nii.gz",
    "anat/sub-01_acq-fast_T2w.nii.gz",
    "anat/sub-01_FLAIR.nii.gz",
    "fmap/sub-01_magnitude1.nii.gz",
    "fmap/sub-01_magnitude2.nii.gz",
    "fmap/sub-01_phasediff.nii.gz",
    "func/sub-01_task-rest_run-01_bold.nii.gz",
    "func/sub-01_task-rest_run-01_sbref.nii.gz",
}


@pytest.fixture
def session(tmp_path: Path) -> Path:
    folder = tmp_path / "export"
    write(folder, 1, "localizer")
    write(folder, 2, "t1_mprage_sag")
    write(folder, 3, "t2_spc_acq-fast")
    field_map(folder, 5)
    write(folder, 7, "task-rest_bold_SBRef", ProtocolName="task-rest_bold", **BOLD)
    bold(folder, 8)
    write(folder, 9, "flair")
    write(folder, 10, "something odd")
    write(folder, 11, "t1_mprage result", BurnedInAnnotation="YES")
    write(folder, 12, "t1_mprage shot", SOPClassUID="1.2.840.10008.5.1.4.1.1.7")
    return folder


def images(study: Path) -> set[str]:
    return {path.relative_to(study / "sub-01").as_posix() for path in study.glob("sub-01/*/*.nii.gz")}


def shuffled(folder: Path, stream: Path) -> Path:
    files = sorted(folder.iterdir())
    random.Random(5).shuffle(files)
    with tarfile.open(stream, "w") as tar:
        for file in files:
            tar.add(file, file.name)
    return stream


def test_a_mixed_session_in_shuffled_order_becomes_a_data_set_without_errors(session, tmp_path, call, real_data):
    for name in ("canon_classic_dti", "uih_grid_dti"):
        for file in (path for path in (real_data / name).rglob("*") if path.is_file()):
            shutil.copy(file, session / f"{name}_{file.name}")
    study = tmp_path / "study"
    done = call("convert", shuffled(session, tmp_path / "session.tar"), "-o", study)
    assert done.code == 0, done.err
    diffusion = {path for path in images(study) if path.startswith("dwi/")}
    assert images(study) - diffusion == PLACED
    assert len(diffusion) == 2
    for path in diffusion:
        base = study / "sub-01" / path.removesuffix(".nii.gz")
        assert base.with_suffix(".bval").exists()
        assert base.with_suffix(".bvec").exists()
    assert errors(study) == []
    assert "8 series placed, 4 series kept in sourcedata" in done.err


def test_the_voxels_are_those_that_the_scanner_made(session, tmp_path, call):
    assert call("convert", session, "--no-wait", "-o", tmp_path / "study").code == 0
    image = nibabel.as_closest_canonical(nibabel.load(tmp_path / "study/sub-01/anat/sub-01_T1w.nii.gz"))
    assert np.array_equal(np.asanyarray(image.dataobj), GREY.transpose(2, 1, 0)[::-1, ::-1])  # DICOM counts to left and back


def test_unknown_series_are_listed_and_for_their_owner_only(session, tmp_path, call, runtime_folder):
    study = tmp_path / "study"
    done = call("convert", session, "--no-wait", "-o", study)
    head, *rows = [line.split("\t") for line in (study / "sourcedata/series.tsv").read_text().splitlines()]
    found = [dict(zip(head, row, strict=True)) for row in rows]
    assert {row["series"]: row["reason"] for row in found} == {
        "1": "a localizer; BIDS has no place for it",
        "10": "no rule of the session map fits",
        "11": "text is burned into its pixels; 6 images that cannot be de-identified are not here",
        "12": "it is a screenshot; 6 images that cannot be de-identified are not here",
    }
    for row in found:
        folder = study / "sourcedata" / row["folder"]
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
        assert [stat.S_IMODE(file.stat().st_mode) for file in folder.iterdir()] == [0o600] * int(row["images"])
    refused = [path for path in (runtime_folder / "refused" / "study").rglob("*") if path.is_file()]
    assert len(refused) >= 12
    assert {stat.S_IMODE(path.stat().st_mode) for path in refused} == {0o600}
    assert "series 10 (something odd) is kept as DICOM in sourcedata: no rule of the session map fits" in done.err
    assert "4 series kept in sourcedata (DICOM, de-identified, readable by you alone; see" in done.err


def test_no_identifier_is_in_what_is_placed(session, tmp_path, call):
    study = tmp_path / "study"
    call("convert", session, "--no-wait", "-o", study)
    texts = [path.read_bytes() for path in study.rglob("*.json")]
    texts += [nibabel.load(path).header.binaryblock for path in study.rglob("*.nii.gz")]
    assert len(texts) > 2 * len(PLACED)
    secrets = (b"Nemo", b"secret", b"4711", b"1970", b"10:11:12", b"101112", b"2020", b"1.77", b"77,")
    assert not [text for text in texts for secret in secrets if secret in text]
    fields = {key for text in texts[: -len(PLACED)] for key in json.loads(text)}
    said = re.compile(
        "^Patient(?!Position)|Study|Procedure|Institution|Physician|Station|Serial|Comment|UID|Date|(?<!Echo)Time$"
    )
    assert {key for key in fields if said.search(key)} <= {"RepetitionTime", "TotalReadoutTime"}


def test_the_reference_is_named_as_the_run_that_follows_it(tmp_path, call):
    folder = tmp_path / "export"
    for series, reference in ((3, 4), (5, 6)):
        write(folder, series, "nf_SBRef", ProtocolName="nf", **BOLD)
        bold(folder, reference, "nf")
    call("convert", folder, "--no-wait", "-o", tmp_path / "study")
    assert images(tmp_path / "study") == {
        f"func/sub-01_task-nf_run-{run}_{suffix}.nii.gz" for run in ("01", "02") for suffix in ("bold", "sbref")
    }
    sidecar = json.loads((tmp_path / "study/sub-01/func/sub-01_task-nf_run-02_sbref.json").read_text())
    assert (sidecar["TaskName"], sidecar["SeriesNumber"]) == ("nf", 5)


def test_a_phase_difference_without_its_magnitudes_is_kept_aside(tmp_path, call):
    folder = tmp_path / "export"
    write(folder, 6, "gre_field_mapping", ImageType=["ORIGINAL", "PRIMARY", "P", "ND"], EchoTime="7.38")
    bold(folder)
    call("convert", folder, "--no-wait", "-o", tmp_path / "study")
    assert "phasediff needs EchoTime1, EchoTime2" in (tmp_path / "study/sourcedata/series.tsv").read_text()
    assert errors(tmp_path / "study") == []


def test_a_map_of_ones_own_changes_where_series_go(session, tmp_path, call):
    own = tmp_path / "map.yaml"
    own.write_text(
        "rules:\n- match: {SeriesDescription: odd}\n  datatype: anat\n  suffix: T2starw\n  entities: {acquisition: odd}\n"
    )
    study = tmp_path / "study"
    done = call("convert", session, "--no-wait", "-o", study, "--session-map", own, "--subject", "01", "--session", "2")
    assert done.code == 0, done.err
    assert (study / "sub-01/ses-2/anat/sub-01_ses-2_acq-odd_T2starw.nii.gz").exists()
    assert (study / "sub-01/ses-2/anat/sub-01_ses-2_T1w.nii.gz").exists()
    assert errors(study) == []


def test_a_wrong_map_is_named_before_anything_is_written(session, tmp_path, call):
    own = tmp_path / "map.yaml"
    own.write_text("rules:\n- match: {name: odd}\n  datatype: anat\n  suffix: T9w\n")
    done = call("convert", session, "--no-wait", "-o", tmp_path / "study", "--session-map", own)
    assert done.code == 64
    assert "rule 1: expected sourcedata or one of anat:" in done.err


def test_functional_only_leaves_the_others_alone(session, tmp_path, call):
    done = call("convert", session, "--no-wait", "-o", tmp_path / "study", "--functional-only")
    assert images(tmp_path / "study") == {"func/sub-01_task-rest_run-01_bold.nii.gz"}
    assert "series 2 (t1_mprage_sag) is not functional: left alone" in done.err
    assert not (tmp_path / "study/sourcedata").exists()


def test_run_places_them_too(session, tmp_path, call, script):
    experiment = script("def feedback(volume, run):\n    return float(volume.data.mean())\n")
    done = call("run", experiment, session, "--no-wait", "--bids-dir", tmp_path / "study")
    assert done.code == 0, done.err
    assert images(tmp_path / "study") == PLACED
    assert errors(tmp_path / "study") == []


def test_a_reference_that_waits_when_rtbids_is_killed_has_the_name_of_the_run_that_comes_then(tmp_path, call, start):
    folder, study = tmp_path / "export", tmp_path / "study"
    write(folder, 3, "nf_SBRef", ProtocolName="nf", **BOLD)
    running = start("convert", folder, "-o", study, "--idle-timeout", "0.5")
    assert running.wait() == 0
    (placed,) = study.glob("sub-01/func/*_sbref.nii.gz")
    assert placed.name == "sub-01_task-nf_sbref.nii.gz"  # no run came
    again = tmp_path / "again"
    with Archive(again) as archive:  # as a kill leaves it
        room = archive.waiting_room()
        waiting = room.new()
        for file in folder.iterdir():
            shutil.copy(file, waiting.dicom)
        waiting.note({"number": 3, "description": "nf_SBRef", "owner": {"subject": "01"}, "sequel": 0})
        room.close()
    bold(tmp_path / "then", 4, "nf")
    assert call("convert", tmp_path / "then", "--no-wait", "-o", again).code == 0
    assert images(again) == {f"func/sub-01_task-nf_run-01_{suffix}.nii.gz" for suffix in ("bold", "sbref")}
    assert not list((again / ".rtbids/session").iterdir())
    assert errors(again) == []


def test_what_waits_when_rtbids_is_killed_is_kept_by_the_next(tmp_path, call, start):
    folder, study = tmp_path / "export", tmp_path / "study"
    write(folder, 2, "t1_mprage_sag")
    bold(folder)
    running = start("convert", folder, "-o", study)
    for line in running.stderr:  # the run ends with its third volume of six slices or never; the anatomy waits in any case
        if b"watching" in line:
            break
    waiting = study / ".rtbids" / "session"
    while len(list(waiting.glob("*/*/dicom/*.dcm"))) < 6:
        assert running.poll() is None
    running.send_signal(signal.SIGKILL)
    running.wait()
    empty = tmp_path / "other"
    bold(empty, 20)
    assert call("convert", empty, "--no-wait", "-o", study).code == 0
    assert "killed while more of it may have been coming" in (study / "sourcedata/series.tsv").read_text()
    assert len(list((study / "sourcedata/sub-01/series-002").iterdir())) == 6
    assert not list(waiting.iterdir())
    assert errors(study) == []


@pytest.mark.parametrize("again", [3, 2, 0])  # the images that come after the kill: the rest alone, one that was there, all
def test_a_series_that_a_kill_cut_is_placed_whole_when_its_rest_has_come(tmp_path, again):
    write(tmp_path / "export", 2, "t1_mprage_sag")
    files = sorted((tmp_path / "export").iterdir())
    with Archive(tmp_path / "study") as archive:  # as a kill leaves it after three of six slices
        room = archive.waiting_room()
        waiting = room.new()
        waiting.note({"number": 2, "description": "t1_mprage_sag", "owner": {"subject": "01"}})
        for file in files[:3]:
            shutil.copy(file, waiting.dicom / f"{file.name}.dcm")
        room.close()
    with Archive(tmp_path / "study") as archive, placed(archive, ALL, {}) as others:
        assembler = Assembler({}, archive.number, others=others)
        for file in files[again:]:
            assembler.add(dicom.read(file.read_bytes(), file.name, 0.0), 0.0)
        assembler.finish()
    assert nibabel.load(tmp_path / "study/sub-01/anat/sub-01_T1w.nii.gz").shape[2] == 6
    assert not (tmp_path / "study/sourcedata").exists()
    assert not list((tmp_path / "study/.rtbids/session").iterdir())


def test_parts_that_several_kills_left_of_a_series_are_kept_as_one(tmp_path):
    files = {number: write(tmp_path / f"export-{number}", number, "t1_mprage_sag") for number in (2, 3)}
    with Archive(tmp_path / "study") as archive:
        room = archive.waiting_room()
        for number, part in ((2, slice(0, 3)), (3, slice(0, 3)), (2, slice(2, 6))):
            waiting = room.new()
            waiting.note({"number": number, "description": "t1_mprage_sag", "owner": {"subject": "01"}})
            for file in files[number][part]:
                shutil.copy(file, waiting.dicom / f"{file.name}.dcm")
        room.close()
    with Archive(tmp_path / "study") as archive, placed(archive, ALL, {}) as others:
        Assembler({}, archive.number, others=others).finish()
    folders = {place.name: len(list(place.iterdir())) for place in (tmp_path / "study/sourcedata/sub-01").iterdir()}
    assert folders == {"series-002": 6, "series-003": 3}
    assert not list((tmp_path / "study/.rtbids/session").iterdir())


@pytest.mark.parametrize("how", ["stop", "leave"])  # by Ctrl-C, and by --volumes or an error
def test_a_series_that_is_cut_twice_waits_twice_and_is_placed_whole(tmp_path, how, capsys):
    study, files = tmp_path / "study", write(tmp_path / "export", 2, "t1_mprage_sag")
    for part in (files[:2], files[2:4], files[4:]):
        stop, is_last = Wakeup(), part[-1] is files[-1]
        with Archive(study) as archive, placed(archive, ALL, {}, stop) as others:
            assembler = Assembler({}, archive.number, others=others)
            for file in part:
                assembler.add(dicom.read(file.read_bytes(), file.name, 0.0), 0.0)
            if how == "stop" and not is_last:
                stop.set()
            if how == "stop" or is_last:
                assembler.finish()
        said = capsys.readouterr().err
        assert images(study) == ({"anat/sub-01_T1w.nii.gz"} if is_last else set())
        assert ("series 2 (t1_mprage_sag) waits with" in said) is not is_last
        assert (f"`rtbids convert SOURCE -o {study}`" in said) is not is_last
    assert nibabel.load(study / "sub-01/anat/sub-01_T1w.nii.gz").shape[2] == 6
    assert not list((study / ".rtbids/session").iterdir())


def test_dcm2niix_is_asked_once_of_a_series_that_waits_for_others(tmp_path, monkeypatch):
    folder, asked = tmp_path / "export", []
    write(folder, 3, "nf_SBRef", ProtocolName="nf", **BOLD)
    for series in (4, 5, 6):
        write(folder, series, "t2_spc_acq-fast")
    convert = whole_series.convert
    monkeypatch.setattr(whole_series, "convert", lambda place, made, **how: asked.append(place) or convert(place, made, **how))
    with Archive(tmp_path / "study") as archive, placed(archive, ALL, {}) as others:
        assembler = Assembler({}, archive.number, others=others)
        for file in sorted(folder.iterdir()):
            assembler.add(dicom.read(file.read_bytes(), file.name, 0.0), 0.0)
        assembler.finish()
    assert len(asked) == len(set(asked)) == 4
    t2w = {f"anat/sub-01_acq-fast_{run}T2w.nii.gz" for run in ("", "run-02_", "run-03_")}
    assert images(tmp_path / "study") == {"func/sub-01_task-nf_sbref.nii.gz", *t2w}
    assert not list((tmp_path / "study/.rtbids/session").iterdir())
