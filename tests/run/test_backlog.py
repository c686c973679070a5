"""A script that is behind: what waits for it, and which answers may leave."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from typing import cast

import pytest
from run.sessions import FAR, Lines, SmallDisk, lane, lines, session, volume

from rtbids.pipeline import Inbox
from rtbids.run.open_run import OpenRun
from rtbids.run.part import Part
from rtbids.run.process import waiting
from rtbids.run.process.host import Answer
from rtbids.run.session import FEW_UNWRITTEN
from rtbids.volume import Item, RunEnd, Volume

MANY = 3 * waiting.MOST_WAITING
SLOW_TO_BEGIN = """
def start(run):
    open({gate!r}).close()

def feedback(volume, run):
    return volume.index
"""


def held_back(gate: str) -> Iterator[Item]:
    """Give many volumes while the script is at its beginning, which ends with them."""
    for index in range(MANY):
        yield volume(index)
    with open(gate, "w"):  # returns once the script waits at the other end
        pass
    yield RunEnd({"subject": "01", "task": "nf", "run": "01"}, MANY)


def test_a_script_that_is_far_behind_loses_nothing_where_nothing_is_archived(tmp_path):
    gate = str(tmp_path / "gate")
    os.mkfifo(gate)
    rows = lines(SLOW_TO_BEGIN.format(gate=gate), tmp_path, held_back(gate), FAR)
    assert [(row["value"], row["status"]) for row in rows] == [(index, "ok") for index in range(MANY)]


def test_where_the_memory_for_it_is_full_the_loss_is_said(tmp_path, monkeypatch, caplog):
    gate = str(tmp_path / "gate")
    os.mkfifo(gate)
    one = volume(0).data.nbytes
    monkeypatch.setattr(waiting, "MOST_HELD", 10 * one)
    rows = lines(SLOW_TO_BEGIN.format(gate=gate), tmp_path, held_back(gate), FAR)
    assert [row["volume"] for row in rows] == list(range(MANY))
    assert rows[-1]["value"] == MANY - 1
    assert "its analysis lacks volume 1 and more: with --bids-dir it would not" in caplog.text


class OnItsWay:
    """A run none of whose volumes is on the disk yet."""

    def is_safe(self, index: int) -> bool:
        return False


@pytest.mark.parametrize(("now", "left"), [(1.0, [(3, "alternate")]), (1.9, [(3, "alternate"), (4, "ok")])])
def test_an_answer_waits_for_the_disk_until_it_is_due_itself(now, left):
    part = Part(cast(OpenRun, OnItsWay()), "last", analysed=True)
    part.deadlines.arrived(3, 0.0, 1.0)
    part.deadlines.arrived(4, 0.9, 1.9)
    part.hold(Answer({}, 4, value=7.0), 0.95)
    found = part.released(1.0, is_broken=False) + part.deadlines.tick(1.0)
    if now > 1.0:
        found += part.released(now, is_broken=False) + part.deadlines.tick(now)
    assert [(line.volume, line.status) for line in found] == left


class SlowToBegin(SmallDisk):
    """An archive whose second run begins when feedback of the first has left."""

    def __init__(self, until: Callable[[], None]) -> None:
        super().__init__(10)
        self._until = until

    def begin(self, volume: Volume, events: str | None) -> SmallDisk:
        if volume.entities["run"] == "02":
            self._until()
        return super().begin(volume, events)


def test_a_run_that_takes_long_to_begin_holds_up_no_feedback_of_another(tmp_path):
    kept, gate = Lines(), tmp_path / "gate"
    os.mkfifo(gate)
    busy = f"def feedback(volume, run):\n    run.entities['run'] == '01' and open({str(gate)!r}).close()\n    return 1\n"

    def until() -> None:
        kept.wait_for(tmp_path.name, 0)  # the first run's alternate, while its script is at the gate
        gate.open("w").close()

    archive = SlowToBegin(until)
    ends = [RunEnd({"subject": "01", "task": "nf", "run": run}, 1) for run in ("01", "02")]
    taken = session([lane(tmp_path, busy, kept, 0.2)], archive)
    taken.run(Inbox(taken.runs.opened(iter([volume(0, "01"), volume(0, "02"), *ends]))))
    first, second = [row for row in kept.rows if row["status"] != "late"]
    assert (first["run"], first["reason"], second["run"]) == ("sub-01_task-nf_run-01", "deadline", "sub-01_task-nf_run-02")


class Stalled(SmallDisk):
    """An archive whose disk takes nothing more until feedback of a late volume has left."""

    def __init__(self, until: Callable[[], None]) -> None:
        super().__init__(1000)
        self._until = until

    def append(self, volume: Volume) -> None:
        self._until()
        super().append(volume)


def test_a_disk_that_stalls_for_long_holds_up_no_feedback(tmp_path):
    kept, many = Lines(), 2 * FEW_UNWRITTEN
    disk = Stalled(lambda: kept.wait_for(tmp_path.name, many - 1))
    rows = lines("def feedback(volume, run):\n    return 1\n", tmp_path, map(volume, range(many)), 0.2, archive=disk, kept=kept)
    assert [row["volume"] for row in rows if row["status"] != "late"] == list(range(many))
    assert [volume.index for volume in disk.volumes] == list(range(many))
