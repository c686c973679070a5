"""How far the other side's clock is, from heartbeats."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from link_ends import PATIENCE, Keeper, ends, wait_for

from rtbids.clock import SystemClock
from rtbids.stream.link import Terms
from rtbids.stream.link.clock import REMEMBERED, Exchange, Exchanges, exchange

AHEAD = 1234.5  # seconds
delays = st.floats(0, 1)


@given(offset=st.floats(-1e6, 1e6), there=delays, stay=delays, back=delays)
def test_the_true_offset_lies_within_the_uncertainty(offset: float, there: float, stay: float, back: float) -> None:
    sent = 1e6
    came, echoed, arrived = sent + there + offset, sent + there + stay + offset, sent + there + stay + back
    found = exchange(sent, came, echoed, arrived)
    assert found.round_trip == pytest.approx(there + back, abs=1e-8)  # doubles near 1e6 s are 1e-10 s apart
    assert abs(found.offset - offset) <= found.uncertainty + 1e-8


def test_ways_that_take_the_same_time_both_ways_give_the_offset_itself() -> None:
    assert exchange(10.0, 12.25, 12.5, 11.0) == Exchange(1.875, 0.75)


def test_the_exchange_of_the_least_round_trip_counts_and_is_forgotten_after_a_minute() -> None:
    exchanges = Exchanges()
    assert exchanges.best is None
    exchanges.count(Exchange(1.0, 0.001))
    for _ in range(REMEMBERED - 1):
        exchanges.count(Exchange(2.0, 0.5))
    assert exchanges.best == Exchange(1.0, 0.001)
    exchanges.count(Exchange(2.0, 0.5))
    assert exchanges.best == Exchange(2.0, 0.5)


def test_an_echo_that_was_back_before_it_left_is_passed_over() -> None:
    exchanges = Exchanges()
    exchanges.count(Exchange(0.0, -0.1))
    assert exchanges.best is None


@pytest.mark.parametrize("made_up", [exchange(0.0, 1.7e308, -1.7e308, 1.0), exchange(0.0, 1.7e308, 1.7e308, 0.0)])
def test_times_that_have_no_finite_difference_are_passed_over(made_up: Exchange) -> None:
    exchanges = Exchanges()
    exchanges.count(made_up)
    assert exchanges.best is None


def test_both_sides_find_how_far_the_others_clock_is() -> None:
    clock = SystemClock()
    ahead = SystemClock(clock.offset + AHEAD)
    terms = Terms(probes=0, beat=0.02)
    with ends(terms=terms, clock=clock, keeper=Keeper(terms=terms, clock=ahead)) as (near, road):
        far = road.keeper.link()
        for link, offset in ((near, AHEAD), (far, -AHEAD)):
            wait_for(link, lambda link=link: link._shared.exchanges.best is not None)  # type: ignore[misc]
            state = link.state
            assert state.offset is not None
            assert state.uncertainty is not None
            assert state.round_trip == pytest.approx(2 * state.uncertainty)
            assert abs(state.offset - offset) <= state.uncertainty + 1e-6
            assert state.uncertainty < PATIENCE
