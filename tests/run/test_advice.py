"""Why answers are late, from what was measured, and what is said of it."""

from __future__ import annotations

import logging
import threading
from dataclasses import replace

import pytest
from run.sessions import Lines, lane, session, volume

from rtbids.pipeline import Inbox
from rtbids.run.control import advice
from rtbids.run.control.advice import Lag
from rtbids.run.control.lookout import LatestWarnings, Lookout
from rtbids.run.deadlines import Line
from rtbids.run.progress import Linked
from rtbids.run.resources import Resources

CALM = Resources(2.0, 0.5, 0.1, {"mine": 1.0}, 8_000_000_000, 4_000_000_000, 0.0, 10**11)
LAG = Lag("mine", 15, 20, 1.0, 1.6, 0.1, 0, CALM)
FAR = Linked("cloud", True, 0.0, resources=CALM)
BUSY = "import time\n\ndef feedback(volume, run):\n    end = time.time() + 1.5\n    while time.time() < end:\n        pass\n"


@pytest.mark.parametrize(
    ("lag", "cause", "words"),
    [
        (LAG, "script", ["15 of the latest 20", "deadline of 1 s", "1.6 s", "more cores do not help", "do less in feedback()"]),
        (replace(LAG, usual_analysis=1.2), "script", ["the analysis takes", "less preprocessing", "rtbids[fast]"]),
        (replace(LAG, resources=replace(CALM, scripts={"mine": 1.9})), "script", ["1.9 of 2 cores"]),
        (
            replace(LAG, resources=replace(CALM, scripts={"mine": 0.6}, load=5.5)),
            "load",
            ["load 5.5", "its 2 cores", "end what"],
        ),
        (replace(LAG, resources=replace(CALM, scripts={"mine": 0.02})), "waiting", ["2 % of a core", "the network"]),
        (replace(LAG, resources=replace(CALM, memory_free=10**8)), "memory", ["short of memory", "0.1 GB of 8.0 GB"]),
        (replace(LAG, resources=replace(CALM, swapped=5e7)), "memory", ["short of memory"]),
        (replace(LAG, unwritten=40), "disk", ["40 volumes", "local disk"]),
        (replace(LAG, resources=Resources(2.0)), "unknown", ["--deadline"]),
        (
            replace(LAG, usual=0.01, resources=replace(CALM, scripts={"mine": 0.02}, load=5.5)),
            "late",
            ["0.01 s", "too late", "--deadline"],
        ),
        (replace(LAG, link=FAR, held_up=14), "link", ["connection to cloud is too slow", "fewer voxels", "longer --deadline"]),
        (replace(LAG, link=FAR, usual_crossing=1.2), "link", ["connection to cloud", "faster connection"]),
        (replace(LAG, link=FAR, usual_crossing=0.2), "script", ["do less in feedback()"]),
        (replace(LAG, usual_crossing=1.2), "script", ["do less in feedback()"]),  # a machine that is too busy to pass it on
        (replace(LAG, link=FAR, held_up=2), "script", ["do less in feedback()"]),
        (replace(LAG, link=FAR, resources=replace(CALM, memory_free=10**8)), "memory", ["cloud is short of memory"]),
        (replace(LAG, link=FAR, resources=replace(CALM, scripts={}, load=9.0)), "load", ["cloud has more to do", "more cores"]),
    ],
)
def test_the_cause_is_told_and_what_to_change(lag, cause, words, monkeypatch):
    monkeypatch.setattr(advice, "find_spec", lambda name: None)
    assert advice.cause(lag) == cause
    said = advice.advice(lag)
    assert [word for word in words if word not in said] == []
    assert "\n" not in said


def test_numba_is_not_advised_where_it_is(monkeypatch):
    monkeypatch.setattr(advice, "find_spec", lambda name: object())
    assert "fast" not in advice.advice(replace(LAG, usual_analysis=1.2))


@pytest.mark.parametrize(
    ("missed", "had_due", "is_often", "is_over"),
    [(0, 0, False, True), (9, 9, False, False), (5, 10, True, False), (9, 20, False, False), (4, 20, False, True)],
)
def test_a_slip_is_no_reason_to_say_anything(missed, had_due, is_often, is_over):
    lag = replace(LAG, missed=missed, had_due=had_due)
    assert (lag.is_often, lag.is_over) == (is_often, is_over)


def test_a_script_that_is_too_slow_is_said_once_and_stays_in_the_status(tmp_path, caplog):
    kept = Lines()
    made = session([lane(tmp_path / "mine", BUSY, kept, 0.01)])
    made.progress.resources = CALM
    logging.getLogger("rtbids").addHandler(latest := LatestWarnings(made.progress))
    lookout = Lookout(made, tmp_path)

    def items():
        for index in range(12):
            yield volume(index)
            kept.wait_for("mine", index)  # each is an alternate, 10 ms after its volume
        lookout.look()
        lookout.look()

    with caplog.at_level(logging.WARNING, "rtbids"):
        made.run(Inbox(items()))
    logging.getLogger("rtbids").removeHandler(latest)
    (said,) = [record.getMessage() for record in caplog.records if "of the latest 12" in record.getMessage()]
    assert said == f"mine: {made.lanes[0].tally.advice}"
    assert "12 of the latest 12 answers missed the deadline of 0.01 s" in said
    assert said in [each.message for each in made.progress.warnings]
    assert made.progress.resources.disk_free > 0


@pytest.mark.parametrize(("is_up", "wanted"), [(True, "fewer voxels"), (False, None)])
def test_a_connection_that_is_too_slow_is_said_and_one_that_is_cut_is_no_reason_for_it(is_up, wanted, tmp_path):
    made = session([lane(tmp_path / "mine", BUSY, Lines(), 1.0)])
    made.progress.link = replace(FAR, is_up=is_up)
    for index in range(12):
        made.lanes[0].tally.sent(Line(index, None, "alternate", "link", 1.0 + index, 2.0 + index, 2.0 + index))
    Lookout(made, tmp_path).look()
    advised = made.lanes[0].tally.advice
    assert (wanted is None and advised is None) or wanted in advised


def test_the_latest_warnings_are_few_and_all_are_counted():
    progress = session([]).progress
    for number in range(50):
        progress.warn(float(number), f"warning {number}")
    assert progress.warned == 50
    assert [each.message for each in progress.warnings] == [f"warning {number}" for number in range(45, 50)]


def test_a_look_that_fails_ends_nothing(monkeypatch):
    lookout, failed = Lookout(session([]), None), threading.Event()

    def fail() -> None:
        failed.set()
        raise OSError("no such file")

    monkeypatch.setattr(lookout, "look", fail)
    monkeypatch.setattr("rtbids.run.control.lookout.EVERY", 0.0)
    with lookout:
        assert failed.wait(10)
        failed.clear()
        assert failed.wait(10)  # and it looks again
