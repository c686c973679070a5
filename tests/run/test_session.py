"""A run with a real experiment's process: what a crash or a slow start of the script costs, and what it does not."""

from __future__ import annotations

import logging
import os
import select
import threading
from collections.abc import Iterator
from dataclasses import replace

import nibabel
import numpy as np
import pytest
from run.sessions import FAR, UNPACED, Lines, SmallDisk, lane, lines, session, unpaced, volume

from rtbids.clock import CLOCK
from rtbids.errors import CannotWrite
from rtbids.pipeline import Inbox
from rtbids.run.part import NAMED
from rtbids.run.process.experiment_process import ExperimentProcess
from rtbids.run.process.host import Reply
from rtbids.run.process.shared import Shared
from rtbids.run.recipe import recipe
from rtbids.volume import Item, RunEnd
from rtbids.wakeup import Wakeup


class Restarts(logging.Handler):
    """Notes when the session speaks of a script that ended."""

    def __init__(self) -> None:
        super().__init__()
        self.spoken = threading.Event()

    def emit(self, record: logging.LogRecord) -> None:
        if "started again" in record.getMessage() or "from here on" in record.getMessage():
            self.spoken.set()


@pytest.fixture
def restarts() -> Iterator[Restarts]:
    handler = Restarts()
    logger = logging.getLogger("rtbids")
    logger.addHandler(handler)
    yield handler
    logger.removeHandler(handler)


def test_a_script_that_dies_between_two_runs_is_there_for_the_second(tmp_path, restarts):
    def items() -> Iterator[Item]:
        for run in ("01", "02"):
            yield volume(0, run)
            yield RunEnd({"subject": "01", "task": "nf", "run": run}, 1)
            assert restarts.spoken.wait(30)

    dies = "import os\n\ndef feedback(volume, run):\n    return 7\n\ndef end(run):\n    os._exit(3)\n"
    assert [row["status"] for row in lines(dies, tmp_path, items(), FAR)] == ["ok", "ok"]


def test_a_script_that_takes_longer_to_load_than_to_answer_is_left_to_load(tmp_path):
    # A deadline of 50 ms makes a script silent after half a second; the second time it takes twice as long to load.
    slow = f"""
import os, time
from pathlib import Path

MARK = Path({str(tmp_path / "mark")!r})
if MARK.exists():
    time.sleep(1)

def feedback(volume, run):
    if volume.index == 1:
        MARK.touch()
        os._exit(3)
    return volume.index
"""
    volumes = [volume(0, received=CLOCK.now() + FAR), volume(1), volume(2, received=CLOCK.now() + FAR)]
    rows = lines(slow, tmp_path, iter(volumes), 0.05)
    assert [(row["volume"], row["status"]) for row in rows] == [(0, "ok"), (1, "alternate"), (2, "ok")]


def test_a_script_that_cannot_begin_again_costs_the_feedback_and_not_the_run(tmp_path, caplog):
    broken = f"""
import os
from pathlib import Path

MARK = Path({str(tmp_path / "mark")!r})

def start(run):
    if MARK.exists():
        raise ValueError("no second time")

def feedback(volume, run):
    if volume.index == 1:
        MARK.touch()
        os._exit(3)
    return volume.index
"""
    rows = lines(broken, tmp_path, (volume(index) for index in range(4)), FAR)
    assert [(row["volume"], row["status"]) for row in rows] == [(0, "ok"), (1, "alternate"), (2, "alternate"), (3, "alternate")]
    assert "no second time" in caplog.text


def test_a_script_that_hangs_over_what_it_had_seen_does_not_hold_up_the_run(tmp_path):
    hang = f"""
import time
from pathlib import Path

MARK = Path({str(tmp_path / "mark")!r})

def start(run):
    MARK.exists() and time.sleep(1000)

def feedback(volume, run):
    return volume.index
"""
    (tmp_path / "experiment.py").write_text(hang)
    most = 600  # more than the channel holds
    found = recipe.read(str(tmp_path))
    host = ExperimentProcess(found, lambda entities, index: False, lambda entities, index: Shared(volume(index)))
    host.wait_until_loaded()
    try:
        for index in range(most):
            host.offer(Shared(volume(index)))
            while host.silent_since is not None:
                host.replies()
        (tmp_path / "mark").touch()
        host.restart("for the test")
        host.wait_until_loaded()  # with which it is given what it had seen
        assert host.silent_since is not None
        assert host.backlog == most - 1
    finally:
        host.close()


def test_a_file_in_the_working_directory_is_not_taken_for_a_module(tmp_path, monkeypatch):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "experiment.py").write_text("import mmap\n\ndef feedback(volume, run):\n    return 1\n")
    (tmp_path / "mmap.py").write_text("raise SystemExit(9)\n")
    monkeypatch.chdir(tmp_path)
    host = ExperimentProcess(recipe.read("mine"), lambda entities, index: False, lambda entities, index: None)
    host.wait_until_loaded()
    host.offer(Shared(volume(0)))
    replies: list[Reply] = []
    while not replies:
        select.select([host], [], [])
        replies = host.replies()
    host.close()
    assert [reply.value for reply in replies] == [1]  # type: ignore[union-attr]


def test_no_answer_leaves_for_a_volume_that_the_disk_did_not_take(tmp_path):
    kept, disk = Lines(), SmallDisk(3)
    items = (volume(index) for index in range(6))
    answers = "def feedback(volume, run):\n    return volume.index\n"
    with pytest.raises(CannotWrite, match="no space left"):
        lines(answers, tmp_path, items, FAR, archive=disk, kept=kept)
    assert [row["volume"] for row in kept.rows if row["status"] == "ok"] == [volume.index for volume in disk.volumes]
    assert {row["reason"] for row in kept.rows[3:]} == {"error"}


def test_ctrl_c_does_not_wait_for_a_script_that_hangs_where_nothing_is_due(tmp_path, monkeypatch, caplog):
    monkeypatch.setattr("rtbids.run.process.patience.LAST_WORDS", 0.1)
    hang = f"""
import time
from pathlib import Path

def feedback(volume, run):
    Path({str(tmp_path / "hangs")!r}).write_text("now")
    time.sleep(1000)
"""
    stop = Wakeup()
    os.mkfifo(tmp_path / "hangs")

    def items() -> Iterator[Item]:
        waits = volume(0)
        yield replace(waits, metadata={**waits.metadata, "Paced": False})
        (tmp_path / "hangs").read_text()
        stop.set()

    rows = lines(hang, tmp_path, items(), None, stop=stop)
    assert [(row["volume"], row["status"]) for row in rows] == [(0, "alternate")]
    assert "silent" in caplog.text


def test_an_error_that_comes_at_every_volume_is_said_a_few_times_and_counted(tmp_path, caplog):
    fails = "def feedback(volume, run):\n    raise ValueError('no signal')\n"
    rows = lines(fails, tmp_path, (volume(index) for index in range(20)), FAR)
    said = [record.getMessage() for record in caplog.records if "no signal" in record.getMessage()]
    assert len(rows) == 20
    assert len(said) == NAMED + 1
    assert "17 more volumes" in said[-1]


def every_volume(caplog) -> list[str]:
    return [record.getMessage() for record in caplog.records if "EVERY volume" in record.getMessage()]


def test_a_script_that_fails_from_the_first_volume_on_is_said_to_fail_at_every_one(tmp_path, caplog):
    fails = "def feedback(volume, run):\n    raise ValueError(f'no signal in {volume.index}')\n"
    disk = SmallDisk(100)
    lines(fails, tmp_path, (volume(index) for index in range(8)), FAR, archive=disk)
    early, late = every_volume(caplog)
    messages = [record.getMessage() for record in caplog.records]
    assert f"rtbids status --restart {tmp_path.name}" in early
    assert messages.index(early) < next(place for place, text in enumerate(messages) if "volume 3:" in text)
    assert late == f"{tmp_path.name}: EVERY volume failed, all of its feedback was alternates"
    assert "feedback() raised ValueError: no signal in 0" in str(disk.described)


def test_a_script_that_answered_once_is_not_said_to_fail_at_every_volume(tmp_path, caplog):
    fails = "def feedback(volume, run):\n    return 1 if volume.index == 1 else 1 / 0\n"
    disk = SmallDisk(100)
    lines(fails, tmp_path, (volume(index) for index in range(8)), FAR, archive=disk)
    assert every_volume(caplog) == []
    assert "EveryVolumeFailed" not in str(disk.described)


def test_a_script_that_is_started_again_knows_what_had_left(tmp_path):
    dies = """
import os

def feedback(volume, run):
    if volume.index == 2:
        os._exit(3)
    return len(run.feedback)
"""
    rows = lines(dies, tmp_path, iter([unpaced(index) for index in range(4)]), None)
    # Volume 2 has an alternate, the last value, before volume 3 is asked about.
    assert [(row["value"], row["status"]) for row in rows] == [(0, "ok"), (1, "ok"), (1, "alternate"), (3, "ok")]


def test_a_deadline_that_was_asked_for_holds_where_the_source_waits_too(tmp_path):
    slow = (
        "import time\n\ndef feedback(volume, run):\n    time.sleep(0.8 if volume.index == 1 else 0)\n    return volume.index\n"
    )
    rows = lines(slow, tmp_path, iter([unpaced(index, received=CLOCK.now() - FAR) for index in range(3)]), 0.5)
    assert [(row["volume"], row["status"]) for row in rows if row["status"] != "late"] == [
        (0, "ok"),
        (1, "alternate"),
        (2, "ok"),
    ]


@pytest.mark.parametrize("deadline", [None, 0.5])
def test_what_comes_now_waits_for_nothing_that_was_there_before(tmp_path, deadline):
    gate, kept, count = str(tmp_path / "gate"), Lines(), 20
    os.mkfifo(gate)
    hangs = f"def start(run):\n    open({gate!r}).close()\n\ndef feedback(volume, run):\n    return volume.index\n"

    def items() -> Iterator[Item]:
        yield from map(unpaced, range(count))
        yield volume(count)
        kept.wait_for("one", count)
        with open(gate, "w"):
            pass
        yield volume(count + 1, received=CLOCK.now() + FAR)

    session([lane(tmp_path / "one", hangs, kept, deadline)], is_live=True).run(Inbox(items()))
    due = [row["due"] for row in kept.rows if row["volume"] in range(count + 1) and row["status"] == "alternate"]
    assert len(due) == count + 1
    assert max(due) == due[-1] == kept.rows[count]["received"] + (deadline or 1.0)


def test_without_one_a_source_that_waits_is_answered_however_long_it_takes(tmp_path):
    slow = "import time\n\ndef feedback(volume, run):\n    time.sleep(0.3)\n    return volume.index\n"
    volumes = [replace(unpaced(index), metadata={**UNPACED, "RepetitionTime": 0.01}) for index in range(2)]
    assert [row["status"] for row in lines(slow, tmp_path, iter(volumes), None)] == ["ok", "ok"]


def test_a_volume_on_another_grid_is_left_out_and_the_run_goes_on(tmp_path, caplog):
    odd = replace(unpaced(1), data=np.zeros((5, 3, 2), np.int16))
    rows = lines("def feedback(volume, run):\n    return volume.index\n", tmp_path, iter([unpaced(0), odd, unpaced(2)]), None)
    assert [(row["volume"], row["reason"]) for row in rows] == [(0, None), (1, "missing"), (2, None)]
    assert "volume 1 is left out: expected (4, 3, 2) int16 as before, found (5, 3, 2) int16" in caplog.text


def test_a_second_series_on_another_grid_costs_its_feedback_and_not_the_run(tmp_path, caplog):
    nibabel.save(nibabel.Nifti1Image(np.ones((4, 3, 2), np.uint8), np.eye(4)), tmp_path / "mask.nii")
    (tmp_path / "config.yaml").write_text("rois:\n  target: mask.nii\n")
    other = replace(volume(0, "02"), data=np.zeros((5, 5, 5), np.int16))
    between = [volume(0), other, volume(1), RunEnd(other.entities, 1), RunEnd(volume(0).entities, 2)]
    script = "def feedback(volume, run):\n    return run.roi('target').mean()\n"
    rows = lines(script, tmp_path, iter(between), FAR)
    told = sorted((row["run"], row["volume"], row["status"], row["reason"]) for row in rows)
    assert told == [
        ("sub-01_task-nf_run-01", 0, "ok", None),
        ("sub-01_task-nf_run-01", 1, "ok", None),
        ("sub-01_task-nf_run-02", 0, "alternate", "error"),
    ]
    assert "sub-01_task-nf_run-02 is recorded without feedback" in caplog.text


def test_an_end_that_hangs_is_said_once_and_is_no_loss_of_feedback(tmp_path, monkeypatch, caplog):
    monkeypatch.setattr("rtbids.run.process.patience.LAST_WORDS", 0.2)
    hangs = "import time\n\ndef feedback(volume, run):\n    return volume.index\n\ndef end(run):\n    time.sleep(1000)\n"
    disk = SmallDisk(9)
    rows = lines(hangs, tmp_path / "hangs", iter([unpaced(0), unpaced(1)]), None, archive=disk)
    assert [row["status"] for row in rows] == ["ok", "ok"]
    said = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert said == ["hangs: end() was broken off after 0.2 s"]
    about = disk.described["feedback"]["Experiments"]["hangs"]
    assert about["EndBrokenOff"] == "end() was broken off after 0.2 s"
    assert "GivenUp" not in about
