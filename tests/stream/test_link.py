"""A link over one connection: what is sent is there once and in order, both ways, and it ends in order."""

from __future__ import annotations

import gc
import select
import threading

import pytest
from link_ends import PATIENCE, Keeper, echo, ends, numbered, open_descriptors, send, take, wait_for

from rtbids.errors import BadData, ConnectionLost
from rtbids.stream.link import Terms


def test_members_arrive_once_and_in_order_both_ways() -> None:
    with ends() as (near, road):
        far = road.keeper.link()
        send(near, numbered(300))
        send(far, numbered(300))
        assert take(far, 300) == numbered(300)
        assert take(near, 300) == numbered(300)


def test_name_content_and_time_of_a_member_are_kept() -> None:
    with ends() as (near, road):
        near.send("sub-01/func/é.nii", b"one", memoryview(bytearray(b"two")), modified=1_700_000_000.123457)
        arrived = next(road.keeper.link().members())
        member = arrived.member
        assert (arrived.number, member.name, bytes(member.content)) == (0, "sub-01/func/é.nii", b"onetwo")
        assert member.modified == pytest.approx(1_700_000_000.123457, abs=1e-9)


def test_a_receipt_lets_the_sender_forget_and_not_before() -> None:
    with ends() as (near, road):
        send(near, numbered(3))
        members = road.keeper.link().members()
        first, second, _ = next(members), next(members), next(members)
        assert near.state.waiting_members == 3
        road.keeper.link().settle(second.number)
        wait_for(near, lambda: near.state.safe == 2)
        assert near.state.waiting_members == 1
        road.keeper.link().settle(first.number)  # said before already: nothing is taken back
        assert near.state.safe == 2


def test_what_was_not_given_out_cannot_be_settled() -> None:
    with ends() as (near, road):
        near.send("a", b"x")
        far = road.keeper.link()
        wait_for(far, lambda: far.state.taken == 1)
        with pytest.raises(ValueError, match="member 0 was not given out"):
            far.settle(0)


def test_both_sides_finish_and_close_in_order() -> None:
    with ends() as (near, road):
        far = road.keeper.link()
        answering = echo(far)
        send(near, numbered(5))
        assert take(near, 5) == numbered(5)
        near.finish(PATIENCE)
        assert list(near.members()) == []
        answering.join(PATIENCE)
        assert not answering.is_alive()
        assert (near.state.waiting_members, far.state.waiting_members) == (0, 0)
        near.close()
        wait_for(far, lambda: not far.state.is_up)
        assert (near.state.is_up, near.state.cuts, far.state.cuts) == (False, 0, 0)


def test_one_side_may_finish_and_still_take_what_the_other_sends() -> None:
    with ends() as (near, road):
        far = road.keeper.link()
        near.finish(PATIENCE)
        assert list(far.members()) == []
        send(far, numbered(2))
        assert take(near, 2) == numbered(2)
        far.finish(PATIENCE)
        assert list(near.members()) == []


def test_finish_says_how_many_are_not_safe_when_its_time_is_over() -> None:
    with ends() as (near, road):
        send(near, numbered(4))
        take(road.keeper.link(), 1)
        wait_for(near, lambda: near.state.safe == 1)
        with pytest.raises(ConnectionLost, match="3 members are not known to be safe"):
            near.finish(0.01)


def test_nothing_is_sent_after_finish() -> None:
    with ends() as (near, _):
        near.finish(PATIENCE)
        with pytest.raises(ValueError, match="after finish"):
            near.send("a", b"")


@pytest.mark.parametrize("name", ["link/end.json", "../up", "/etc/passwd", ""])
def test_names_that_are_the_links_own_or_leave_their_folder_are_refused(name: str) -> None:
    with ends() as (near, _), pytest.raises(ValueError, match="cannot be named"):
        near.send(name, b"")


def test_a_side_that_closes_without_an_end_is_no_end_for_the_other() -> None:
    with ends() as (near, road):
        far = road.keeper.link()
        near.wait_up(PATIENCE)
        near.close()
        with pytest.raises(ConnectionLost, match="stopped before its end"):
            list(far.members())


def test_the_error_that_closes_one_side_is_raised_at_the_other() -> None:
    with ends() as (near, road):
        far = road.keeper.link()
        near.wait_up(PATIENCE)
        far.close(BadData("no such\nvolume\x1b[31m", "look there"))
        with pytest.raises(BadData, match=r"^the far side: no such volume \[31m$") as caught:
            list(near.members())
        assert caught.value.hint == "look there"


def test_a_select_wakes_for_a_member_and_for_a_change_of_state() -> None:
    with ends() as (near, road):
        near.wait_up(PATIENCE)
        assert select.select([near], [], [], PATIENCE)[0] == [near]  # who never looked is to look once
        assert near.take() is None
        assert select.select([near], [], [], 0)[0] == []
        road.keeper.link().send("a", b"x")
        assert select.select([near], [], [], PATIENCE)[0] == [near]
        arrived = near.take()
        assert arrived is not None
        assert near.take() is None
        assert select.select([near], [], [], 0)[0] == []
        road.cut()
        assert select.select([near], [], [], PATIENCE)[0] == [near]


def test_a_slow_application_holds_up_the_sender_and_nothing_is_lost() -> None:
    terms = Terms(probes=0, delay=lambda failures: 0.001, most=2, silence=0.2, beat=0.05)
    with ends(terms=terms, keeper=Keeper(terms=terms)) as (near, road):
        far = road.keeper.link()
        content = b"x" * (1 << 20)
        for _ in range(8):
            near.send("a", content)
        wait_for(far, lambda: far.state.taken == 2)
        begin = far.state.bytes_in
        wait_for(near, lambda: near._shared.exchanges.best is not None)
        wait_for(far, lambda: far._shared.exchanges.best is not None)  # what goes over the line goes past what waits
        assert (far.state.taken, near.state.cuts) == (2, 0)
        assert far.state.bytes_in - begin < 1 << 20
        assert [len(content) for _, _, content in take(far, 8)] == [1 << 20] * 8
        assert near.state.cuts == 0


def test_a_cut_is_got_over_while_the_application_takes_nothing() -> None:
    terms = Terms(probes=0, delay=lambda failures: 0.001, most=1)
    with ends(keeper=Keeper(terms=terms)) as (near, road):
        far = road.keeper.link()
        send(near, numbered(3))
        wait_for(far, lambda: far.state.taken == 1)  # and the reader waits for room
        road.cut()
        far.send("m0", b"000")  # which fails on the old connection, or goes out on the new one
        assert take(near, 1) == numbered(1)
        assert take(far, 3) == numbered(3)


def test_threads_and_descriptors_are_gone_after_the_close() -> None:
    gc.collect()
    threads, descriptors = threading.active_count(), open_descriptors()
    with ends() as (near, road):
        send(near, numbered(3))
        take(road.keeper.link(), 3)
    del near, road
    gc.collect()
    assert (threading.active_count(), open_descriptors()) == (threads, descriptors)
