"""Which run a response belongs to, and when in it it was."""

from __future__ import annotations

import select
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest

from rtbids.run.hearing import MOST_EARLY, Hearing
from rtbids.run.open_run import OpenRun
from rtbids.run.record.recorder import Recorder
from rtbids.run.responses.intake import Inbound
from rtbids.run.responses.responses import Response
from rtbids.volume import Volume, volume_of

RECEIVED = 1000.0  # the first volume's last byte, seconds
TR = 2.0


class Ear:
    """A lane that notes what it is given."""

    def __init__(self) -> None:
        self.heard: list[tuple[str, str, float, int]] = []

    def respond(self, run: OpenRun, response: Response) -> None:
        self.heard.append((run.name, response.value, response.onset, response.after_volume))


def first(index: int = 0, **more: str) -> Volume:
    entities: Mapping[str, str] = {"subject": "01", "task": "nf", "run": "01", **more}
    metadata = {"RepetitionTime": TR, "TaskName": "nf"}
    return volume_of(np.zeros((4, 3, 2), np.int16), np.eye(4), entities, metadata, index, times={"received": RECEIVED})


@pytest.fixture
def ear() -> Ear:
    return Ear()


@pytest.fixture
def inbound() -> Inbound:
    return Inbound()


def begun(volume: Volume) -> OpenRun:
    run = OpenRun(volume, None, Recorder())
    run.takes(volume)
    return run


def test_a_response_has_its_onset_in_the_run_and_the_newest_volume(inbound: Inbound, ear: Any):
    hearing, run = Hearing(inbound), begun(first())
    inbound.put(Response("button", "1", RECEIVED + 0.5))
    hearing.hear([run], [ear])
    assert ear.heard == [("sub-01_task-nf_run-01", "1", 2.5, 0)]


def test_what_came_while_the_first_volume_was_measured_waits_for_it_and_what_came_long_before_is_named(
    inbound: Inbound, ear: Any, caplog
):
    hearing = Hearing(inbound)
    for value, arrived in (("long before", RECEIVED - 60), ("at the trigger", RECEIVED - 2.1), ("in it", RECEIVED - 0.5)):
        inbound.put(Response("button", value, arrived))
    hearing.hear([], [ear])
    assert ear.heard == []
    hearing.begin(begun(first()), [ear])
    assert [(value, onset) for _, value, onset, _ in ear.heard] == [("at the trigger", -0.1), ("in it", 1.5)]
    hearing.close()
    assert "1 responses came while no run was in progress" in caplog.text


def test_echoes_of_one_run_are_told_both_and_write_one_table(inbound: Inbound, ear: Any, monkeypatch):
    written: list[str] = []
    monkeypatch.setattr(OpenRun, "responded", lambda run, response: written.append(run.name))
    runs = [begun(first(echo="1")), begun(first(echo="2")), begun(first(run="02"))]
    hearing = Hearing(inbound)
    inbound.put(Response("button", "1", RECEIVED + 0.5))
    hearing.hear(runs, [ear])
    assert [name for name, _, _, _ in ear.heard] == [run.name for run in runs]
    assert written == [runs[0].name, runs[2].name]


def test_what_waits_for_a_run_is_bounded(inbound: Inbound, ear: Any, caplog):
    hearing = Hearing(inbound)
    for number in range(MOST_EARLY + 10):
        inbound.put(Response("button", str(number), RECEIVED))
    while select.select([hearing], [], [], 0)[0]:
        hearing.hear([], [ear])
    hearing.begin(begun(first()), [ear])
    assert [value for _, value, _, _ in ear.heard] == [str(number) for number in range(10, MOST_EARLY + 10)]
    hearing.close()
    assert "10 responses came while no run" in caplog.text
