"""A design whose columns cannot be told apart is named, by name and while the run goes on."""

from __future__ import annotations

import logging

import moving_head as heads
import numpy as np
import pytest
from moving_head import EVENTS, LEFT, RIGHT

from rtbids.analysis.roi import Roi
from rtbids.bids import events as bids_events
from rtbids.errors import BadData
from rtbids.run.chain import foreseen
from rtbids.run.chain.chain import Chain
from rtbids.run.chain.singular import Singular
from rtbids.run.recipe.analysis_config import Analysis

TWICE = EVENTS + "".join(line.replace("go", "stay") + "\n" for line in EVENTS.splitlines()[1:])

HALVES = "onset\tduration\ttrial_type\n" + "".join(
    f"{onset}\t{duration}\t{name}\n"
    for start in (0, 40, 80)
    for onset, duration, name in [(start, 20, "both"), (start, 10, "left"), (start + 10, 10, "right")]
)


def said(analysis: Analysis, events: str, caplog, count: int = 20) -> list[tuple[int, str]]:
    """Return what was warned of, with the volume after which it was; -1 for before the first, `count` for the end."""
    table = bids_events.read(events, "events")
    first = heads.volume(heads.head(), 0)
    regions = {name: Roi(mask, table, 2.0) for name, mask in {"a": LEFT, "b": RIGHT}.items()}
    with caplog.at_level(logging.WARNING, "rtbids"):
        made = Chain(analysis, first, table, regions)
        found = [(-1, message) for message in caplog.messages]
        for index in range(count):
            caplog.clear()
            made.add(heads.volume(heads.head(), index))
            made.settle()
            found += [(index, message) for message in caplog.messages]
        caplog.clear()
        list(made.maps())
    return [*found, *((count, message) for message in caplog.messages)]


@pytest.mark.parametrize(
    ("analysis", "lost"),
    [
        (Analysis(contrasts={"mean": "go + stay"}), ""),
        (Analysis(contrasts={"mean": "go + stay", "sole": "go > rest"}), ", and there will be no map of sole"),
        (Analysis(drift="polynomial", volumes=20), ""),
        (Analysis(motion=True, motion_terms=6, drift="cosine", volumes=20), ""),
    ],
    ids=["a contrast that can be estimated all the same", "one that cannot", "regions alone", "with motion"],
)
def test_two_conditions_that_are_one_are_said_before_the_first_volume_and_once(analysis, lost, caplog):
    told = [(volume, message) for volume, message in said(analysis, TWICE, caplog) if "stay of the design" in message]
    assert told == [(-1, f"the events cannot be told apart: stay of the design is a sum of go; the models do without{lost}")]


def test_a_condition_that_is_two_others_together_is_known_before_there_is_a_volume(tmp_path, caplog):
    table = tmp_path / "events.tsv"
    table.write_text(HALVES)
    analysis = Analysis(contrasts={"left": "left > rest"}, drift="cosine", volumes=40)
    remark = foreseen.say(analysis, table)
    assert caplog.messages == [remark]
    both = "the events cannot be told apart: right of the design is a sum of both and left"
    assert remark == f"{both}; the models do without, and there will be no map of left"
    caplog.clear()
    events = bids_events.read(HALVES, "events")
    Chain(analysis, heads.volume(heads.head(), 0), events, {"a": Roi(LEFT, events, 2.0)}, told=remark)
    assert caplog.messages == []


@pytest.mark.parametrize(
    "analysis",
    [Analysis(contrasts={"go": "go > rest"}), Analysis(), Analysis(contrasts={"x": "cosine01"}, drift="cosine", volumes=200)],
    ids=["all is well", "no model", "a column that only the first volume tells"],
)
def test_a_table_that_tells_all_apart_is_not_spoken_of_before_there_is_a_volume(analysis, tmp_path, caplog):
    table = tmp_path / "events.tsv"
    table.write_text(EVENTS)
    assert foreseen.say(analysis, table) is None
    assert caplog.messages == []


def test_a_contrast_of_what_the_table_lacks_is_refused_before_there_is_a_volume(tmp_path):
    table = tmp_path / "events.tsv"
    table.write_text(EVENTS)
    with pytest.raises(BadData, match=r"^analysis.contrasts.faces: a contrast names 'goo'.*did you mean 'go'"):
        foreseen.say(Analysis(contrasts={"faces": "goo > rest"}), table)


def test_a_condition_that_never_came_is_said_at_the_end_alone(caplog):
    told = said(Analysis(contrasts={"going": "go > rest"}, conditions=("go", "scene")), EVENTS, caplog)
    assert told == [(20, "after 20 volumes scene of the design is 0 in every volume so far: the models do without it")]


def test_a_design_that_tells_all_apart_is_not_spoken_of(caplog):
    assert said(Analysis(motion=True, motion_terms=24, drift="cosine", volumes=40), EVENTS, caplog, 35) == []


def test_few_volumes_and_volumes_without_a_row_are_no_reason_to_speak(caplog):
    singular = Singular(("a", "b", "c"))
    with caplog.at_level(logging.WARNING, "rtbids"):
        for row in ([1.0, 1, 2], [1, 1, 2], [1, 1, 2], [np.nan, 0, 0]):
            singular.add(np.array(row))
        assert caplog.messages == []
        singular.add(np.array([1.0, 1, 2]))
        singular.add(np.array([1.0, 1, 2]))
        singular.close()
    assert caplog.messages == [
        "after 4 volumes b of the design is a sum of a: the models do without it",
        "after 4 volumes c of the design is a sum of a: the models do without it",
    ]


def test_a_run_without_volumes_is_not_spoken_of(caplog):
    Singular(("a",)).close()
    assert caplog.messages == []
