"""Clocks: the machine's, carried on evenly, and one that is moved by hand."""

from __future__ import annotations

import time

import pytest

from rtbids.clock import CLOCK, ManualClock, SystemClock


def test_the_clock_starts_at_the_machines_time() -> None:
    before = time.time()
    now = SystemClock().now()
    assert before - 0.01 <= now <= time.time() + 0.01  # the two clocks are read one after the other


def test_the_clock_advances_with_the_monotonic_one_and_not_with_the_wall_clock() -> None:
    clock = SystemClock(offset=1000.0)
    before = time.monotonic()
    now = clock.now()
    assert 1000.0 + before <= now <= 1000.0 + time.monotonic()


def test_two_processes_that_share_the_offset_share_the_clock() -> None:
    other = SystemClock(CLOCK.offset)
    first, second, third = CLOCK.now(), other.now(), CLOCK.now()
    assert first <= second <= third


def test_waiting_ends_at_the_moment_and_not_before() -> None:
    moment = CLOCK.now() + 0.02
    CLOCK.wait_until(moment)
    assert CLOCK.now() >= moment


def test_waiting_for_a_moment_that_is_past_returns_at_once() -> None:
    before = time.monotonic()
    CLOCK.wait_until(CLOCK.now() - 100)
    assert time.monotonic() - before < 1


def test_a_manual_clock_stands_still() -> None:
    clock = ManualClock(5.0)
    assert (clock.now(), clock.now()) == (5.0, 5.0)


def test_a_manual_clock_moves_when_told_and_never_back() -> None:
    clock = ManualClock()
    assert clock.advance(2.5) == 2.5
    clock.wait_until(4.0)
    clock.wait_until(3.0)
    assert clock.now() == pytest.approx(4.0, abs=0)
