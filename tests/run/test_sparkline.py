"""Bars between round limits."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtbids.cli import sparkline
from rtbids.cli.sparkline import BARS, Scale

NUMBERS = st.floats(-1e12, 1e12, allow_nan=False).filter(lambda number: number == 0 or abs(number) > 1e-9)


@given(st.lists(NUMBERS, min_size=1, max_size=50))
def test_a_scale_holds_all_numbers_and_is_not_much_wider(numbers):
    limits = sparkline.scale(numbers)
    low, high = min(numbers), max(numbers)
    room = 1e-6 * max(abs(low), abs(high), 1e-9)  # the limits are multiples of a step, in floating point
    assert limits.low <= low + room
    assert limits.high >= high - room
    if high - low > 1e-3 * max(abs(low), abs(high)):
        assert limits.high - limits.low <= 3 * (high - low)  # a step at most at each end, and a step is a span's half at most


@given(NUMBERS)
def test_a_number_alone_is_in_the_middle(number):
    assert sparkline.scale([number, None, number]).bar(number) in BARS[2:6]


def test_the_ends_of_a_scale_are_the_lowest_and_the_highest_bar():
    assert (Scale(-2, 4).bar(-2), Scale(-2, 4).bar(4)) == (BARS[0], BARS[-1])
    assert (Scale(-2, 4).bar(-99), Scale(-2, 4).bar(99)) == (BARS[0], BARS[-1])


@pytest.mark.parametrize("numbers", [[], [None], [math.nan, math.inf]])
def test_without_a_number_there_is_no_scale(numbers):
    assert sparkline.scale(numbers) is None


def test_a_scale_stays_while_numbers_stay_within_it():
    assert sparkline.scale([0.11, 0.97]) == sparkline.scale([0.02, 0.93]) == Scale(0.0, 1.0)


@pytest.mark.parametrize(
    ("limits", "said"), [(Scale(-0.0, 0.5), "0 to 0.5"), (Scale(-2, 4), "-2 to 4"), (Scale(0, 1e6), "0 to 1e+06")]
)
def test_a_scale_in_words(limits, said):
    assert str(limits) == said


def test_each_condition_has_a_letter_of_its_own():
    names = ["rest", "task", "tap", "Task", "目", "rr", "r"]
    found = sparkline.letters(names)
    assert len({*found.values()}) == len(names)
    assert sparkline.letters(reversed(names)) == found  # the same from run to run
