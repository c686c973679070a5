"""One source to several places on this machine: the same in each, and whoever fails or waits says so."""

from __future__ import annotations

import io
import os
import subprocess
import tarfile
from contextlib import suppress
from pathlib import Path

import nibabel
import numpy as np
import pytest

from rtbids.replay import scanner
from rtbids.replay.phantom import Phantom
from rtbids.stream import bidsi, fifo
from rtbids.volume import volumes as volumes_of

PHANTOM = Phantom(shape=(16, 16, 9), voxel=(12.0, 12.0, 12.0), repetition_time=0.5, volumes=12, block=4)


@pytest.fixture
def export(tmp_path: Path) -> Path:
    folder = tmp_path / "export"
    folder.mkdir()
    scanner.scan(scanner.dicoms(PHANTOM), folder, interval=0)
    return folder


@pytest.fixture
def volumes(export: Path, call, tmp_path: Path) -> Path:
    assert call("convert", export, "--no-wait", "--to", tmp_path / "volumes.tar").code == 0
    return tmp_path / "volumes.tar"


def test_a_dicom_file_among_volumes_does_not_go_as_it_came(volumes, export, call, tmp_path):
    image = next(export.iterdir())
    with tarfile.open(tmp_path / "mixed.tar", "w", format=tarfile.PAX_FORMAT) as mixed, tarfile.open(volumes) as before:
        for member in before:
            mixed.addfile(member, before.extractfile(member))
        mixed.add(image, "sub-01/notes.dcm")
    outcome = call("stream", tmp_path / "mixed.tar", tmp_path / "out.tar")
    assert outcome.code == 65
    assert "sub-01/notes.dcm: a DICOM file among BIDS-I would go as it came" in outcome.err
    assert b"DICM" not in (tmp_path / "out.tar").read_bytes()
    assert call("stream", tmp_path / "mixed.tar", tmp_path / "as_it_is.tar", "--identified").code == 0


def pipe(path: Path) -> Path:
    os.mkfifo(path, 0o600)
    return path


def voxels(study: Path) -> np.ndarray:
    (file,) = study.rglob("*_bold.nii.gz")
    return np.asarray(nibabel.load(file).dataobj)


def test_a_folder_of_dicom_goes_to_a_pipe_a_tar_a_data_set_and_standard_output(export, start, tmp_path):
    reader = start("convert", pipe(tmp_path / "pipe"), "--to", tmp_path / "piped.tar")
    process = start("stream", export, tmp_path / "pipe", tmp_path / "run.tar", tmp_path / "study", "-", "--no-wait")
    out, err = process.communicate(timeout=60)
    assert process.returncode == 0, err.decode()
    assert reader.wait(30) == 0
    assert out == (tmp_path / "run.tar").read_bytes() == (tmp_path / "piped.tar").read_bytes()
    indices = [item.index for item in volumes_of(bidsi.read(io.BytesIO(out)))]
    assert indices == list(range(12))
    assert np.array_equal(voxels(tmp_path / "study"), np.stack([PHANTOM.volume(n) for n in range(12)], axis=3))
    for line in (b"standard output: 12 images", b"run.tar: 12 images", b"12 volumes in"):
        assert line in err


def test_a_stream_of_dicom_files_passes_as_it_is_and_a_data_set_gets_it_converted(export, call, tmp_path):
    assert call("watch", export, "--no-wait", "--to", tmp_path / "files.tar").code == 0
    outcome = call("stream", tmp_path / "files.tar", tmp_path / "copy.tar", tmp_path / "study")
    assert outcome.code == 0, outcome.err
    assert (tmp_path / "copy.tar").read_bytes() == (tmp_path / "files.tar").read_bytes()
    assert np.array_equal(voxels(tmp_path / "study"), np.stack([PHANTOM.volume(n) for n in range(12)], axis=3))


def test_an_unpacked_stream_is_the_stream_with_its_readme_and_without_what_lies_elsewhere(volumes, call, tmp_path):
    unpacked = tmp_path / "unpacked"
    unpacked.mkdir()
    subprocess.run(["tar", "xf", volumes, "-C", unpacked], check=True)
    (unpacked / "README").write_text("of a phantom")
    (tmp_path / "elsewhere").write_text("no part of it")
    (unpacked / "CHANGES").symlink_to(tmp_path / "elsewhere")
    outcome = call("stream", unpacked, tmp_path / "again.tar")
    assert outcome.code == 0, outcome.err
    assert "a link that leads out of" in outcome.err
    before, after = (subprocess.check_output(["tar", "tf", one]).split() for one in (volumes, tmp_path / "again.tar"))
    assert after == [before[0], b"README", *before[1:]]


def test_where_nobody_reads_a_pipe_the_others_get_all_and_the_command_says_who_is_missing(volumes, call, tmp_path):
    arguments = [pipe(tmp_path / "pipe"), tmp_path / "copy.tar", "--open-timeout", 0.5]
    outcome = call("stream", volumes, *arguments)
    assert outcome.code == 74
    assert f"nobody reads {tmp_path / 'pipe'}: waited 0.5 s" in outcome.err
    assert (tmp_path / "copy.tar").read_bytes() == volumes.read_bytes()


def test_a_reader_that_never_takes_anything_holds_up_no_other_when_volumes_may_be_dropped(volumes, start, tmp_path):
    held = pipe(tmp_path / "pipe")
    process = start("stream", volumes, held, tmp_path / "copy.tar", "--when-full", "drop", "--queue", 0, "-v")
    with fifo.open_reader(held, 30) as reader:
        while not (tmp_path / "copy.tar").exists() or (tmp_path / "copy.tar").stat().st_size < volumes.stat().st_size:
            assert process.poll() is None, process.stderr.read().decode()
        content = b"".join(iter(lambda: reader.read(1 << 16), b""))
    assert process.wait(30) == 0, process.stderr.read().decode()
    assert len(content) <= volumes.stat().st_size
    assert (tmp_path / "copy.tar").read_bytes() == volumes.read_bytes()


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda content: content[: len(content) // 2], "ended"),
        (lambda content: content[:1024] + os.urandom(4096) + content[5120:], "is refused"),
        (lambda content: b"", "ended before its end mark"),
    ],
    ids=["cut", "garbage", "nothing"],
)
def test_garbage_and_cuts_on_a_pipe_are_said_in_one_line(spoil, said, volumes, start, tmp_path):
    source = pipe(tmp_path / "pipe")
    process = start("stream", source, tmp_path / "copy.tar")
    with fifo.open_writer(source, 30) as writer, suppress(BrokenPipeError):  # it had seen enough
        writer.write(spoil(volumes.read_bytes()))
    _, err = process.communicate(timeout=30)
    assert process.returncode == 74, err.decode()
    (line,) = [line for line in err.decode().splitlines() if line.startswith("rtbids:")]
    assert str(source) in line
    assert said in line
    assert b"Traceback" not in err


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["nothing.tar", "x.tar"], 66, "no such file"),
        (["{volumes}", "{volumes}"], 64, "named twice"),
        (["{volumes}", "x.tar", "./x.tar"], 64, "named twice"),
        (["{volumes}", "s3://bucket"], 64, "found s3://"),
        (["{volumes}", "{mask}"], 64, "another sort of file"),
        (["{volumes}", "x.tar", "--queue", "lots"], 64, "expected a size"),
    ],
)
def test_what_cannot_be_is_said_before_anything_is_begun(arguments, code, said, volumes, call, tmp_path):
    (tmp_path / "mask.nii").touch()
    names = {"volumes": volumes, "mask": tmp_path / "mask.nii"}
    outcome = call("stream", *(one.format(**names) for one in arguments), cwd=tmp_path)
    assert outcome.code == code, outcome.err
    assert said in outcome.err
    assert not (tmp_path / "x.tar").exists()


def test_identifiers_in_the_sidecars_of_a_stream_go_on_only_where_that_is_asked_for(call, tmp_path):
    from rtbids.stream import wire

    with (tmp_path / "named.tar").open("wb", buffering=0) as file:
        writer = wire.Writer(file)
        writer.write("dataset_description.json", b'{"Name": "x", "BIDSVersion": "1.10.0"}')
        writer.write("sub-01/func/sub-01_task-x_bold.json", b'{"RepetitionTime": 1, "PatientName": "Doe^Jane"}')
        writer.close()
    assert call("stream", tmp_path / "named.tar", tmp_path / "clean.tar").code == 0
    assert call("stream", tmp_path / "named.tar", tmp_path / "kept.tar", "--identified").code == 0
    assert b"Doe" not in (tmp_path / "clean.tar").read_bytes()
    assert b"Doe" in (tmp_path / "kept.tar").read_bytes()
