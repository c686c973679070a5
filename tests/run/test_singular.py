"""A design whose columns cannot be told apart is named, by name and while the run goes on."""

from __future__ import annotations

import logging

import moving_head as heads
import numpy as np
import pytest
from moving_head import EVENTS, LEFT, RIGHT

from rtbids.analysis.roi import Roi
from rtbids.bids import events as bids_events
from rtbids.run.analysis_config import Analysis
from rtbids.run.chain import Chain
from rtbids.run.singular import Singular

TWICE = EVENTS + "".join(line.replace("go", "stay") + "\n" for line in EVENTS.splitlines()[1:])


def said(analysis: Analysis, events: str, caplog, count: int = 20) -> list[tuple[int, str]]:
    """Return what was warned of, with the volume after which it was; -1 for the end."""
    table = bids_events.read(events, "events")
    first = heads.volume(heads.head(), 0)
    made = Chain(analysis, first, table, {name: Roi(mask, table, 2.0) for name, mask in {"a": LEFT, "b": RIGHT}.items()})
    found = []
    with caplog.at_level(logging.WARNING, "rtbids"):
        for index in range(count):
            caplog.clear()
            made.add(heads.volume(heads.head(), index))
            made.settle()
            found += [(index, message) for message in caplog.messages]
        caplog.clear()
        list(made.maps())
    return [*found, *((-1, message) for message in caplog.messages)]


@pytest.mark.parametrize(
    "analysis",
    [Analysis(contrasts={"mean": "go + stay"}), Analysis(drift="polynomial", volumes=20)],
    ids=["a contrast that can be estimated all the same", "regions alone"],
)
def test_two_conditions_that_are_one_are_said_while_there_is_time(analysis, caplog):
    (told,) = said(analysis, TWICE, caplog)
    volume, message = told
    assert volume in range(4, 8)  # the events begin with volume 4
    assert message.endswith("stay of the design is a sum of go: the models do without it")


def test_a_condition_that_never_came_is_said_at_the_end_alone(caplog):
    told = said(Analysis(contrasts={"going": "go > rest"}, conditions=("go", "scene")), EVENTS, caplog)
    assert told == [(-1, "after 20 volumes scene of the design is 0 in every volume so far: the models do without it")]


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
