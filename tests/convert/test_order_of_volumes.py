"""The machine that puts volumes in order: pure, with the time as an argument."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from rtbids.convert.order import MOST_HELD, Order


@given(st.permutations(range(12)))
def test_in_any_order_of_arrival_everything_leaves_in_order(arrivals: list[int]) -> None:
    order: Order[int] = Order(patience=1.0)
    left = [item for index in arrivals for item in order.add(index, index, now=0.0)]
    assert left == list(range(12))
    assert (order.count, order.missing, order.wake) == (12, [], None)


@given(st.lists(st.integers(0, 30), unique=True, min_size=1), st.sets(st.integers(0, 30)))
def test_every_place_up_to_the_last_is_either_given_out_or_missing(arrivals: list[int], refused: set[int]) -> None:
    order: Order[int] = Order(patience=1.0)
    left: list[int] = []
    for index in arrivals:
        if index in refused:
            left += order.refuse(index)
        elif order.place_taken(index) is None:
            left += order.add(index, index, now=0.0)
    left += order.finish()[1]
    assert left == sorted(set(arrivals) - refused)
    assert sorted(left + order.missing) == list(range(max(arrivals) + 1))
    assert order.missing == sorted(order.missing)


def test_nothing_is_given_up_before_its_time() -> None:
    order: Order[str] = Order(patience=0.5)
    assert order.add(1, "b", now=10.0) == []
    assert order.tick(10.4) == ([], [])
    assert order.wake == 10.5
    assert order.tick(10.5) == ([0], ["b"])
    assert order.place_taken(0) == "came too late and is kept out"


def test_a_second_gap_has_a_patience_of_its_own() -> None:
    order: Order[str] = Order(patience=0.5)
    order.add(1, "b", now=10.0)
    order.add(3, "d", now=10.4)
    assert order.tick(10.6) == ([0], ["b"])
    assert order.wake == 10.9
    assert order.tick(10.9) == ([2], ["d"])


def test_the_number_of_volumes_held_is_bounded_however_fast_they_come() -> None:
    order: Order[int] = Order(patience=1.0)
    held = 0
    for index in range(1, MOST_HELD + 10):
        order.add(index, index, now=0.0)
        order.tick(0.0)
        held = max(held, index - order.count)
    assert held <= MOST_HELD
    assert order.missing == [0]
