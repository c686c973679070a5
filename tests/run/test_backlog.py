"""A script that is behind: what waits for it, and which answers may leave."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import cast

import pytest
from run.sessions import FAR, Lines, SmallDisk, lane, lines, session, volume

from rtbids.pipeline import Inbox
from rtbids.run.lanes import Lane
from rtbids.run.open_run import OpenRun
from rtbids.run.part import Part
from rtbids.run.process import waiting
from rtbids.run.process.experiment_process import ExperimentProcess
from rtbids.run.process.host import Answer
from rtbids.run.process.shared import Shared
from rtbids.run.process.waiting import Room, Waiting
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


ONE = volume(0).data.nbytes


def test_where_the_memory_for_it_is_full_the_loss_is_said(caplog):
    waits = Waiting("mine", Room(10 * ONE))
    for index in range(MANY):
        waits.add(Shared(volume(index)))
        waits.let_go()
    waits.close()
    assert [item.volume.index for item in waits] == list(range(MANY - 10, MANY))
    assert "its analysis lacks volume 0 and more: with --bids-dir or --spool-disk it would not" in caplog.text
    assert f"its analysis lacks {MANY - 10} volumes" in caplog.text


def roomy(folder: Path, script: str, room: Room, kept: Lines) -> Lane:
    made = lane(folder, script, kept)
    made._make_host = lambda *needed: ExperimentProcess(*needed, room=room)
    return made


def test_with_disk_for_it_nothing_is_lost_and_nothing_stays_there(tmp_path, caplog):
    gate = str(tmp_path / "gate")
    os.mkfifo(gate)
    script = SLOW_TO_BEGIN.replace("return volume.index", "return float(volume.data.mean())").format(gate=gate)
    room = Room(10 * ONE, MANY * 4096, tmp_path / "spool")
    session([roomy(tmp_path / "mine", script, room, kept := Lines())]).run(Inbox(held_back(gate)))
    assert [(row["value"], row["status"]) for row in kept.rows] == [(index, "ok") for index in range(MANY)]
    assert stat.S_IMODE((tmp_path / "spool").stat().st_mode) == 0o700
    assert list((tmp_path / "spool").iterdir()) == []
    assert caplog.text == ""


def test_a_disk_that_refuses_counts_as_full(tmp_path, caplog):
    (tmp_path / "file").touch()
    waits = Waiting("mine", Room(0, 10**6, tmp_path / "file"))
    for index in range(3):
        waits.add(Shared(volume(index)))
        waits.let_go()
    assert [item.volume.index for item in waits] == [2]
    assert "takes no more" in caplog.text


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
