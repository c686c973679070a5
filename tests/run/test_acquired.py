"""Which of two runs was acquired first: what a data set says, and where it says nothing."""

from __future__ import annotations

import pytest

from rtbids.run.past.acquired import Acquired, in_order, is_before, moment


def run(session="", task="nf", number="", row=None, acquired="", **more):
    entities = {"subject": "01", "session": session, "task": task, "run": number, **more}
    return Acquired({entity: label for entity, label in entities.items() if label}, moment(acquired), row)


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        (run("1", number="2", acquired="1900-01-02T10:00:00"), run("1", number="1", acquired="1900-01-02T11:00:00"), True),
        (run("2", acquired="1900-01-02T10:00:00"), run("1", acquired="1900-01-03T10:00:00Z"), True),
        (run("1"), run("2"), True),
        (run("2"), run("10"), True),
        (run("day10"), run("day9"), False),
        (run("pre"), run("post"), None),
        (run("pre"), run("2"), None),
        (run("1"), run(""), None),
        (run(number="1"), run(number="02"), True),
        (run(number="3"), run(number="2"), False),
        (run(task="rest"), run(task="nf"), None),
        (run(task="rest", row=0), run(task="nf", row=1), True),
        (run(task="rest", row=2), run(task="nf", row=1), False),
        (run(number="1", row=3), run(number="2", row=1), False),
        (run(number="1", echo="1"), run(number="1", echo="2"), None),
        (run(number="1", part="mag", row=0), run(number="1", part="phase", row=1), None),
        (run(), run(), None),
    ],
)
def test_the_earlier_of_two_runs_is_known_or_it_is_not(one, other, expected):
    assert is_before(one, other) is expected
    assert is_before(other, one) is (None if expected is None else not expected)


@pytest.mark.parametrize("text", ["", "n/a", "yesterday", "10:00:00x"])
def test_what_is_no_moment_tells_nothing(text):
    assert moment(text) is None


def test_runs_are_in_the_order_in_which_they_were_noted():
    first, second, third = run("post"), run("pre"), run("1")
    noted = {second.name: [first.name], third.name: [second.name, first.name], first.name: []}
    assert in_order([third, first, second], noted) == [first, second, third]


def test_a_run_that_nobody_noted_came_before_the_first_that_lists_it():
    localizer, first, second = run("a", task="localizer"), run("b"), run("a")
    noted = {localizer.name: None, first.name: [], second.name: [first.name, localizer.name]}
    assert in_order([second, localizer, first], noted) == [first, localizer, second]


def test_where_nothing_was_noted_sessions_and_runs_count_as_numbers():
    runs = [run("10"), run("2", number="10"), run("2", number="9")]
    assert in_order(runs, {one.name: None for one in runs}) == [runs[2], runs[1], runs[0]]
