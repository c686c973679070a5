"""What is said of facts: pure functions of them."""

from __future__ import annotations

import configparser
from dataclasses import replace
from pathlib import Path

import pytest

from rtbids.run.doctor import budget, disk, events, far_side, folder, machine, receiver, synchronised, versions
from rtbids.run.doctor.examination import exit_code
from rtbids.run.doctor.row import Cost, Mark, cannot, look, ok
from rtbids.run.doctor.spread import Spread, amount, span, spread

QUICK = Spread(0.001, 0.002, 0.003, 60)
PLACE = folder.Place("/data", True, True, True, True, False, "ext4", False, 300, 0.002, True, 10**12)
MACHINE = machine.Machine(8.0, 0.5, 32 * 10**9, 20 * 10**9, True)
SAID = {"version": "1", "python": "3.11", "cores": 8, "load": 0.1, "memory": {"available": 2e10}, "free": {"/": 1e11}}
FAR = far_side.FarSide("ssh://h", "f:1", 0.4, SAID, QUICK, QUICK, 1e8, 1e8, "", 0.001, 0.002, 294912)
HEARD = receiver.Reception("RTBIDS", "0.0.0.0", 11112, False, None, ("10.1.1.5/32",), True, 0.01)
COSTS = (Cost("folder", 0.001, 0.02), Cost("script", 0.002, 0.1))


def marks(rows) -> dict[str, Mark]:
    return {row.name: row.mark for row in rows}


@pytest.mark.parametrize(
    ("change", "name", "mark", "code"),
    [
        ({}, "folder", Mark.OK, 0),
        ({"is_there": False}, "folder", Mark.CANNOT, 66),
        ({"is_folder": False}, "folder", Mark.CANNOT, 64),
        ({"is_readable": False}, "folder", Mark.CANNOT, 66),
        ({"filesystem": "nfs4", "is_share": True}, "folder", Mark.LOOK, 0),
        ({"filesystem": "tmpfs"}, "folder", Mark.LOOK, 0),
        ({"looked": 0.5}, "folder", Mark.LOOK, 0),
        ({"is_counted": False}, "folder", Mark.LOOK, 0),
        ({"is_writable": False}, "writing", Mark.LOOK, 0),
        ({"is_writable": False, "is_dataset": True}, "writing", Mark.CANNOT, 73),
        ({"free": 6 * 10**9}, "space", Mark.OK, 0),
        ({"free": 10**9}, "space", Mark.LOOK, 0),
        ({"free": 10**8}, "space", Mark.CANNOT, 73),
    ],
)
def test_a_folder_is_judged_by_what_it_is(change, name, mark, code):
    rows = folder.judge(replace(PLACE, **change), 2.0)
    assert marks(rows)[name] is mark
    assert exit_code(list(rows)) == code


def test_hours_are_those_of_usual_volumes_at_this_tr():
    (space,) = [row for row in folder.judge(replace(PLACE, free=folder.VOLUME * 3600), 2.0) if row.name == "space"]
    assert "2 hours" in space.text


@pytest.mark.parametrize(
    ("heard", "mark"),
    [
        (events.Events("events (inotify)", False, QUICK), Mark.OK),
        (events.Events("events (inotify)", False, QUICK, missed=1), Mark.LOOK),
        (events.Events("events (inotify)", False, replace(QUICK, p99=0.2)), Mark.LOOK),
        (events.Events("events (inotify)", False, None, missed=3), Mark.LOOK),
        (events.Events("polling every 0.2 s (network share: nfs4)", True, events.POLLED), Mark.LOOK),
    ],
)
def test_events_are_well_where_all_come_and_soon(heard, mark):
    assert marks(events.judge(heard)) == {"events": mark}


def test_where_no_event_comes_a_file_waits_for_the_look_that_a_watch_takes_anyway():
    assert events.costs(events.Events("events", False, None, 3))[0].p99 == 2.0


@pytest.mark.parametrize(
    ("written", "synced", "mark"),
    [(QUICK, QUICK, Mark.OK), (replace(QUICK, median=0.2), QUICK, Mark.LOOK), (QUICK, replace(QUICK, worst=1.5), Mark.LOOK)],
)
def test_a_disk_is_well_where_nothing_waits_for_it(written, synced, mark):
    assert marks(disk.judge(disk.Disk(written, synced))) == {"disk": mark}


@pytest.mark.parametrize(
    ("change", "name"),
    [
        ({"cores": 1.0}, "processors"),
        ({"load": 9.0}, "processors"),
        ({"memory_free": 5 * 10**8}, "memory"),
        ({"is_first": False}, "real time"),
    ],
)
def test_a_machine_that_may_be_late_is_looked_at(change, name):
    assert set(marks(machine.judge(MACHINE)).values()) == {Mark.OK}
    found = marks(machine.judge(replace(MACHINE, **change)))
    assert [each for each, mark in found.items() if mark is not Mark.OK] == [name]


def test_what_a_system_does_not_say_is_left_out():
    assert "memory" not in marks(machine.judge(machine.Machine(2.0, None, None, None, True)))


@pytest.mark.parametrize(("is_kept", "mark"), [(True, Mark.OK), (False, Mark.LOOK), (None, Mark.LOOK)])
def test_a_clock_that_nobody_keeps_is_looked_at(is_kept, mark):
    assert marks(synchronised.judge(synchronised.Synchronised(is_kept, 0.01))) == {"clock": mark}


@pytest.mark.parametrize(
    ("change", "name"),
    [
        ({"machine": {**SAID, "load": 20.0}}, "far side"),
        ({"machine": {**SAID, "memory": {"available": 10**8}}}, "far side"),
        ({"machine": {**SAID, "free": {"/": 10**9}}}, "far side"),
        ({"crossing": replace(QUICK, median=1.5)}, "link"),
        ({"offset": -3.0}, "far clock"),
        ({"machine": {**SAID, "place": {"path": "/x", "is_there": False, "is_writable": True}}}, "far place"),
        ({"machine": {**SAID, "place": {"path": "/x", "is_there": True, "is_readable": True}}}, "far place"),
        ({"machine": {**SAID, "place": {"path": "/x", "refused": "/x is not allowed here"}}}, "far place"),
    ],
)
def test_a_far_side_that_may_be_late_is_looked_at(change, name):
    assert set(marks(far_side.judge(FAR, 2.0)).values()) == {Mark.OK}
    found = marks(far_side.judge(replace(FAR, **change), 2.0))
    assert [each for each, mark in found.items() if mark is not Mark.OK] == [name]


def test_a_far_side_that_says_nothing_of_itself_is_no_fault():
    rows = far_side.judge(replace(FAR, machine={}, offset=None, uncertainty=None), 2.0)
    assert set(marks(rows).values()) == {Mark.OK}


@pytest.mark.parametrize(
    ("change", "found"),
    [
        ({}, {"port": Mark.OK, "senders": Mark.OK}),
        ({"hosts": None}, {"port": Mark.OK, "senders": Mark.LOOK}),
        ({"hosts": None, "aets": ("MR1",)}, {"port": Mark.OK, "senders": Mark.OK}),
        ({"host": "127.0.0.1"}, {"port": Mark.OK, "senders": Mark.LOOK}),
        ({"echo": None}, {"port": Mark.CANNOT, "senders": Mark.OK}),
        ({"echo": None, "is_tried": False}, {"port": Mark.OK, "senders": Mark.OK}),
    ],
)
def test_a_receiver_is_well_where_it_answers_and_knows_its_senders(change, found):
    assert marks(receiver.judge(replace(HEARD, **change))) == found


def test_what_rtbids_needs_and_lacks_cannot_be_done_without():
    rows = versions.judge_versions(versions.Versions("1", "3.11", "Linux", {"numpy": "2.0", "pydicom": None}))
    assert [(row.mark, row.code, row.do) for row in rows] == [(Mark.CANNOT, 64, "pip install pydicom")]


def test_each_part_that_is_absent_is_named_with_what_it_is_for_and_is_no_fault():
    rows = versions.judge_parts(versions.Parts({"fast": True, "lsl": False}, True))
    assert {row.mark for row in rows} == {Mark.OK}
    assert [row.text for row in rows] == ["fast, dcm2niix", "for feedback and responses by LSL: pip install 'rtbids[lsl]'"]


def test_every_extra_that_a_user_may_want_is_among_the_parts():
    settings = configparser.ConfigParser()
    settings.read(Path(__file__).parents[2] / "setup.cfg", encoding="utf-8")
    extras = set(settings["options.extras_require"]) - {"test", "check", "docs", "bench"}
    assert extras == {part.install.removeprefix("rtbids[").rstrip("]") for part in versions.PARTS.values()}


def test_the_parts_add_up_on_the_safe_side():
    found = budget.budget(COSTS, 1.0)
    assert found.median == pytest.approx(0.003)
    assert (found.p99, found.left, found.smallest) == (pytest.approx(0.12), pytest.approx(0.88), 0.12)


def test_a_link_may_bound_the_tr_where_the_way_itself_is_short():
    assert budget.budget(COSTS, 1.0, transfer=0.4).smallest == 0.5  # 0.4 s of 0.5 s are 80 % of it


@pytest.mark.parametrize(
    ("time", "mark", "code"), [(1.0, Mark.OK, 0), (0.2, Mark.LOOK, 0), (0.12, Mark.LOOK, 0), (0.1, Mark.CANNOT, 1)]
)
def test_a_deadline_of_one_tr_is_judged_by_what_it_leaves(time, mark, code):
    rows = budget.judge(budget.budget(COSTS, time))
    assert marks(rows)["deadline"] is mark
    assert exit_code(list(rows)) == code


@pytest.mark.parametrize(
    ("costs", "time", "rows", "said"),
    [
        (
            COSTS,
            1.0,
            [],
            "This machine can give feedback 0.12 s after a volume; at a TR of 1 s that leaves 0.88 s for your script.",
        ),
        (
            COSTS[1:],
            1.0,
            [look("clock", "", "")],
            "This machine can give feedback 0.10 s after a volume is here; at a TR of 1 s that leaves 0.90 s for your script.",
        ),
        (
            COSTS,
            0.1,
            [],
            "Feedback comes 120 ms after a volume, and a TR of 0.1 s is too short for this machine: 0.12 s is the smallest.",
        ),
        (COSTS, 1.0, [ok("clock", ""), cannot("ssh", "", code=75)], "It cannot work like this: look at ssh above."),
    ],
)
def test_the_last_sentence_says_what_follows(costs, time, rows, said):
    assert budget.sentence(budget.budget(costs, time), rows) == said


def test_the_exit_code_is_that_of_the_first_thing_in_the_way():
    assert exit_code([ok("a", ""), cannot("b", "", code=73), cannot("c", "", code=75)]) == 73
    assert exit_code([ok("a", ""), look("b", "", "")]) == 0


def test_the_p99_of_few_is_the_worst_of_them_and_of_many_is_not():
    assert spread([0.3, 0.1, 0.2]) == Spread(0.2, 0.3, 0.3, 3)
    assert spread([float(number) for number in range(1, 201)]).p99 == 198.0


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.0003, "0.3 ms"), (0.0099, "9.9 ms"), (0.00996, "10 ms"), (0.12, "120 ms"), (0.9996, "1.0 s")]
)
def test_times_have_two_digits(seconds, text):
    assert span(seconds) == text


@pytest.mark.parametrize(("count", "text"), [(0, "0 B"), (294912, "295 kB"), (999.9e6, "1 GB"), (6.5e12, "6.5 TB")])
def test_amounts_have_a_unit(count, text):
    assert amount(count) == text
