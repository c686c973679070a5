"""Whether the next answer is expected late."""

from __future__ import annotations

import pytest

from rtbids.run.prediction import ENOUGH, LOOKED_AT, Pace


def pace(*seconds: float) -> Pace:
    made = Pace()
    for each in seconds:
        made.took(each)
    return made


def test_as_long_as_little_is_known_nothing_is_expected():
    assert pace(*[9.0] * (ENOUGH - 1)).usual is None
    assert not pace(*[9.0] * (ENOUGH - 1)).misses(1.0, 0.0)


def test_one_slip_moves_nothing():
    assert pace(0.1, 0.1, 5.0, 0.1, 0.1).usual == pytest.approx(0.1)


def test_only_the_latest_count():
    assert pace(*[9.0] * 50, *[0.1] * LOOKED_AT).usual == pytest.approx(0.1)


@pytest.mark.parametrize(
    ("due", "begins", "expected"),
    [(1.0, 0.0, False), (1.0, 0.5, False), (1.0, 0.6, True), (0.4, 0.0, True), (None, 0.0, False)],
)
def test_an_answer_is_late_that_would_come_after_its_due_time(due, begins, expected):
    assert pace(0.5, 0.5, 0.5).misses(due, begins) is expected


def test_a_script_that_is_busy_begins_when_that_is_done():
    usually = pace(0.5, 0.5, 0.5)
    assert not usually.misses(2.0, now=1.0, busy_since=0.8)  # done at 1.3, answered at 1.8
    assert usually.misses(1.7, now=1.0, busy_since=0.8)


def test_that_it_takes_too_long_is_new_once():
    slow = pace(0.5, 0.5, 0.5)
    assert [slow.is_new_that_it_takes_longer_than(limit) for limit in (None, 0.6, 0.4, 0.4, 0.6, 0.4)] == [
        False,
        False,
        True,
        False,
        False,
        False,
    ]
