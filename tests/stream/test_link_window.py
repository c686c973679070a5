"""A sender keeps within the other side's inbox, so that receipts are always read: neither side waits for the other for ever."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st
from link_ends import PATIENCE, Keeper, ends, numbered, send, take, wait_for

from rtbids.errors import ConnectionLost, StreamBroken
from rtbids.stream.link import Spool, Terms
from rtbids.stream.link.arrivals import Arrivals
from rtbids.stream.link.window import Inbox, Window
from rtbids.stream.wire import Member

KB = 1 << 10


def narrow(size: int, most: int = 1024) -> Terms:
    return Terms(probes=0, delay=lambda failures: 0.001, inbox=size, most=most)


def in_background(act: Callable[[], object]) -> threading.Thread:
    thread = threading.Thread(target=act, daemon=True)
    thread.start()
    return thread


def test_two_senders_under_back_pressure_both_go_on_after_one_application_paused() -> None:
    count, answer = 400, bytes(16 * KB)
    keeper = Keeper(lambda: Spool(64 * KB), narrow(64 * KB))
    with ends(terms=narrow(64 * KB), keeper=keeper) as (near, _):
        far = keeper.link()

        def answer_each() -> None:
            with suppress(ConnectionLost):
                for arrived in far.members():
                    far.send(arrived.member.name, answer)
                    far.settle(arrived.number)

        in_background(answer_each)
        sending = in_background(lambda: [near.send("m", answer) for _ in range(count)])
        wait_for(far, lambda: far.state.waiting_bytes == 64 * KB)  # and its application waits to send
        assert len(take(near, count)) == count
        sending.join(PATIENCE)
        assert not sending.is_alive()
        wait_for(near, lambda: near.state.waiting_members == 0)


def test_receipts_come_through_while_the_application_takes_nothing() -> None:
    with ends(terms=narrow(4 * KB, 2)) as (near, road):
        far = road.keeper.link()
        send(far, numbered(5))
        wait_for(near, lambda: near.state.taken == 2)
        send(near, numbered(3))
        assert take(far, 3) == numbered(3)
        wait_for(near, lambda: near.state.waiting_members == 0)
        assert take(near, 5) == numbered(5)


def test_what_the_application_took_but_did_not_make_safe_makes_room() -> None:
    with ends(keeper=Keeper(terms=narrow(4 * KB, 4))) as (near, road):
        send(near, numbered(50))
        members = road.keeper.link().members()
        assert [next(members).number for _ in range(50)] == list(range(50))
        assert near.state.waiting_members == 50


@pytest.mark.parametrize("size", [3 * KB, 4 * KB, 5 * KB, 100 * KB])
def test_members_as_large_as_the_inbox_or_larger_arrive(size: int) -> None:
    with ends(keeper=Keeper(terms=narrow(4 * KB))) as (near, road):
        for _ in range(10):
            near.send("small", b"x")
            near.send("large", bytes(size))
        members = road.keeper.link().members()
        assert [len(next(members).member.content) for _ in range(20)] == [1, size] * 10


def test_what_waited_over_a_cut_still_counts_and_is_counted_out() -> None:
    with ends(keeper=Keeper(terms=narrow(4 * KB, 8))) as (near, road):
        far = road.keeper.link()
        for _ in range(20):
            near.send("m", bytes(KB))
        wait_for(far, lambda: far.state.taken == 4)
        road.cut()
        wait_for(near, lambda: near.state.cuts == 1 and near.state.is_up)
        assert far.state.taken == 4
        assert len(take(far, 20)) == 20


def test_a_far_side_that_is_there_anew_knows_what_waits_at_the_near_one() -> None:
    with ends(terms=narrow(4 * KB, 4)) as (near, road):
        send(road.keeper.link(), numbered(8))
        wait_for(near, lambda: near.state.taken == 4)
        road.keeper.lose()
        road.cut()
        send(road.keeper.link(), numbered(4, 4))
        assert take(near, 8) == numbered(8)


def test_a_sender_that_does_not_keep_within_the_inbox_ends_the_link() -> None:
    with ends(terms=narrow(4 * KB, 2)) as (near, road):
        far = road.keeper.link()
        near.wait_up(PATIENCE)
        wait_for(far, lambda: far.state.is_up)
        with far._shared.changed:
            far._shared.outgoing.window = Window(Inbox(), 0)
        send(far, numbered(3))
        wait_for(near, lambda: near.is_over)
        found: list[int] = []
        with pytest.raises(StreamBroken, match="sends more than there is room for"):
            found.extend(arrived.number for arrived in near.members())
        assert found == [0, 1]


steps = st.lists(st.tuples(st.sampled_from(["send", "take", "cut", "receipt"]), st.integers(0, 60)), max_size=200)


@given(size=st.integers(0, 50), most=st.integers(1, 6), steps=steps)
def test_an_empty_inbox_never_keeps_a_sender_waiting_and_a_full_one_always(
    size: int, most: int, steps: list[tuple[str, int]]
) -> None:
    arrivals = Arrivals(size, most)
    window = Window(arrivals.inbox(), 0)
    for step, length in steps:
        if step == "send" and window.has_room(length):
            assert arrivals.has_room(length)
            arrivals.put(arrivals.taken, Member("m", memoryview(bytes(length)), 0.0), 0)
            window.put(arrivals.taken, length)
        elif step == "take" and len(arrivals):
            arrivals.pop()
        elif step == "cut":
            window = Window(arrivals.inbox(), arrivals.taken)
            window.give(arrivals.tell())
        if step == "receipt" or arrivals.is_worth_telling:
            window.give(arrivals.tell())
        assert len(arrivals) or window.has_room(length)
