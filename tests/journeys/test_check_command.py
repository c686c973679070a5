"""``rtbids convert --check`` as its user sees it."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from rtbids.replay import scanner
from rtbids.replay.phantom import Phantom

PHANTOM = Phantom(shape=(16, 16, 9), voxel=(12.0, 12.0, 12.0), repetition_time=2.0, volumes=3)
LARGER = replace(PHANTOM, shape=(32, 32, 9), voxel=(6.0, 6.0, 12.0))  # 3 files of 19 kB, the image 55 kB


def test_a_folder_without_a_functional_series_is_65(call, tmp_path):
    (tmp_path / "x.dcm").write_text("no image")
    assert call("convert", tmp_path, "--check").code == 65


@pytest.mark.parametrize("arguments", [("dicom-scp://127.0.0.1:0",), ("-",), (".", "-o", "study"), (".", "--to", "kept.tar")])
def test_what_has_no_meaning_is_64(call, tmp_path, monkeypatch, arguments):
    monkeypatch.chdir(tmp_path)
    assert call("convert", *arguments, "--check").code == 64
    assert not any(tmp_path.iterdir())


def test_the_command_shows_a_table(call, tmp_path):
    scanner.scan(scanner.dicoms(PHANTOM), tmp_path, interval=0)
    outcome = call("convert", tmp_path, "--check")
    assert outcome.code == 0, outcome.err
    head, row = [line.split("\t") for line in outcome.out.decode().splitlines()]
    assert head == ["series", "volumes", "image", "sidecar", "differs in"]
    assert row[1:3] == ["3", "agrees"]
    assert "1 of 1 runs agree" in outcome.err


def test_a_reader_that_has_gone_is_74_in_words(tmp_path, start):
    scanner.scan(scanner.dicoms(PHANTOM), tmp_path, interval=0)
    process = start("convert", tmp_path, "--check")
    process.stdout.close()
    assert process.wait(60) == 74
    assert b"the reader of standard output has gone" in process.stderr.read()


def test_a_standard_output_that_is_closed_is_74_in_words(tmp_path):
    command = [sys.executable, "-m", "rtbids", "convert", str(tmp_path), "--check"]
    done = subprocess.run(["sh", "-c", 'exec "$@" >&-', "sh", *command], capture_output=True, check=False)
    assert (done.returncode, done.stderr.count(b"\n")) == (74, 1), done.stderr
    assert b"standard output is closed" in done.stderr


@pytest.fixture(params=["80k", "20k"], ids=["what dcm2niix makes", "the copies"])
def small_disk(tmp_path, request):
    disk = tmp_path / "disk"
    disk.mkdir()
    size = f"size={request.param}"
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", size, "tmpfs", str(disk)], capture_output=True, check=False)
    if os.geteuid() != 0 or mounted.returncode != 0:
        pytest.skip("a small disk cannot be mounted here: needs root and tmpfs")
    yield disk
    subprocess.run(["umount", "-l", str(disk)], check=True)


def test_a_scratch_folder_that_is_full_is_73_and_named(tmp_path: Path, small_disk: Path, call, monkeypatch):
    export = tmp_path / "export"
    export.mkdir()
    scanner.scan(scanner.dicoms(LARGER), export, interval=0)
    monkeypatch.setenv("TMPDIR", str(small_disk))
    outcome = call("convert", export, "--check")
    assert outcome.code == 73, outcome.err
    assert f"no space left for {small_disk}" in outcome.err
    assert "set TMPDIR" in outcome.err
    assert not list(small_disk.iterdir())
