"""What the sidecars of results say of where they come from."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest
from sessions import Lines, SmallDisk, lane, session, volume

import rtbids
from rtbids.pipeline import Inbox
from rtbids.run.recipe import recipe
from rtbids.run.record import provenance

SCRIPT = "def feedback(volume, run):\n    if volume.index == 2:\n        import os; os._exit(3)\n    return 1.0\n"


def experiment(folder: Path, config: str) -> recipe.Recipe:
    folder.mkdir(parents=True)
    (folder / "experiment.py").write_text("def feedback(volume, run):\n    return 1.0\n")
    (folder / "mask.nii").write_bytes(b"abc")
    (folder / "config.yaml").write_text(config)
    return recipe.read(str(folder))


def test_an_experiment_is_told_by_its_script_its_settings_and_its_regions(tmp_path):
    config = "rois: {left: mask.nii}\nanalysis: {motion: true, smooth: 6}\ndeadline: 0.5\nsettings: {gain: 2}\n"
    about = provenance.of(experiment(tmp_path / "mine", config))
    script = (tmp_path / "mine" / "experiment.py").read_bytes()
    assert about["Script"] == "experiment.py"
    assert about["SHA256"] == hashlib.sha256(script).hexdigest()
    abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"  # the example of FIPS 180-2
    assert about["Regions"] == {"left": {"File": "mask.nii", "SHA256": abc}}
    assert about["Analysis"] == {"motion": True, "smooth": 6.0}
    assert about["Settings"] == {"gain": 2}
    assert about["Deadline"] == 0.5


@pytest.mark.parametrize(
    "value", ["/home/Jane Doe/a.tsv", "see /home/Jane/Doe/a.tsv", "[/home/Jane Doe/a.tsv]", "2020-01-01", ".nan"]
)
def test_whatever_a_setting_is_its_sidecar_is_json_without_folders(tmp_path, value):
    about = provenance.of(experiment(tmp_path / "mine", f"settings:\n  one: {value}\n"))
    assert "Jane" not in json.dumps(about, allow_nan=False)


@pytest.mark.parametrize(
    "text", ["", "{", "[]", '{"GeneratedBy": []}', '{"GeneratedBy": [{"Version": 1}], "Experiments": [1]}']
)
def test_a_sidecar_that_says_nothing_of_experiments_is_read_as_that(tmp_path, text):
    (tmp_path / "a.json").write_text(text)
    assert provenance.read(tmp_path / "a.json").experiments == {}
    assert provenance.read(tmp_path / "none.json") == provenance.Said()


def test_sources_are_the_run_and_the_events_that_its_echoes_share():
    said = provenance.signature({"subject": "01", "task": "nf", "run": "01", "echo": "2"}, with_events=True)
    assert said["GeneratedBy"] == [{"Name": "rtbids", "Version": rtbids.__version__}]
    assert said["Sources"] == [
        "bids:raw:sub-01/func/sub-01_task-nf_run-01_echo-2_bold.nii.gz",
        "bids:raw:sub-01/func/sub-01_task-nf_run-01_events.tsv",
    ]


def test_the_sidecar_of_the_feedback_says_when_a_script_was_started_again(tmp_path):
    kept, disk = Lines(), SmallDisk(99)

    def items():
        for index in range(5):
            yield volume(index)
            kept.wait_for("one", index)

    session([lane(tmp_path / "one", SCRIPT, kept)], disk).run(Inbox(items()))
    about = disk.described["feedback"]["Experiments"]["one"]
    assert about["Restarts"] == [{"Volume": 2, "Reason": "the experiment's process ended by itself (exit code 3)"}]
    assert about["PredictedMisses"] == []
    assert about["SHA256"] == hashlib.sha256(SCRIPT.encode()).hexdigest()


def test_a_script_that_was_changed_meanwhile_is_noticed(tmp_path):
    found = experiment(tmp_path / "mine", "")
    about = provenance.of(found)
    assert provenance.changed_script(found, about) == {}
    found.script.write_bytes(b"abc")
    assert provenance.changed_script(found, about)["SHA256"].startswith("ba7816bf")
