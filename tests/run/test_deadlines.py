"""The machine that keeps the promise: every case of its table, and its invariants over arbitrary histories."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtbids.run.deadlines import Deadlines, Line


def arrived(machine: Deadlines, *indices: int, deadline: float | None = 1.0) -> None:
    for index in indices:
        machine.arrived(index, float(index), None if deadline is None else index + deadline)


def shown(lines: list[Line]) -> list[tuple[int, object, str, str | None]]:
    return [(line.volume, line.value, line.status, line.reason) for line in lines]


def test_an_answer_in_time_leaves_as_ok_with_its_times():
    machine = Deadlines()
    arrived(machine, 0)
    assert machine.answered(0, 2.5, 0.25) == [Line(0, 2.5, "ok", None, 0.0, 1.0, 0.25)]


def test_an_answer_at_the_due_time_is_in_time():
    machine = Deadlines()
    arrived(machine, 0)
    assert shown(machine.answered(0, 1.0, 1.0)) == [(0, 1.0, "ok", None)]


def test_the_alternate_leaves_when_it_is_due_and_the_answer_follows_as_late():
    machine = Deadlines()
    arrived(machine, 0)
    assert machine.next_due == 1.0
    assert machine.tick(0.999) == []
    assert machine.tick(1.0) == [Line(0, None, "alternate", "deadline", 0.0, 1.0, 1.0)]
    assert machine.answered(0, 7.0, 1.5) == [Line(0, 7.0, "late", None, 0.0, 1.0, 1.5)]
    assert machine.answered(0, 8.0, 1.6) == []


@pytest.mark.parametrize("before", [None, 9.0], ids=["no due time", "a later one"])
def test_what_was_there_before_holds_up_no_line_of_what_comes_now(before):
    machine = Deadlines()
    machine.arrived(0, 0.0, before, gives_way=True)
    machine.arrived(1, 0.5, before, gives_way=True)
    assert machine.next_due == machine.latest_due == before
    machine.arrived(2, 1.0, 2.0)
    assert machine.next_due == machine.latest_due == 2.0
    assert [line.volume for line in machine.tick(2.0)] == [0, 1, 2]


def test_an_answer_that_came_in_time_and_waited_for_the_disk_is_ok_and_says_when_it_left():
    machine = Deadlines()
    arrived(machine, 0)
    (line,) = machine.answered(0, 3.0, now=1.2, came=0.9)
    assert (line.status, line.sent) == ("ok", 1.2)


@pytest.mark.parametrize(
    ("policy", "expected"), [("last", 5.0), ("none", None), (0.25, 0.25)], ids=["last", "none", "a number"]
)
def test_the_policy_decides_what_an_alternate_is(policy, expected):
    machine = Deadlines(policy)
    arrived(machine, 0, 1)
    machine.answered(0, 5.0, 0.1)
    assert shown(machine.tick(2.0)) == [(1, expected, "alternate", "deadline")]


def test_what_the_script_handed_over_replaces_the_policy():
    machine = Deadlines("none")
    machine.hand_over({"level": 3})
    arrived(machine, 0)
    assert shown(machine.tick(1.0)) == [(0, {"level": 3}, "alternate", "deadline")]


def test_a_failure_gives_the_alternate_at_once():
    machine = Deadlines(9.0)
    arrived(machine, 0)
    assert shown(machine.failed(0, 0.1)) == [(0, 9.0, "alternate", "error")]
    assert machine.outstanding == ()


def test_a_late_failure_says_nothing_more():
    machine = Deadlines()
    arrived(machine, 0)
    machine.tick(1.0)
    assert machine.failed(0, 1.1) == []


def test_volumes_that_the_script_passed_over_get_their_alternates_before_its_answer():
    machine = Deadlines("none")
    arrived(machine, 0, 1, 2)
    assert shown(machine.answered(2, 4.0, 0.5)) == [
        (0, None, "alternate", "deadline"),
        (1, None, "alternate", "deadline"),
        (2, 4.0, "ok", None),
    ]


def test_a_missing_volume_waits_for_its_turn():
    machine = Deadlines("none")
    arrived(machine, 0)
    assert machine.missing(1, 0.5) == []
    assert shown(machine.answered(0, 1.0, 0.6)) == [(0, 1.0, "ok", None), (1, None, "alternate", "missing")]


def test_without_a_deadline_nothing_is_ever_due():
    machine = Deadlines()
    arrived(machine, 0, deadline=None)
    assert machine.next_due is None
    assert machine.tick(1e12) == []
    assert shown(machine.answered(0, 1.0, 1e12)) == [(0, 1.0, "ok", None)]


def test_closing_answers_for_whoever_cannot_any_more():
    machine = Deadlines("none")
    arrived(machine, 0, 1)
    assert shown(machine.close(0.1, "error")) == [(0, None, "alternate", "error"), (1, None, "alternate", "error")]


def test_a_volume_that_waits_for_one_before_it_has_its_line_on_time_and_so_has_that_one():
    machine = Deadlines()
    arrived(machine, 0)
    machine.answered(0, 5.0, 0.1)
    machine.expect(2, 2.0, 3.0)
    assert machine.next_due == 3.0
    assert machine.tick(3.0) == [
        Line(1, 5.0, "alternate", "missing", None, None, 3.0),
        Line(2, 5.0, "alternate", "deadline", 2.0, 3.0, 3.0),
    ]
    arrived(machine, 1)  # it was only late
    assert shown(machine.answered(1, 7.0, 3.2)) == [(1, 7.0, "late", None)]
    assert machine.missing(2, 3.3) == []


def test_a_volume_that_comes_while_another_waits_for_it_is_answered_in_time():
    machine = Deadlines()
    machine.expect(1, 1.0, 2.0)
    arrived(machine, 0)
    machine.arrived(1, 1.0, 2.0)
    assert shown(machine.answered(0, 3.0, 0.9)) == [(0, 3.0, "ok", None)]
    assert shown(machine.answered(1, 4.0, 1.9)) == [(1, 4.0, "ok", None)]


steps = st.lists(
    st.tuples(st.sampled_from(["arrive", "expect", "lose", "answer", "fail", "tick"]), st.floats(0, 3), st.integers(0, 5)),
    max_size=60,
)


@given(steps, st.sampled_from(["last", "none", 1.0]), st.sampled_from([None, 0.5, 2.0]))
def test_every_volume_has_one_line_in_order_and_never_after_its_due_time_without_a_tick(history, policy, deadline):
    machine = Deadlines(policy)
    now, following, expected = 0.0, 0, -1
    lines: list[Line] = []
    for what, passed, back in history:
        now += passed
        while machine.next_due is not None and machine.next_due <= now:  # the session ticks at the due time, not after it
            lines += machine.tick(machine.next_due)
        if what == "arrive":
            machine.arrived(following, now, None if deadline is None else now + deadline)
            following += 1
        elif what == "expect":  # it is here, and waits for `following`
            if deadline is not None and following + 1 + back > expected:
                expected = following + 1 + back
                machine.expect(expected, now, now + deadline)
        elif what == "lose":
            lines += machine.missing(following, now)
            following += 1
        elif what == "tick":
            lines += machine.tick(now)
        elif following - 1 - back >= 0:
            index = following - 1 - back
            lines += machine.answered(index, 1.0, now) if what == "answer" else machine.failed(index, now)
    lines += machine.close(now)
    first = [line for line in lines if line.status != "late"]
    assert [line.volume for line in first] == list(range(max(following, expected + 1)))
    assert all(line.sent <= line.due for line in first if line.due is not None)
    assert machine.outstanding == ()
    assert all((line.reason is None) == (line.status != "alternate") for line in lines)
    late = [line.volume for line in lines if line.status == "late"]
    assert len(late) == len(set(late))
    alternates = {line.volume for line in first if line.status == "alternate"}
    assert set(late) <= alternates
