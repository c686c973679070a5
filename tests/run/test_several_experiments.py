"""Several experiments on one stream: what one does to itself it does to no other, and all read the same pages."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Iterator

import nibabel
import numpy as np
import pytest
from run.sessions import Lines, Loop, SmallDisk, lane, session, unpaced, volume

from rtbids.archive.dataset import Archive
from rtbids.clock import CLOCK, ManualClock
from rtbids.errors import BadData, ExperimentFault, RtbidsError
from rtbids.pipeline import Inbox
from rtbids.run.hearing import Hearing
from rtbids.run.progress import Progress
from rtbids.run.responses.intake import Inbound
from rtbids.run.responses.responses import Response
from rtbids.run.session import Session
from rtbids.volume import Item, RunEnd
from rtbids.wakeup import Wakeup

ANSWERS = "def feedback(volume, run):\n    return volume.index\n"
HANGS = "import time\n\ndef feedback(volume, run):\n    volume.index >= 1 and time.sleep(1000)\n    return volume.index\n"
DIES = "import os\n\ndef feedback(volume, run):\n    os._exit(3)\n"
RAISES = "def feedback(volume, run):\n    raise ValueError('no')\n"
CANNOT_START = "def start(run):\n    raise ValueError('no model')\n\n" + ANSWERS
SLOW_TO_BEGIN = "import time\n\ndef start(run):\n    time.sleep(1000)\n\n" + ANSWERS
COUNT = 12


@pytest.mark.parametrize(
    "trouble", [HANGS, DIES, RAISES, CANNOT_START, SLOW_TO_BEGIN], ids=["hang", "exit", "raise", "start", "slow"]
)
@pytest.mark.parametrize("place", [0, 1], ids=["first", "second"])
def test_an_experiment_in_trouble_delays_no_other(tmp_path, monkeypatch, trouble, place):
    monkeypatch.setattr("rtbids.run.process.patience.LAST_WORDS", 0.1)
    kept = Lines()
    lanes = [lane(tmp_path / "answers", ANSWERS, kept)]
    lanes.insert(place, lane(tmp_path / "trouble", trouble, kept, deadline=0.05))

    def items() -> Iterator[Item]:
        for index in range(COUNT):
            yield volume(index)
            kept.wait_for("answers", index)  # each is answered before the next is there

    both = session(lanes)
    both.run(Inbox(items()))
    assert [row["value"] for row in kept.of("answers")] == list(range(COUNT))
    assert {row["status"] for row in kept.of("answers")} == {"ok"}
    assert [row["volume"] for row in kept.of("trouble") if row["status"] != "late"] == list(range(COUNT))


def test_a_fault_that_all_have_ends_the_run_with_the_first(tmp_path):
    kept = Lines()
    both = session([lane(tmp_path / name, CANNOT_START, kept) for name in ("one", "other")])
    with pytest.raises(ExperimentFault, match="no model"):
        both.run(Inbox(volume(index) for index in range(3)))


def test_what_cannot_be_loaded_is_known_before_the_first_volume(tmp_path):
    kept = Lines()
    lanes = [lane(tmp_path / "answers", ANSWERS, kept), lane(tmp_path / "broken", "x = 1\n", kept)]
    with pytest.raises(ExperimentFault, match="expected a function feedback"):
        session(lanes)


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_all_read_the_same_pages(tmp_path):
    """The inode of a mapped memory file tells that it is one and the same."""
    inode = """
def feedback(volume, run):
    at = volume.data.__array_interface__["data"][0]
    for line in open("/proc/self/maps"):
        span, _, _, _, inode = line.split()[:5]
        low, high = (int(end, 16) for end in span.split("-"))
        if low <= at < high:
            return int(inode)
"""
    kept = Lines()
    session([lane(tmp_path / name, inode, kept) for name in "abc"]).run(Inbox(unpaced(index) for index in range(5)))
    by_volume = [{row["value"] for row in kept.rows if row["volume"] == index} for index in range(5)]
    assert [len(inodes) for inodes in by_volume] == [1] * 5
    assert len(set.union(*by_volume)) == 5


def test_they_share_one_table_and_the_latencies_are_the_firsts(tmp_path):
    kept, disk = Lines(), SmallDisk(100)
    lanes = [lane(tmp_path / name, ANSWERS, kept) for name in ("one", "other")]
    session(lanes, disk).run(Inbox(unpaced(index) for index in range(4)))
    told = sorted((row[2], row[0]) for row in disk.tables["feedback"].rows)
    assert told == [(index, name) for index in range(4) for name in ("one", "other")]
    sent = [row["sent"] for row in kept.of("one")]
    assert [row[0] for row in disk.tables["latency"].rows] == list(range(4))
    assert [row[-1] for row in disk.tables["latency"].rows] == sent


def test_regions_on_another_grid_cost_the_experiment_that_has_them(tmp_path, caplog):
    nibabel.save(nibabel.Nifti1Image(np.ones((9, 9, 9), np.uint8), np.eye(4)), tmp_path / "mask.nii")
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "config.yaml").write_text("rois:\n  target: ../mask.nii\n")
    kept = Lines()
    session([lane(tmp_path / name, ANSWERS, kept) for name in ("one", "other")]).run(Inbox([unpaced(0), unpaced(1)]))
    assert [row["status"] for row in kept.of("one")] == ["ok", "ok"]
    assert [row["reason"] for row in kept.of("other")] == ["error", "error"]
    assert "recorded without feedback" in caplog.text


def test_where_no_region_fits_nothing_is_written(tmp_path):
    nibabel.save(nibabel.Nifti1Image(np.ones((9, 9, 9), np.uint8), np.eye(4)), tmp_path / "mask.nii")
    kept, disk = Lines(), SmallDisk(9)
    lanes = []
    for name in ("one", "other"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "config.yaml").write_text("rois:\n  target: ../mask.nii\n")
        lanes.append(lane(tmp_path / name, ANSWERS, kept))
    with pytest.raises(BadData, match="the mask's grid is 9×9×9"):
        session(lanes, disk).run(Inbox([volume(0)]))
    assert disk.volumes == []


def test_one_that_is_added_in_the_middle_is_given_what_came_before(tmp_path):
    seen = "SEEN = []\n\ndef feedback(volume, run):\n    return len(run.roi('all').series())\n"
    nibabel.save(nibabel.Nifti1Image(np.ones((4, 3, 2), np.uint8), np.eye(4)), tmp_path / "mask.nii")
    (tmp_path / "late").mkdir()
    (tmp_path / "late" / "config.yaml").write_text("rois:\n  all: ../mask.nii\n")
    kept, archive = Lines(), Archive(tmp_path / "study")
    both = session([lane(tmp_path / "first", ANSWERS, kept)], archive)
    loop = Loop(both)

    def items() -> Iterator[Item]:
        for index in range(6):
            if index == 3:
                loop.join(lane(tmp_path / "late", seen, kept))
            yield unpaced(index)
            kept.wait_for("first", index)

    both.run(Inbox(items()))
    archive.close()
    assert [(row["volume"], row["value"], row["status"]) for row in kept.of("late")] == [
        (3, 4, "ok"),
        (4, 5, "ok"),
        (5, 6, "ok"),
    ]


def test_one_that_is_stopped_has_no_more_lines_and_the_others_go_on(tmp_path):
    ended = tmp_path / "ended"
    kept, disk = Lines(), SmallDisk(100)
    ends = f"{ANSWERS}\ndef end(run):\n    open({str(ended)!r}, 'w').close()\n"
    first, second = lane(tmp_path / "first", ends, kept), lane(tmp_path / "second", ANSWERS, kept)
    both = session([first, second], disk)
    loop = Loop(both)

    def items() -> Iterator[Item]:
        for index in range(6):
            if index == 3:
                kept.wait_for("first", 2)
                loop.do(lambda: both.stop_lane(first))
            yield unpaced(index)
            kept.wait_for("second", index)
        yield RunEnd(unpaced(0).entities, 6)

    both.run(Inbox(items()))
    assert [row["volume"] for row in kept.of("first")] == [0, 1, 2]
    assert [row["volume"] for row in kept.of("second")] == list(range(6))
    assert [row[0] for row in disk.tables["latency"].rows] == list(range(6))
    assert ended.exists()
    assert [one.name for one in both.lanes] == ["second"]


def test_a_run_that_no_experiment_is_left_in_is_recorded_all_the_same(tmp_path):
    kept, disk = Lines(), SmallDisk(100)
    alone = lane(tmp_path / "alone", ANSWERS, kept)
    run = session([alone], disk)
    loop = Loop(run)

    def items() -> Iterator[Item]:
        yield unpaced(0)
        kept.wait_for("alone", 0)
        loop.do(lambda: run.stop_lane(alone))
        for index in range(1, 4):
            yield unpaced(index)

    run.run(Inbox(items()))
    assert [row["volume"] for row in kept.rows] == [0]
    assert [volume.index for volume in disk.volumes] == list(range(4))
    assert [row[0] for row in disk.tables["latency"].rows] == list(range(4))


def test_while_feedback_is_paused_values_are_null_and_the_analysis_goes_on(tmp_path):
    nibabel.save(nibabel.Nifti1Image(np.ones((4, 3, 2), np.uint8), np.eye(4)), tmp_path / "mask.nii")
    (tmp_path / "one").mkdir()
    (tmp_path / "one" / "config.yaml").write_text("rois:\n  all: ../mask.nii\n")
    kept, disk = Lines(), SmallDisk(100)
    counts = "def feedback(volume, run):\n    return len(run.roi('all').series())\n"
    run = session([lane(tmp_path / "one", counts, kept)], disk)

    def items() -> Iterator[Item]:
        for index in range(6):
            run.paused = index in (2, 3)
            yield volume(index, received=None)
            kept.wait_for("one", index)

    run.run(Inbox(items()))
    told = [(row["value"], row["status"], row["reason"]) for row in kept.rows]
    null = (None, "alternate", "deadline")
    assert told == [(1, "ok", None), (2, "ok", None), null, null, (5, "ok", None), (6, "ok", None)]
    assert disk.described["feedback"]["Experiments"]["one"]["Paused"] == [[2, 3]]


@pytest.mark.parametrize("archived", [True, False], ids=["archived", "kept nowhere"])
def test_one_that_is_added_has_the_responses_that_came_before(tmp_path, archived):
    seen = """
def response(event, run):
    raise RuntimeError("it was asked already")

def feedback(volume, run):
    return {"events": [event.trial_type for event in run.events.rows], "heard": [each.after_volume for each in run.responses]}
"""
    kept, inbound, clock = Lines(), Inbound(), ManualClock(1000.0)
    archive = Archive(tmp_path / "study") if archived else None
    first = lane(tmp_path / "first", ANSWERS, kept)
    both = Session([first], archive, clock=CLOCK, stop=Wakeup(), progress=Progress(), hearing=Hearing(inbound))
    loop = Loop(both)

    def items() -> Iterator[Item]:
        for index in range(5):
            for _ in range(index if index < 3 else 0):
                inbound.put(Response(f"event{index}", arrived=1000.5))
            for _ in range(2):
                loop.do(lambda: None)  # the loop hears, then does what is asked of it: at the second it has heard
            if index == 3:
                loop.join(lane(tmp_path / "late", seen, kept))
            yield unpaced(index, received=clock.advance(1.0))
            kept.wait_for("first", index)

    both.run(Inbox(items()))
    if archive is not None:
        archive.close()
    rows = kept.of("late")
    assert [row["volume"] for row in rows] == [3, 4]
    assert {row["status"] for row in rows} == {"ok"}
    assert rows[0]["value"] == {"events": ["event1", "event2", "event2"], "heard": [0, 1, 1]}


NEVER_LOADED = {"raises": "raise ValueError('no')\n", "dies": "import os\nos._exit(3)\n", "lacks": "x = 1\n"}


@pytest.mark.parametrize("script", NEVER_LOADED.values(), ids=NEVER_LOADED)
def test_one_that_cannot_be_loaded_leaves_no_trace_in_the_run(tmp_path, caplog, script):
    kept, disk, told = Lines(), SmallDisk(100), []
    both = session([lane(tmp_path / "first", ANSWERS, kept)], disk)
    loop = Loop(both)

    def items() -> Iterator[Item]:
        for index in range(6):
            if index == 2:
                told.append(loop.join(lane(tmp_path / "late", script, kept)))
            yield volume(index)
            kept.wait_for("first", index)
        yield RunEnd(volume(0).entities, 6)

    both.run(Inbox(items()))
    assert [isinstance(error, RtbidsError) for error in told] == [True]
    assert kept.of("late") == []
    assert {row[0] for row in disk.tables["feedback"].rows} == {"first"}
    assert list(disk.described["feedback"]["Experiments"]) == ["first"]
    assert [tally.experiment for tally in [*both.progress.left, *both.progress.tallies]] == ["first"]
    assert "late is not started" in caplog.text
    assert "alternates" not in caplog.text


def test_one_that_takes_long_to_load_has_lines_from_then_on_and_its_analysis_lacks_nothing(tmp_path):
    gate = tmp_path / "gate"
    os.mkfifo(gate)
    waits = f"open({str(gate)!r}).close()\n"  # until somebody is at the other end
    counts = "\ndef feedback(volume, run):\n    return len(run.roi('all').series())\n"
    nibabel.save(nibabel.Nifti1Image(np.ones((4, 3, 2), np.uint8), np.eye(4)), tmp_path / "mask.nii")
    (tmp_path / "late").mkdir()
    (tmp_path / "late" / "config.yaml").write_text("rois:\n  all: ../mask.nii\n")
    kept, archive, loaded = Lines(), Archive(tmp_path / "study"), threading.Event()
    both = session([lane(tmp_path / "first", ANSWERS, kept)], archive)
    loop, late = Loop(both), lane(tmp_path / "late", waits + counts, kept)
    late.is_added, late.on_begun = True, lambda error: loaded.set()

    def items() -> Iterator[Item]:
        for index in range(6):
            if index == 1:
                loop.do(lambda: both.add(late))
            if index == 4:
                assert kept.of("late") == []
                gate.open("w").close()
                assert loaded.wait(30)
            yield unpaced(index)
            kept.wait_for("first", index)

    both.run(Inbox(items()))
    archive.close()
    assert [(row["volume"], row["value"], row["status"]) for row in kept.of("late")] == [(4, 5, "ok"), (5, 6, "ok")]
