"""Experiments on another machine: a link between the run and their processes, which is cut and lost as a test says."""

from __future__ import annotations

import select
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace

import nibabel
import numpy as np
import pytest
from run.far_lanes import ANSWERS, far_lane, rows, statuses, wait_until_cut, wait_until_up
from run.sessions import FAR, Lines, lane, session, volume

from rtbids.clock import CLOCK
from rtbids.errors import ExperimentFault, UsageFault
from rtbids.pipeline import Inbox
from rtbids.run.console.call import Call, Found
from rtbids.run.far.translating import on_our_clock
from rtbids.run.process.experiment_process import ExperimentProcess
from rtbids.run.process.host import Answer
from rtbids.run.process.shared import Shared
from rtbids.run.recipe import recipe
from rtbids.run.responses.responses import Response
from rtbids.volume import Item, RunEnd, Volume

END = RunEnd({"subject": "01", "task": "nf", "run": "01"}, 5)


def test_a_script_there_answers_as_one_here_does(tmp_path, far_side):
    kept = {"here": Lines(), "there": Lines()}
    with far_side() as (launcher, _, _):
        for where, made in (
            ("here", lane(tmp_path / "one", ANSWERS, kept["here"])),
            ("there", far_lane(launcher, tmp_path / "two", ANSWERS, kept["there"])),
        ):
            session([made]).run(Inbox(iter([*(volume(index) for index in range(5)), END])))
            assert [row["status"] for row in kept[where].rows] == ["ok"] * 5
            assert made.usual_crossing > 0
    assert rows(kept["here"]) == rows(kept["there"])


def test_a_volume_crosses_once_for_several_experiments(tmp_path, far_side):
    kept = Lines()
    with far_side() as (launcher, _, link):
        lanes = [far_lane(launcher, tmp_path / name, ANSWERS, kept) for name in ("one", "two", "three")]
        before = link.state.bytes_out
        session(lanes).run(Inbox(large(index) for index in range(4)))
        crossed = link.state.bytes_out - before
    size = large(0).data.nbytes
    assert len(kept.rows) == 12
    assert 4 * size < crossed < 5 * size


def large(index: int) -> Volume:
    voxels = np.random.default_rng(index).integers(0, 1000, (64, 64, 36), np.int16)
    return replace(volume(index), data=voxels)


def test_what_a_script_logs_and_asks_at_the_console_comes_here(tmp_path, far_side, caplog):
    script = """
import logging

def feedback(volume, run):
    logging.getLogger("rtbids").warning("seen %d", volume.index)
    run.console.write("out.txt", b"volume 0" + bytes(100000))
    return len(run.console.read("in.txt"))
"""
    written: list[Call] = []

    def answer(call: Call) -> Found:
        if call.kind == "write":
            written.append(call)
            return Found(None, call.name)
        return Found(memoryview(bytes(12345)), None)

    kept = Lines()
    with far_side() as (launcher, _, _):
        session([far_lane(launcher, tmp_path / "one", script, kept, console=answer)]).run(Inbox(iter([volume(0)])))
    assert rows(kept) == [(0, "ok", 12345)]
    assert [bytes(call.content or b"")[:8] for call in written] == [b"volume 0"]
    assert "one: seen 0" in caplog.text


def test_times_of_the_script_are_told_by_the_clock_here():
    message = {"say": "answer", "analysed": 1003.5, "answered": 1004.0}
    assert on_our_clock(message, 3.0, 2000.0) == {"say": "answer", "analysed": 1000.5, "answered": 1001.0}
    assert on_our_clock(message, 3.0, 1000.75)["answered"] == 1000.75  # within what the offset is not known better
    assert on_our_clock(message, None, 2000.0) == {"say": "answer", "analysed": None, "answered": None}


@pytest.mark.parametrize(
    ("script", "expected"),
    [("def feedback(volume):\n    return 1\n", "feedback"), ("import nothing_of_the_kind\n", "nothing_of_the_kind")],
)
def test_a_script_that_cannot_be_loaded_there_is_told_here(tmp_path, far_side, script, expected):
    with far_side() as (launcher, _, _), pytest.raises(ExperimentFault, match=expected):
        session([far_lane(launcher, tmp_path / "one", script, Lines())]).run(Inbox(iter([volume(0)])))


def test_a_script_that_dies_there_is_started_again_with_what_it_had_seen(tmp_path, far_side, caplog):
    script = f"""
import os
from pathlib import Path

MARK = Path({str(tmp_path / "mark")!r})

def feedback(volume, run):
    if volume.index == 2 and not MARK.exists():
        MARK.touch()
        os._exit(3)
    return volume.index
"""
    kept = Lines()
    with far_side() as (launcher, _, _):
        session([far_lane(launcher, tmp_path / "one", script, kept)]).run(Inbox(volume(index) for index in range(4)))
    assert statuses(kept) == [("ok", None), ("ok", None), ("alternate", "error"), ("ok", None)]
    assert "ended by itself (exit code 3)" in caplog.text


def test_a_script_that_hangs_there_is_ended_and_started_again(tmp_path, far_side, caplog):
    script = f"""
import time
from pathlib import Path

MARK = Path({str(tmp_path / "mark")!r})

def feedback(volume, run):
    if volume.index == 1 and not MARK.exists():
        MARK.touch()
        time.sleep(1000)
    return volume.index
"""
    kept = Lines()

    def items() -> Iterator[Item]:
        yield volume(0, received=CLOCK.now() + FAR)
        yield volume(1)
        kept.wait_for("one", 1)
        yield volume(2, received=CLOCK.now() + FAR)

    with far_side() as (launcher, _, _):
        session([far_lane(launcher, tmp_path / "one", script, kept, 0.1)]).run(Inbox(items()))
    assert statuses(kept) == [("ok", None), ("alternate", "deadline"), ("ok", None)]
    assert "was silent" in caplog.text


def test_during_a_cut_alternates_leave_on_time_and_say_link(tmp_path, far_side, caplog):
    kept = Lines()
    with far_side() as (launcher, road, link):

        def items() -> Iterator[Item]:
            yield volume(0, received=CLOCK.now() + FAR)
            kept.wait_for("one", 0)
            road.is_blocked.set()
            road.cut()
            wait_until_cut(link)
            yield volume(1)
            yield volume(2)
            kept.wait_for("one", 2)
            road.is_blocked.clear()
            wait_until_up(link)
            yield volume(3, received=CLOCK.now() + FAR)

        session([far_lane(launcher, tmp_path / "one", ANSWERS, kept, 0.2)]).run(Inbox(items()))
        assert link.state.cuts == 1
    lines = [row for row in kept.rows if row["status"] != "late"]
    assert [(row["status"], row["reason"]) for row in lines] == [("ok", None), *[("alternate", "link")] * 2, ("ok", None)]
    assert all(row["sent"] - row["due"] < 0.1 for row in lines[1:3])  # type: ignore[operator]
    assert "started again" not in caplog.text


def test_what_an_experiment_needs_is_copied_and_only_what_has_changed(tmp_path, far_side):
    folder = tmp_path / "one"
    (folder / "pictures").mkdir(parents=True)
    (folder / "pictures" / "large.bin").write_bytes(np.random.default_rng(0).bytes(300000))
    (folder / "mine.py").write_text("FACTOR = 2\n")
    script = """
from pathlib import Path

import mine

HERE = Path(__file__).parent

def feedback(volume, run):
    return {"factor": mine.FACTOR, "size": len((HERE / "pictures" / "large.bin").read_bytes()), "where": str(HERE)}
"""
    sizes, values = [], []
    with far_side() as (launcher, _, link):
        for factor in (2, 3):
            (folder / "mine.py").write_text(f"FACTOR = {factor}\n")
            kept, before = Lines(), link.state.bytes_out
            session([far_lane(launcher, folder, script, kept)]).run(Inbox(iter([volume(0)])))
            sizes.append(link.state.bytes_out - before)
            values.append(kept.rows[0]["value"])
    assert [value["factor"] for value in values] == [2, 3]
    assert {value["size"] for value in values} == {300000}
    assert values[0]["where"].startswith(str(tmp_path / "far"))
    assert sizes[0] > 300000
    assert sizes[1] < 100000


def test_masks_and_events_from_elsewhere_are_copied_too(tmp_path, far_side):
    mask = np.zeros((4, 3, 2), np.uint8)
    mask[1:3, 1, 1] = 1
    nibabel.save(nibabel.Nifti1Image(mask, np.eye(4)), tmp_path / "mask.nii")
    script = 'def feedback(volume, run):\n    return run.roi("target").mean()\n'
    (tmp_path / "one").mkdir()
    (tmp_path / "one" / "config.yaml").write_text(f"rois: {{target: {tmp_path / 'mask.nii'}}}\n")
    kept = Lines()
    with far_side() as (launcher, _, _):
        made = far_lane(launcher, tmp_path / "one", script, kept)
        session([made]).run(Inbox(volume(index) for index in range(3)))
        (laid_out,) = (tmp_path / "far" / "laid out").rglob("mask.nii")
    assert laid_out.read_bytes() == (tmp_path / "mask.nii").read_bytes()
    assert rows(kept) == [(0, "ok", 0.0), (1, "ok", 1.0), (2, "ok", 2.0)]


def test_a_folder_that_is_too_large_is_refused_in_one_line(tmp_path, far_side, monkeypatch):
    monkeypatch.setattr("rtbids.run.far.parcel.MOST_BYTES", 10)
    with far_side() as (launcher, _, _), pytest.raises(UsageFault, match="to be copied"):
        session([far_lane(launcher, tmp_path / "one", ANSWERS, Lines())]).run(Inbox(iter([volume(0)])))


def test_run_volumes_has_all_volumes_there_however_many_there_were(tmp_path, far_side):
    script = "def feedback(volume, run):\n    return [float(each.data.mean()) for each in run.volumes][0] + len(run.volumes)\n"
    kept = Lines()
    with far_side() as (launcher, _, _):
        lanes = [far_lane(launcher, tmp_path / name, script, kept) for name in ("one", "two")]
        session(lanes).run(Inbox(iter([*(volume(index) for index in range(40)), RunEnd(END.entities, 40)])))
        assert list((tmp_path / "far" / "laid out" / "volumes").iterdir()) == []
    assert [row["value"] for row in kept.of("one")] == list(range(1, 41))
    assert [row["value"] for row in kept.of("two")] == list(range(1, 41))


def test_run_study_says_that_the_data_set_is_elsewhere(tmp_path, far_side, caplog):
    kept = Lines()
    with far_side() as (launcher, _, _):
        made = far_lane(launcher, tmp_path / "one", "def feedback(volume, run):\n    return len(run.study.runs)\n", kept)
        session([made]).run(Inbox(iter([volume(0)])))
    assert statuses(kept) == [("alternate", "error")]
    assert "on another machine" in caplog.text


def test_button_presses_come_to_a_script_there(tmp_path, far_side):
    script = """
PRESSED = []

def response(event, run):
    PRESSED.append(event.name)

def feedback(volume, run):
    return len(PRESSED)
"""
    (tmp_path / "one").mkdir()
    (tmp_path / "one" / "experiment.py").write_text(script)
    found = recipe.read(str(tmp_path / "one"))
    with far_side() as (launcher, _, _):
        host = ExperimentProcess(found, lambda entities, index: False, lambda entities, index: None, launcher=launcher)
        with closing(host):
            host.wait_until_loaded()
            host.offer(Shared(volume(0)))
            host.respond(volume(0).entities, Response("button", "1", CLOCK.now(), onset=0.5, after_volume=0))
            host.offer(Shared(volume(1)))
            assert [answer.value for answer in answers(host, 2)] == [0, 1]


def answers(host: ExperimentProcess, count: int) -> list[Answer]:
    found: list[Answer] = []
    while len(found) < count:
        assert any(select.select([host], [host] if host.is_behind else [], [], 20))
        host.flush()
        found += [reply for reply in host.replies() if isinstance(reply, Answer)]
    return found
