"""A script hears of responses, and hears of them again at the same places when the run is replayed."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from rtbids.run.responses.responses import Response, merged
from rtbids.run.script.experiment import Experiment
from rtbids.volume import Volume, volume_of

RUN = {"subject": "01", "task": "nf", "run": "01"}
NOW = 1_700_000_000.0
SCRIPT = """
heard = []

def start(run):
    heard.clear()

def response(event, run):
    if event.value == "fail":
        raise ValueError("no such button")
    heard.append((event.name, event.value, event.onset, len(run.feedback)))

def feedback(volume, run):
    return {"heard": list(map(list, heard)), "known": len(run.responses), "conditions": list(run.events.conditions)}
"""


def volume(index: int, events: str | None = None) -> Volume:
    voxels = np.full((4, 3, 2), index, np.int16)
    return volume_of(voxels, np.eye(4), RUN, {"RepetitionTime": 1.0, "TaskName": "nf"}, index, times={}, events=events)


def experiment(folder: Path, complaints: list[str]) -> Experiment:
    (folder / "experiment.py").write_text(SCRIPT)
    return Experiment(
        folder / "experiment.py", {}, {}, lambda entities, value: None, lambda entities, error: complaints.append(error)
    )


CAME = (
    Response("button", "1", NOW + 1.5, NOW + 1.4, onset=0.5, after_volume=0),
    Response("button", "fail", NOW + 2.5, onset=1.5, after_volume=1),
    Response("face", "", NOW + 2.6, None, 2.0, onset=1.6, after_volume=1),
)
DESIGN = "onset\tduration\ttrial_type\n0\t3\ttask\n"


def test_a_replay_gives_a_script_the_responses_when_it_had_them_live(tmp_path):
    live, replayed, complaints = [], [], []
    script = experiment(tmp_path, complaints)
    script.begin(volume(0, DESIGN))
    for index in range(4):
        script.analyse(volume(index))
        live.append(script.feedback(volume(index)))
        for response in CAME:
            if response.after_volume == index:
                script.respond(RUN, response)
    script.end(RUN)
    heard = [["button", "1", 0.5, 0], ["face", "", 1.6, 0]]
    assert live[3] == {"heard": heard, "known": 3, "conditions": ["task", "button", "face"]}
    (complaint,) = complaints
    assert complaint == "response() raised ValueError: no such button (experiment.py, line 9)"

    script.begin(volume(0, merged(DESIGN, CAME)))
    for index in range(4):
        script.analyse(volume(index))
        replayed.append(script.feedback(volume(index)))
    script.end(RUN)
    assert replayed == live
    assert complaints == [complaint, complaint]


def test_responses_after_the_last_volume_are_heard_before_the_end(tmp_path):
    last = Response("button", "2", NOW, onset=9.0, after_volume=0)
    script = experiment(tmp_path, [])
    script.begin(volume(0, merged(None, [last])))
    script.analyse(volume(0))
    run = script._runs[tuple(sorted(RUN.items()))]
    script.end(RUN)
    assert run.responses == [last]


def test_a_script_that_was_started_again_knows_the_responses_and_is_not_asked_again(tmp_path):
    script = experiment(tmp_path, [])
    script.begin(volume(0))
    script.respond(RUN, CAME[0], ask=False)
    script.analyse(volume(0))
    assert script.feedback(volume(0)) == {"heard": [], "known": 1, "conditions": ["button"]}


def test_a_script_without_response_takes_no_notice(tmp_path):
    (tmp_path / "experiment.py").write_text("def feedback(volume, run):\n    return len(run.responses)\n")
    script = Experiment(tmp_path / "experiment.py", {}, {}, lambda entities, value: None)
    script.begin(volume(0))
    script.respond(RUN, CAME[0])
    assert script.feedback(volume(0)) == 1
