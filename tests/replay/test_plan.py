"""The plan of a simulated scan: when each file leaves and in which state, without a clock."""

from __future__ import annotations

import pytest

from rtbids.replay.plan import Course, Delivery, deliveries

PLAIN = Course()


def moments(course: Course, volumes: int = 6, step: float = 2.0) -> list[float]:
    return [one.moment for volume in range(volumes) for one in deliveries(volume, 1, volume * step, step, course)]


def test_volumes_leave_whole_on_the_grid() -> None:
    assert [deliveries(k, 1, k * 2.0, 2.0, PLAIN) for k in range(2)] == [[Delivery(0, 0.0)], [Delivery(0, 2.0)]]


def test_the_files_of_a_volume_leave_together_or_spread_over_the_tr() -> None:
    assert [one.moment for one in deliveries(3, 4, 6.0, 2.0, PLAIN)] == [6.0] * 4
    assert [one.moment for one in deliveries(3, 4, 6.0, 2.0, Course(spread=True))] == [6.0, 6.5, 7.0, 7.5]


def test_a_pause_moves_everything_after_it() -> None:
    assert moments(Course(pauses={2: 5.0, 4: 0.5})) == [0.0, 2.0, 9.0, 11.0, 13.5, 15.5]


def test_jitter_delays_each_volume_by_a_part_of_it_that_the_seed_decides() -> None:
    late = [moment - 2.0 * volume for volume, moment in enumerate(moments(Course(jitter=0.5), 200))]
    assert min(late) >= 0.0
    assert max(late) < 0.5
    assert sum(late) / 200 == pytest.approx(0.25, abs=0.05)  # uniform: 0.5/sqrt(12·200) = 0.01 is its standard error
    assert moments(Course(jitter=0.5), 200) == moments(Course(jitter=0.5), 200)
    assert moments(Course(jitter=0.5, seed=1), 200) != moments(Course(jitter=0.5), 200)


def test_dropping_a_volume_leaves_the_jitter_of_the_others_alone() -> None:
    assert moments(Course(jitter=0.5, drop=frozenset({1}))) == [m for k, m in enumerate(moments(Course(jitter=0.5))) if k != 1]


def test_faults_befall_the_last_file_of_their_volume() -> None:
    course = Course(drop=frozenset({0}), duplicate=frozenset({1}), truncate=frozenset({2}), preallocate=frozenset({3}))
    assert deliveries(0, 2, 0.0, 2.0, course) == []
    assert deliveries(1, 2, 2.0, 2.0, course) == [Delivery(0, 2.0), Delivery(1, 2.0), Delivery(1, 2.0, copy=True)]
    assert deliveries(2, 2, 4.0, 2.0, course) == [Delivery(0, 4.0), Delivery(1, 4.0, state="truncated")]
    assert deliveries(3, 2, 6.0, 2.0, course) == [Delivery(0, 6.0), Delivery(1, 6.0, 1.0, "preallocated")]


def test_slow_files_take_half_of_the_tr_among_them() -> None:
    assert [one.span for one in deliveries(0, 4, 0.0, 2.0, Course(slow=True))] == [0.25] * 4
    assert [one.span for one in deliveries(0, 1, 0.0, 0.0, Course(slow=True))] == [0.0]
