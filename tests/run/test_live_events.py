"""Events that come during a run: regions, decoders, the design and the script have them as those that were known beforehand."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import moving_head as heads
import nibabel
import numpy as np
import pytest
from moving_head import AFFINE, GRID, LEFT
from run.sessions import UNPACED, Lines, lane, session

from rtbids import write_decoder
from rtbids.analysis.decode import Decoder
from rtbids.bids import events as bids_events
from rtbids.bids.events import Event, EventsSoFar
from rtbids.errors import ExperimentFault
from rtbids.pipeline import Inbox
from rtbids.run.recipe.analysis_config import Analysis
from rtbids.run.responses import responses
from rtbids.run.responses.responses import Response
from rtbids.run.script.experiment import Experiment

LOST = "def feedback(volume, run):\n    return len(run.events.rows)\n"
SCRIPT = """
from pathlib import Path

import rtbids

decoding = None

def start(run):
    global decoding
    decoding = run.roi("left").decoding(rtbids.read_decoder(Path(__file__).parent / "decoder.npz"))

def feedback(volume, run):
    roi = run.roi("left")
    return {
        "change": roi.percent_signal_change(),
        "block": roi.percent_signal_change(window="block", skip=1),
        "go": roi.percent_signal_change("go"),
        "scaled": roi.scaled_signal_change(),
        "decision": decoding.decision("go"),
        "beta": (lambda beta: None if beta is None else float(beta[9, 11, 8]))(run.glm.beta("go")),
        "events": [event.trial_type for event in run.events.rows],
        "here": [event.trial_type for event in run.events_of(volume)],
    }
"""
ANALYSIS = Analysis(contrasts={"going": "go > rest"}, conditions=("go",))
BLOCKS = [(8.0, 8.0), (28.0, 8.0), (48.0, 8.0)]
NONE = "onset\tduration\ttrial_type\n"


@pytest.fixture(scope="module")
def volumes():
    return heads.run(30, moving=False)


def experiment(folder: Path, analysis: Analysis | None = ANALYSIS, script: str = SCRIPT) -> Experiment:
    folder.mkdir(exist_ok=True)
    (folder / "experiment.py").write_text(script)
    nibabel.save(nibabel.Nifti1Image(LEFT.astype(np.uint8), AFFINE), folder / "left.nii")
    voxels = np.flatnonzero(LEFT.ravel(order="F"))
    ones = np.ones(voxels.size)
    weights = np.random.default_rng(1).normal(size=(1, voxels.size))
    decoder = Decoder(
        ("rest", "go"), weights, np.zeros(1), 0 * ones, ones, "logistic", voxels, GRID, "baseline", "rest", 5.0, {}
    )
    write_decoder(decoder, folder / "decoder.npz")
    rois = {"left": folder / "left.nii"}
    return Experiment(folder / "experiment.py", {}, rois, lambda entities, value: None, analysis=analysis)


def values(folder: Path, volumes, known: str, live: list[Response] = ()) -> list[dict]:
    made = experiment(folder)
    made.begin(heads.volume(heads.head(), 0, events=known))
    given = []
    for volume in volumes:
        for response in live:
            if response.after_volume == volume.index - 1:
                made.respond(volume.entities, response)
        made.analyse(volume)
        given.append(made.feedback(volume))
        made.settle(volume.entities)
    return given


def came(onset: float, duration: float, after: int) -> Response:
    return Response("go", arrived=1000.0 + onset, onset=onset, duration=duration, after_volume=after)


def test_an_event_that_came_before_its_volumes_is_as_one_that_was_known(tmp_path, volumes):
    known = values(tmp_path / "known", volumes, heads.EVENTS)
    live = values(tmp_path / "live", volumes, NONE, [came(on, long, int(on / 2) - 1) for on, long in BLOCKS])
    for name in ("change", "block", "scaled", "decision", "here"):
        assert [row[name] for row in live] == [row[name] for row in known], name
    assert [row["go"] for row in live] == [row["go"] for row in known]
    assert [row["beta"] for row in live[5:]] == [row["beta"] for row in known[5:]]
    assert live[4]["events"] == ["go"]
    assert live[-1]["events"] == ["go"] * 3
    assert live[20]["change"] is not None
    assert live[20]["decision"] is not None


def test_the_replay_of_a_run_with_live_events_gives_its_values(tmp_path, volumes):
    live = [came(8.0, 8.0, 3), came(28.0, 8.0, 16), came(48.0, 8.0, 22)]  # the second came when it had begun
    archived = responses.merged(NONE, live)
    assert values(tmp_path / "replay", volumes, archived) == values(tmp_path / "live", volumes, NONE, live)


def test_an_event_that_came_late_changes_nothing_before_it(tmp_path, volumes):
    late = values(tmp_path / "late", volumes, NONE, [came(8.0, 8.0, 12)])
    without = values(tmp_path / "without", volumes, NONE)
    known = values(tmp_path / "known", volumes, NONE + "8\t8\tgo\n")
    assert late[:13] == without[:13]
    for name in ("change", "go"):  # what is worked out of all volumes so far is right from then on
        assert [row[name] for row in late[13:]] == [row[name] for row in known[13:]], name
    assert [row["change"] for row in late[13:]] != [row["change"] for row in without[13:]]


def test_a_condition_that_is_to_come_is_none_until_it_does_and_no_fault(tmp_path, volumes):
    given = values(tmp_path / "live", volumes[:8], NONE, [came(8.0, 8.0, 3)])
    assert [row["go"] is None for row in given] == [True] * 4 + [False] * 4


def test_a_response_has_its_cells_among_the_events(tmp_path, volumes):
    script = "def feedback(volume, run):\n    return {'value': [event.cells.get('value') for event in run.events.rows]}\n"
    made = experiment(tmp_path, None, script)
    made.begin(volumes[0])
    made.respond(volumes[0].entities, Response("button", "3", 1000.0, onset=1.0))
    made.analyse(volumes[0])
    assert made.feedback(volumes[0])["value"] == ["3", None, None, None]


def test_events_that_are_added_stand_in_order_and_are_found():
    so_far = EventsSoFar(bids_events.read("onset\tduration\ttrial_type\n4\t2\tgo\n", "events").rows, ("stop",))
    assert [event.onset for event in so_far.during(0, 100)] == [4.0]
    so_far.add(Event(1.0, 2.0, "go"))
    so_far.add(Event(9.0, 1.0, "press"))
    assert [event.onset for event in so_far.during(0, 100)] == [1.0, 4.0, 9.0]
    assert so_far.conditions == ("go", "press", "stop")
    assert list(so_far.covers("stop", np.array([1.0, 9.5]), 0.1)) == [False, False]
    assert list(so_far.covers("rest", np.array([0.0, 2.0, 9.5]), 0.1)) == [True, False, False]


@pytest.mark.parametrize("duration", [1e12, 1e299])
def test_an_event_of_an_absurd_length_costs_a_line_and_no_feedback(duration, volumes, tmp_path):
    """The intake refuses it; a table that is replayed may have it all the same."""
    said: list[str] = []
    made = experiment(tmp_path, ANALYSIS, LOST)
    made._complain = lambda entities, error: said.append(error)
    made.begin(heads.volume(heads.head(), 0, events=NONE))
    made.analyse(volumes[0])
    for bad in (Response("go", onset=2.0, duration=duration), Response("go", onset=2.0, duration=math.nan)):
        made.respond(volumes[0].entities, bad)
    made.respond(volumes[0].entities, Response("go", onset=4.0, duration=8.0))
    made.analyse(volumes[1])
    assert made.feedback(volumes[1]) == 1
    assert said == [
        f"the duration of an event is in seconds, 1000000 at most, found {length}" for length in (f"{duration:g}", "nan")
    ]


def test_what_goes_wrong_at_the_beginning_of_a_run_is_a_line(tmp_path, monkeypatch):
    made = experiment(tmp_path, ANALYSIS, LOST)
    monkeypatch.setattr(made, "_chain", lambda *of: 1 / 0)
    with pytest.raises(ExperimentFault, match=r"^the beginning of the run failed: ZeroDivisionError: division by zero$"):
        made.begin(heads.volume(heads.head(), 0, events=NONE))


@pytest.mark.parametrize("analysis", [None, Analysis(), ANALYSIS], ids=["no analysis", "no model", "a model"])
def test_unusual_events_are_said_whether_there_is_a_model_or_none(analysis, volumes, tmp_path, caplog):
    """That the run never comes to one is not known when the script leaves: it may go on without it."""
    made = experiment(tmp_path, analysis, LOST)
    table = "onset\tduration\ttrial_type\n0\t3\tgo\n2\t3\tgo\n9000\t3\tgo\n"
    made.begin(heads.volume(heads.head(), 0, events=table))
    model = ": their responses add up" if analysis is ANALYSIS else ""
    assert caplog.messages == [f"events of 'go' overlap, first at 2 s{model}"]
    for volume in volumes[:3]:
        made.analyse(volume)
    caplog.clear()
    made.end(volumes[0].entities)
    assert caplog.messages == []


@pytest.mark.parametrize(("planned", "said"), [((None, None), 1), ((None, 3), 1), ((3, 3), 0)])
def test_what_a_run_never_came_to_is_said_once_whatever_experiments_there_are(tmp_path, caplog, planned, said):
    table = "onset\tduration\ttrial_type\n0\t3\tgo\n9000\t3\tgo\n"
    lanes = []
    for name, count in zip(("one", "other"), planned, strict=True):
        (tmp_path / name).mkdir()
        (tmp_path / name / "config.yaml").write_text(f"analysis: {{volumes: {count}}}\n" if count else "")
        lanes.append(lane(tmp_path / name, "def feedback(volume, run):\n    return 1\n", Lines()))
    volumes = [heads.volume(heads.head(), index, events=table) for index in range(3)]
    session(lanes).run(Inbox(replace(volume, metadata=UNPACED, times={"received": 1.0}) for volume in volumes))
    told = [text for text in caplog.messages if "before these events" in text]
    assert [text.partition(": ")[2] for text in told] == [
        "the run ended at 3 s, before these events, the first at 9000 s: 1 of 'go'"
    ] * said
