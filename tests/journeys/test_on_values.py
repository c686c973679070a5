"""``rtbids run --on``: scripts behind a real sshd answer as those here do, and what stands in the way is said in one line."""

from __future__ import annotations

import hashlib
import signal
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import sshd
from journeys.validity import errors

from rtbids.deidentify.mapping import Key
from rtbids.replay import scanner
from rtbids.replay.phantom import Phantom

pytestmark = pytest.mark.alone

CONFIG = """
analysis:
  motion: true
  drift: cosine
  contrasts: {regulate: regulate}
  quality: true
"""
SCRIPT = """
def feedback(volume, run):
    return {name: run.roi(name).mean() for name in ("left", "right")} | {"so_far": len(run.volumes)}
"""

LISTS = """
from pathlib import Path

def feedback(volume, run):
    here = Path(__file__).parent
    return {"files": " ".join(path.name for path in here.rglob("*") if path.is_file() and path.suffix != ".pyc")}
"""


@pytest.fixture
def server(tmp_path_factory) -> Iterator[sshd.Sshd]:
    with sshd.running(tmp_path_factory.mktemp("s")) as running:  # a short name: sockets lie below it
        yield running


def on(server: sshd.Sshd) -> list[object]:
    return ["--on", server.address, "--identity", server.folder / "id", "--known-hosts", server.folder / "known_hosts"]


def values(lines: list[dict]) -> list[tuple[object, object, object]]:
    return [(line["volume"], line["status"], line["value"]) for line in lines]


def images(study: Path) -> dict[str, str]:
    """Return what each image of a data set holds."""
    import nibabel

    found = {}
    for path in sorted(study.rglob("*.nii.gz")):
        voxels = np.asarray(nibabel.load(path).dataobj)
        found[path.relative_to(study).as_posix()] = hashlib.sha256(voxels.tobytes()).hexdigest()
    return found


def test_a_sample_on_another_machine_gives_what_it_gives_here(small, server, call, tmp_path):
    arguments = ["run", "roi_feedback", small.root, "--speed", "max", "--set", f"rois.target={small.mask_file}"]
    here = call(*arguments, "--bids-dir", tmp_path / "here", "--feedback", "-")
    there = call(*arguments, "--bids-dir", tmp_path / "there", "--feedback", "-", *on(server))
    assert (here.code, there.code) == (0, 0), there.err
    assert len(there.lines) == 30
    assert values(there.lines) == values(here.lines)
    assert images(tmp_path / "there") == images(tmp_path / "here")
    (sidecar,) = (tmp_path / "there" / "derivatives").rglob("*_desc-feedback_timeseries.json")
    assert "ClockUncertainty" in sidecar.read_text()


@pytest.mark.slow
def test_the_neurofeedback_run_on_another_machine_gives_what_it_gives_here(recorded, script, server, call, tmp_path):
    whole, files = recorded
    masks = [f"--set=rois.{side}={whole / name}" for side, name in (("left", "lROI_1.nii"), ("right", "rROI_2.nii"))]
    Key.make(key := tmp_path / "site.key")
    arguments = ["run", script(SCRIPT, CONFIG), files, "--no-wait", *masks, "--events", whole / "nf_run_events.tsv"]
    here = call(*arguments, "--bids-dir", tmp_path / "here", "--feedback", "-")
    there = call(*arguments, "--bids-dir", tmp_path / "there", "--feedback", "-", *on(server), "--key", key)
    assert (here.code, there.code) == (0, 0), there.err
    assert len(there.lines) == 155
    assert values(there.lines) == values(here.lines)
    assert images(tmp_path / "there") == images(tmp_path / "here")
    assert any("statmap" in name for name in images(tmp_path / "there"))


def test_the_data_set_is_copied_when_the_run_is_over_by_a_key_that_is_let_in_for_this_alone(small, server, call, tmp_path):
    server.authorize(f'restrict,command="rtbids far --verbs experiment,copy --within {tmp_path}"')
    arguments = ["run", "roi_feedback", small.root, "--speed", "max", "--set", f"rois.target={small.mask_file}"]
    copy = [*on(server), "--archive", "both", "--remote-bids-dir", tmp_path / "there"]
    for count in (1, 2):
        outcome = call(*arguments, "--bids-dir", tmp_path / "here", "--feedback", "-", *copy)
        assert outcome.code == 0, outcome.err
        assert {line["status"] for line in outcome.lines} == {"ok"}
        assert "copy:" in outcome.err
        assert contents(tmp_path / "there") == contents(tmp_path / "here")
        assert len(images(tmp_path / "there")) == count
    assert errors(tmp_path / "there") == []


def test_a_copy_is_given_up_at_a_signal_and_the_next_run_moves_all(small, server, call, start, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    arguments = ["run", "roi_feedback", small.root, "--speed", "max", "--set", f"rois.target={small.mask_file}", *on(server)]
    there = ["--archive", "remote", "--remote-bids-dir", tmp_path / "there"]
    silent = tmp_path / "silent"  # once the run is packed, which is when its copy is made
    finished = f"{tmp_path / 'state'}/rtbids/to-be-moved/*/sub-07/func/*_bold.nii.gz"
    silent.write_text(f"#!/bin/sh\nls {finished} > {tmp_path / 'log'} 2>&1 && exec cat; exec rtbids far\n")
    silent.chmod(0o700)
    first = start(*arguments, *there, "--remote-command", silent)
    said = b""
    while b"copying the data set" not in said:
        said += (line := first.stderr.readline())
        assert line, said.decode()
    first.send_signal(signal.SIGINT)
    said += first.communicate(timeout=60)[1]
    assert first.returncode == 128 + signal.SIGINT, said.decode()
    assert f"the data set is kept here: {tmp_path / 'state'}" in said.decode()
    assert images(tmp_path / "there") == {}
    outcome = call(*arguments, *there)
    assert outcome.code == 0, outcome.err
    assert errors(tmp_path / "there") == []
    assert len(images(tmp_path / "there")) == 2
    assert len(set(images(tmp_path / "there").values())) == 1  # both have the voxels of the run that was replayed
    assert [path.stat().st_size for path in (tmp_path / "state").rglob("*_bold.nii.gz")] == [0, 0]


def test_a_place_that_is_not_allowed_there_is_said_before_the_run(small, server, call, tmp_path):
    command = f"rtbids far --within {tmp_path / 'allowed'}"
    copy = [*on(server), "--archive", "both", "--remote-bids-dir", tmp_path / "there", "--remote-command", command]
    outcome = call(
        "run", "roi_feedback", small.root, "--set", f"rois.target={small.mask_file}", "--bids-dir", tmp_path / "a", *copy
    )
    assert outcome.code == 64
    assert "is not allowed" in outcome.err
    assert not (tmp_path / "there").exists()


def test_images_are_deidentified_unless_somebody_says_otherwise(script, server, call, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))  # where there is no key of the site
    experiment = script(LISTS)
    (experiment / "export").mkdir()
    scanner.scan(scanner.dicoms(Phantom(shape=(16, 16, 4), volumes=3)), experiment / "export", interval=0)
    (experiment / "export" / "names.txt").write_text("no image")
    (experiment / "lines.tsv").touch()
    written = ["--feedback", "-", "--feedback", experiment / "lines.tsv", "--bids-dir", experiment / "study"]
    arguments = ["run", experiment, experiment / "export", "--no-wait", *written, *on(server)]
    refused = call(*arguments)
    assert refused.code == 66
    assert "no site key" in refused.err
    outcome = call(*arguments, "--no-deidentify")
    assert [line["value"] for line in outcome.lines] == [{"files": "experiment.py"}] * 3, outcome.err


def contents(root: Path) -> dict[str, bytes]:
    """Return what each file of a data set holds, but for what rtbids works with."""
    found = (path for path in root.rglob("*") if path.is_file() and ".rtbids" not in path.parts)
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in found}
