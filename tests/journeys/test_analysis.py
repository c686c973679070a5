"""A run with an analysis, from the command line: live, replayed, started again, and killed."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import textwrap
from pathlib import Path

import nibabel
import numpy as np
import pytest
from journeys.conftest import table
from journeys.validity import errors
from run.moving_head import AFFINE, EVENTS, LEFT, run

pytestmark = pytest.mark.alone

CONFIG = """
rois: {left: left.nii}
analysis:
  motion: true
  smooth: 6
  drift: polynomial
  motion_terms: 6
  nuisance: [global]
  despike: true
  contrasts: {going: "go > rest"}
  volumes: 30
  quality: true
"""
SCRIPT = """
import pathlib, time

def feedback(volume, run):
    mark = pathlib.Path(__file__).with_name("hang")
    if volume.index == 12 and mark.exists():
        mark.unlink()
        time.sleep(1000)
    return {
        "moved": run.motion.framewise_displacement,
        "dvars": run.quality.volume.dvars,
        "change": run.roi("left").percent_signal_change(),
        "t": run.glm.mean_t("going", run.roi("left").mask),
    }
"""
TABLES = ("motion", "quality", "design")


@pytest.fixture
def source(tmp_path) -> Path:
    """A data set with a run of a head that moves."""
    func = tmp_path / "source" / "sub-01" / "func"
    func.mkdir(parents=True)
    voxels = np.stack([np.clip(volume.data, 0, None).round().astype(np.int16) for volume in run(30)], axis=3)
    image = nibabel.Nifti1Image(voxels, AFFINE)
    image.header.set_zooms((4, 4, 4, 2.0))
    image.header.set_xyzt_units("mm", "sec")
    image.to_filename(func / "sub-01_task-nf_run-1_bold.nii.gz")
    (func / "sub-01_task-nf_run-1_bold.json").write_text(json.dumps({"RepetitionTime": 2.0, "TaskName": "nf"}))
    (func / "sub-01_task-nf_run-1_events.tsv").write_text(EVENTS)
    description = {"Name": "head", "BIDSVersion": "1.10.0"}
    (tmp_path / "source" / "dataset_description.json").write_text(json.dumps(description))
    return tmp_path / "source"


@pytest.fixture
def experiment(script) -> Path:
    folder = script(SCRIPT, CONFIG)
    nibabel.Nifti1Image(LEFT.astype(np.uint8), AFFINE).to_filename(folder / "left.nii")
    return folder


def maps(study: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in (study / "derivatives").rglob("*_statmap.nii.gz")}


def ok(study: Path) -> dict[str, str]:
    return {row["volume"]: row["value"] for row in table(study, "feedback") if row["status"] == "ok"}


@pytest.mark.slow
def test_a_replay_gives_the_same_tables_maps_and_feedback_to_the_last_bit(source, experiment, call, tmp_path):
    live, again = tmp_path / "live", tmp_path / "again"
    paced = call("run", experiment, source, "--bids-dir", live, "--speed", "10", "--deadline", "5")
    assert paced.code == 0, paced.err
    assert call("run", experiment, live, "--bids-dir", again, "--speed", "max").code == 0
    for name in TABLES:
        assert table(live, name) == table(again, name)
        assert [row["volume"] for row in table(live, name)] == [str(n) for n in range(30)]
    assert maps(live) == maps(again)
    assert {name.split("_contrast-")[1] for name in maps(live)} == {
        "going_stat-t_statmap.nii.gz",
        "going_stat-effect_statmap.nii.gz",
    }
    assert len(ok(live)) == 30
    assert ok(live) == ok(again)
    assert json.loads(ok(live)["29"])["t"] > 1
    assert errors(live) == []
    report = next((live / "derivatives").rglob("*_report.html")).read_text()
    assert 'id="motion"' in report
    assert 'id="maps"' in report


@pytest.mark.slow
def test_a_script_that_hung_goes_on_where_the_analysis_would_have_been(source, experiment, call, tmp_path):
    smooth, hung = tmp_path / "smooth", tmp_path / "hung"
    assert call("run", experiment, source, "--bids-dir", smooth, "--speed", "max").code == 0
    (experiment / "hang").touch()
    outcome = call("run", experiment, source, "--bids-dir", hung, "--speed", "4", "--deadline", "0.2")
    assert outcome.code == 0, outcome.err
    assert "is started again" in outcome.err
    assert 10 < len(ok(hung)) < 30
    assert ok(hung).items() <= ok(smooth).items()
    for name in TABLES:
        assert table(hung, name) == table(smooth, name)
    assert maps(hung) == maps(smooth)


@pytest.mark.slow
def test_the_tables_of_a_killed_run_are_completed_by_the_next(source, experiment, start, call, tmp_path):
    study = tmp_path / "study"
    process = start("run", experiment, source, "--bids-dir", study, "--speed", "10", "--feedback", "-")
    for _ in range(10):
        assert process.stdout.readline()
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    assert errors(study) == []
    assert call("run", experiment, source, "--bids-dir", study, "--speed", "max").code == 0
    assert errors(study) == []
    func = study / "derivatives/rtbids/sub-01/func"
    for name in TABLES:
        lines = (func / f"sub-01_task-nf_run-1_desc-{name}_timeseries.tsv").read_text().splitlines()
        latency = (func / "sub-01_task-nf_run-1_desc-latency_timeseries.tsv").read_text().splitlines()
        assert [line.split("\t")[0] for line in lines] == [line.split("\t")[0] for line in latency]


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("analysis: {motion_terms: 6}", "analysis.motion_terms: 6 needs the head's pose"),
        ("analysis: {qualty: true}", "did you mean 'analysis.quality'"),
    ],
)
def test_what_makes_no_sense_ends_before_anything_is_written(source, script, call, tmp_path, line, said):
    outcome = call("run", script(SCRIPT, line), source, "--bids-dir", tmp_path / "study")
    assert outcome.code == 64
    assert said in outcome.err
    assert "Traceback" not in outcome.err
    assert not (tmp_path / "study").exists()


def test_what_the_analysis_warns_of_goes_where_warnings_go(small, script, call, tmp_path):
    """On standard error with the word, into the log, and into the report; and nowhere for who asked for quiet."""
    events, log = tmp_path / "events.tsv", tmp_path / "log.jsonl"
    events.write_text("onset\tduration\ttrial_type\n0.5\t0.5\tregulate\n0.7\t0.5\tregulate\n")
    folder = script("def feedback(volume, run):\n    return 1\n", "analysis: {contrasts: {on: regulate > rest}}\n")
    options = ("run", folder, small.root, "--events", events, "--speed", "max", "--log-file", log)
    said = "mine: events of 'regulate' overlap, first at 0.7 s: their responses add up"
    told = call(*options, "--log-json", "--bids-dir", tmp_path / "study")
    assert told.code == 0
    assert f"warning: {said}\n" in told.err
    assert {"level": "warning", "message": said}.items() <= json.loads(log.read_text().splitlines()[0]).items()
    assert "their responses add up" in next((tmp_path / "study").rglob("*_report.html")).read_text()
    quiet = call(*options, "-q")
    assert quiet.code == 0
    assert quiet.err == ""
    assert said in log.read_text()


@pytest.mark.slow
def test_the_next_session_reads_what_the_analysis_found(source, experiment, script, call, tmp_path):
    study = tmp_path / "study"
    assert call("run", experiment, source, "--bids-dir", study, "--speed", "max").code == 0
    asks = """
import numpy

def feedback(volume, run):
    before = run.study.latest(task="nf")
    return {
        "moved": float(before.motion["framewise_displacement"][5]),
        "dvars": float(before.quality["dvars"][5]),
        "t": float(numpy.nanmax(before.t("going"))),
        "sent": [sent.value["t"] for sent in before.feedback()][-1],
        "status": before.feedback()[-1].status,
        "events": len(before.events.rows),
    }
"""
    stream = call("replay", source, "--speed", "max")
    to = ("--bids-dir", study, "--volumes", 1, "--feedback", "-")
    outcome = call("run", script(asks, name="next"), "-", *to, stdin=stream.out)
    assert [line["run"] for line in outcome.lines] == ["sub-01_task-nf_run-02"], outcome.err
    first = next((study / "derivatives").rglob("*run-1_desc-motion_timeseries.tsv")).parent
    for file in first.glob("*run-02_desc-*_timeseries.tsv"):
        file.unlink()  # so that there is one table of each
    motion, quality, feedback = (table(study, name) for name in ("motion", "quality", "feedback"))
    (t_map,) = (study / "derivatives").rglob("*run-1_contrast-going_stat-t_statmap.nii.gz")
    assert outcome.lines[0]["value"] == {
        "moved": float(motion[5]["framewise_displacement"]),
        "dvars": float(quality[5]["dvars"]),
        "t": float(np.nanmax(nibabel.load(t_map).dataobj)),
        "sent": json.loads(feedback[-1]["value"])["t"],
        "status": "ok",
        "events": len(EVENTS.splitlines()) - 1,
    }


def of_the_how_to() -> list[str]:
    """Return the scripts of the page on earlier runs."""
    page = (Path(__file__).parents[2] / "docs" / "how-to" / "use-earlier-runs.rst").read_text()
    blocks = page.split(".. code-block:: python\n")[1:]
    return [textwrap.dedent(re.match(r"(?:\n| +.*\n)+", block)[0]) for block in blocks]  # up to what is not indented


@pytest.mark.slow
def test_the_scripts_of_the_how_to_answer_every_volume(source, experiment, script, call, tmp_path):
    study = tmp_path / "study"
    assert call("run", experiment, source, "--bids-dir", study, "--speed", "max").code == 0
    stream = call("replay", source, "--speed", "max")
    assert len(of_the_how_to()) == 4
    for number, text in enumerate(of_the_how_to()):
        mine = script(text.replace("regulation", "going"), "rois: {target: left.nii}\n", name=f"of{number}")
        nibabel.Nifti1Image(LEFT.astype(np.uint8), AFFINE).to_filename(mine / "left.nii")
        if "sent.value" in text:  # the feedback of the first run is an object
            (mine / "experiment.py").write_text((mine / "experiment.py").read_text().replace("sent.value", "sent.value['t']"))
        to = ("--bids-dir", tmp_path / str(number), "--volumes", 3, "--feedback", "-")
        shutil.copytree(study, tmp_path / str(number))
        outcome = call("run", mine, "-", *to, stdin=stream.out)
        assert [line["status"] for line in outcome.lines] == ["ok"] * 3, outcome.err
        assert outcome.lines[2]["value"] is not None or "sent" in text  # t of the model is null at its beginning
