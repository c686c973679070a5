"""A new experiment from a sample: copied whole, its own to change, and nothing lost."""

from __future__ import annotations

import filecmp
import os
import stat
from pathlib import Path

import pytest

from rtbids.cli import init

SAMPLES = list(init.samples())


@pytest.mark.parametrize("sample", SAMPLES)
def test_a_sample_is_copied_whole_and_the_next_steps_are_said(sample, call, tmp_path, repository):
    outcome = call("init", "mine", "--from", sample, cwd=tmp_path)
    assert (outcome.code, outcome.out) == (0, b"")
    own, copied = repository / "sample_experiments" / sample, tmp_path / "mine"
    names = {file.name for file in own.iterdir() if file.is_file()} - {"__init__.py"}
    assert {file.name for file in copied.iterdir()} == names
    assert set(filecmp.cmpfiles(own, copied, names, shallow=False)[0]) == names
    assert "mine/config.yaml" in outcome.err
    assert "rtbids run ./mine" in outcome.err


def test_the_copy_runs_and_is_writable(call, tmp_path, small):
    call("init", "mine", "--from", "roi_feedback", cwd=tmp_path)
    assert all(os.access(file, os.W_OK) for file in (tmp_path / "mine").iterdir())
    mask = f"rois.target={small.mask_file}"
    outcome = call("run", "./mine", small.root, "--speed", "max", "--set", mask, cwd=tmp_path)
    assert outcome.code == 0, outcome.err
    assert {line["experiment"] for line in outcome.lines} == {"mine"}


def test_files_of_an_installation_that_is_read_only_can_be_changed(tmp_path):
    sample, folder = tmp_path / "sample", tmp_path / "mine"
    sample.mkdir()
    for name in ("experiment.py", "__init__.py"):
        (sample / name).write_text('"""Says it."""\n')
        (sample / name).chmod(0o444)
    assert init.copy(sample, folder) == ["experiment.py"]
    assert (folder / "experiment.py").stat().st_mode & stat.S_IWUSR
    assert init.description(folder) == "Says it."


@pytest.mark.parametrize("there", ["folder", "file", "dangling link"])
def test_what_is_there_is_never_overwritten(there, call, tmp_path):
    place = tmp_path / "mine"
    if there == "folder":
        place.mkdir()
    elif there == "file":
        place.write_text("mine")
    else:
        place.symlink_to(tmp_path / "nowhere")
    outcome = call("init", "mine", "--from", "roi_feedback", cwd=tmp_path)
    assert outcome.code == 73
    assert outcome.err.splitlines()[0] == "rtbids: mine is there already: nothing was changed"
    assert list(tmp_path.iterdir()) == [place]
    assert not place.is_dir() or not list(place.iterdir())


@pytest.mark.parametrize("name", ["", "../mine", "a/b", ".hidden", "two words", "naïve", "x" * 65, "-x"])
def test_a_name_that_is_none_is_refused(name, call, tmp_path):
    outcome = call("init", "--from", "roi_feedback", "--", name, cwd=tmp_path)
    assert outcome.code == 64
    assert "expected a name of letters, digits, _ and -" in outcome.err
    assert not list(tmp_path.iterdir())


def test_a_sample_that_is_none_is_refused_with_those_there_are(call, tmp_path):
    outcome = call("init", "mine", "--from", "roi", cwd=tmp_path)
    assert outcome.code == 64
    assert all(sample in outcome.err for sample in SAMPLES)
    assert "Traceback" not in outcome.err
    assert call("init", "mine", cwd=tmp_path).code == 64


def test_samples_are_listed_with_what_they_are(call):
    rows = [line.split("\t") for line in call("init", "--list").out.decode().splitlines()]
    assert [name for name, _ in rows] == SAMPLES
    assert all(said.endswith(".") for _, said in rows)
    assert all(name in call("init", "--help").out.decode() for name in SAMPLES)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_place_where_nothing_can_be_made_is_said(call, tmp_path):
    tmp_path.chmod(0o555)
    outcome = call("init", "mine", "--from", "roi_feedback", cwd=tmp_path)
    tmp_path.chmod(0o755)
    assert outcome.code == 73
    assert "cannot write mine" in outcome.err


def test_a_copy_that_fails_leaves_nothing(tmp_path, monkeypatch):
    """A disk that is full in the midst of it: the one thing here that no real file system does on demand."""

    def full(source: Path, target: Path) -> None:
        target.write_bytes(b"")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(init.shutil, "copyfile", full)
    with pytest.raises(Exception, match=r"no space left for .*mine"):
        init.copy(init.samples()["roi_feedback"], tmp_path / "mine")
    assert not list(tmp_path.iterdir())
