"""What is kept of a run to be shown: bounded, and spread as numpy says."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from rtbids.run import recent, resources
from rtbids.run.deadlines import Line
from rtbids.run.progress import Progress, Tally
from rtbids.run.recent import Recent, Spread

STAT = "4711 (a (odd) name) S 1 2 3 0 -1 4194304 100 0 0 0 250 50 0 0 20 0 1 0 100 1000 200 " + "0 " * 30
MEMINFO = "MemTotal:       2000 kB\nMemFree:         10 kB\nMemAvailable:   500 kB\nHugePages_Total:       0\n"


def line(volume: int, value: object = 1.0, reason: str | None = None, due: float | None = 2.0, sent: float = 1.0) -> Line:
    return Line(volume, value, "ok" if reason is None else "alternate", reason, 0.0, due, sent)


@pytest.mark.parametrize("count", [1, 2, 99, 1000, 3456])
def test_the_spread_is_that_of_the_latest_numbers(count):
    numbers = np.random.default_rng(6).normal(size=count)
    spread = Spread(1000)
    for number in numbers:
        spread.add(float(number))
    for share in (0.5, 0.99, 1.0):
        # numpy: the least number that so many do not exceed, without interpolation; the same numbers, so no tolerance
        assert spread.at(share) == np.quantile(numbers[-1000:], share, method="inverted_cdf")


def test_of_equal_numbers_the_oldest_go_first():
    spread = Spread(2)
    for number in (1.0, 1.0, 5.0, 5.0):
        spread.add(number)
    assert (spread.at(0.0), spread.at(1.0)) == (5.0, 5.0)
    spread.clear()
    assert spread.at(0.5) is None


def test_a_long_run_keeps_no_more_than_a_short_one():
    tally = Tally("mine")
    for volume in range(5000):
        tally.sent(line(volume))
        tally.recent.moved(0.1)
    kept = tally.recent
    assert {len(column) for column in kept.as_json.values()} == {len(kept.displacements)} == {recent.SHOWN}
    assert kept.as_json["volume"][-1] == 4999
    assert len(kept.latencies._in_order) == len(kept.latencies._latest) == recent.LOOKED_AT


def test_the_next_run_begins_anew_and_the_counts_go_on():
    tally = Tally("mine")
    progress = Progress(tallies=[tally])
    progress.begin("one")
    tally.sent(line(0, reason="deadline"))
    progress.begin("two")
    assert tally.recent.as_json["volume"] == []
    assert tally.reasons == {"deadline": 1}


@pytest.mark.parametrize(("value", "shown"), [(1.23456789, 1.23457), (3, 3.0), (None, None), ({"a": 1.0}, None)])
def test_a_value_is_shown_in_six_digits(value, shown):
    kept = Recent()
    kept.sent(line(0, value), None)
    assert kept.as_json["value"] == [shown]


def test_misses_are_told_from_other_alternates_and_from_lines_without_a_due_time():
    kept = Recent()
    for reason in ("deadline", "paused", "missing", "error", None):
        kept.sent(line(0, reason=reason if reason != "paused" else "deadline"), reason)
    kept.sent(line(0, reason="deadline", due=None), "deadline")
    assert kept.missed(20) == (1, 5)


def test_alternates_of_a_connection_that_was_up_all_the_time_are_told_from_those_of_a_cut():
    kept = Recent()
    for index, received in enumerate((9.0, 11.0, 12.0)):  # it came up at 10
        kept.sent(replace(line(index, reason="link"), received=received), "link")
    kept.sent(replace(line(3, reason="link", due=None), received=13.0), "link")
    assert kept.missed(20) == (0, 3)
    assert kept.held_up(20, 10.0) == 2
    assert kept.held_up(2, 10.0) == 1


def test_what_is_sent_while_feedback_is_paused_is_no_missed_deadline():
    tally = Tally("mine")
    tally.sent(line(0, None, "deadline"), withheld=True)
    assert tally.reasons == {"paused": 1}
    assert tally.recent.missed(20)[0] == 0


def test_the_time_of_a_process_is_read_whatever_its_name():
    # proc(5): utime and stime are fields 14 and 15, in ticks
    assert resources.processor_seconds(STAT) == 300 / resources.os.sysconf("SC_CLK_TCK")
    assert resources.processor_seconds("") is None


def test_a_table_of_proc_is_read():
    assert resources.amounts(MEMINFO)["MemAvailable"] == 500
    assert resources.amounts("pswpin 12\npswpout 3\n") == {"pswpin": 12, "pswpout": 3}


def test_a_process_that_works_is_seen_to(tmp_path):
    import os

    before = resources.counted({"mine": os.getpid()})
    while resources.time.process_time() - before.run < 0.2:  # processor time, however busy the machine is
        sum(range(1000))
    after = resources.counted({"mine": os.getpid()})
    there = resources.looked(before, after, tmp_path)
    assert there.run * (after.moment - before.moment) == pytest.approx(0.2, abs=0.1)
    # the system counts in ticks of 10 ms, and two counts are not of one moment
    assert there.scripts["mine"] * (after.moment - before.moment) == pytest.approx(0.2, abs=0.1)
    assert 0 < there.memory_free <= there.memory
    assert 0 < there.cores <= resources.os.cpu_count()
    assert there.disk_free > 0


@pytest.mark.parametrize(("limit", "cores"), [("150000 100000", 1.5), ("max 100000", None), ("", None)])
def test_a_container_has_the_cores_that_it_is_held_to(limit, cores, tmp_path, monkeypatch):
    (tmp_path / "cpu.max").write_text(limit)
    monkeypatch.setattr(resources, "_CGROUP", tmp_path)
    monkeypatch.setattr(resources.os, "sched_getaffinity", lambda process: {0, 1, 2})
    assert resources.cores() == (cores or 3)


def test_a_container_has_the_memory_that_it_is_held_to(tmp_path, monkeypatch):
    for name, text in (
        ("memory.max", "800000"),
        ("memory.current", "600000"),
        ("memory.stat", "anon 1\ninactive_file 50000\n"),
    ):
        (tmp_path / name).write_text(text)
    proc = tmp_path / "proc"
    proc.mkdir()
    (proc / "meminfo").write_text(MEMINFO)
    monkeypatch.setattr(resources, "_CGROUP", tmp_path)
    monkeypatch.setattr(resources, "_PROC", proc)
    assert resources._memory() == (800000, 250000)


def test_where_a_system_says_nothing_there_is_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr(resources, "_PROC", Path(tmp_path / "proc"))
    monkeypatch.setattr(resources, "_CGROUP", tmp_path)
    counts = resources.counted({"mine": 1})
    there = resources.looked(counts, counts, tmp_path / "nowhere")
    assert (there.memory, there.memory_free, there.swapped, there.disk_free, there.scripts) == (None, None, None, None, {})
