"""A link whose connection is cut: at every byte, at any moment, and with the far side lost."""

from __future__ import annotations

import os
import random
import threading
from collections.abc import Callable

import pytest
from link_ends import AT_ONCE, PATIENCE, Limited, Road, ends, numbered, send, take, wait_for

from rtbids.errors import ConnectionLost
from rtbids.stream.link import Descriptors, FarLink, Link, State, Transport, dial

STEP = int(os.environ.get("RTBIDS_TEST_CUT_STEP", "7"))  # 1: a cut at every single byte, which takes minutes
HELLO = 4 << 10  # bytes that a connection whose hello is cut has at the most
SESSION = 9 << 10  # bytes that go one way in a session of three small members, its receipts and its end


def cut_after(most: int, side: str) -> Callable[[Descriptors, Descriptors], tuple[Transport, Transport]]:
    def shape(near: Descriptors, far: Descriptors) -> tuple[Transport, Transport]:
        return (Limited(near, most), far) if side == "near" else (near, Limited(far, most))

    return shape


def whole(near: Descriptors, far: Descriptors) -> tuple[Transport, Transport]:
    return near, far


def pass_on(near: Link, far: FarLink, first: int) -> None:
    """Three members each way, taken and made safe."""
    expected = numbered(3, first)
    send(near, expected)
    send(far, expected)
    assert take(far, 3) == expected
    assert take(near, 3) == expected


def cut_at(road: Road, most: int, side: str) -> None:
    """Cut the connection that is there; the next one breaks after `most` bytes from `side`, the one after it stays."""
    shapes = iter([cut_after(most, side), whole])

    def shape(near: Descriptors, far: Descriptors) -> tuple[Transport, Transport]:
        return next(shapes, whole)(near, far)

    road.shape = shape
    road.cut()


@pytest.mark.parametrize("side", ["near", "far"])
@pytest.mark.parametrize(
    "step",
    [
        pytest.param(97, id="every 97th byte"),
        pytest.param(STEP, id="every byte" if STEP == 1 else f"every {STEP}th byte", marks=pytest.mark.slow),
    ],
)
@pytest.mark.timeout(600)
def test_nothing_is_lost_or_doubled_wherever_the_connection_is_cut(side: str, step: int) -> None:
    begin = random.randrange(step)  # all of them come their turn, run after run
    with ends() as (near, road):
        far = road.keeper.link()
        near.wait_up(PATIENCE)
        for turn, most in enumerate(range(begin, SESSION, step)):
            cut_at(road, most, side)
            pass_on(near, far, 3 * turn)
        wait_for(near, lambda: near.state.waiting_members == 0)
        wait_for(far, lambda: far.state.waiting_members == 0)
        assert near.state.cuts >= len(range(begin, SESSION, step)) - HELLO // step - 2, begin  # in the hello it was never up


@pytest.mark.parametrize("side", ["near", "far"])
@pytest.mark.parametrize("most", range(0, 6 << 10, 211))
def test_the_end_arrives_wherever_the_connection_is_cut(side: str, most: int) -> None:
    with ends() as (near, road):
        road.keeper.link()
        near.wait_up(PATIENCE)
        cut_at(road, most, side)
        far = road.keeper.link()
        send(near, numbered(1))
        assert take(far, 1) == numbered(1)
        far_end = threading.Thread(target=far.finish, args=(PATIENCE,))
        far_end.start()
        near.finish(PATIENCE)
        far_end.join(PATIENCE)
        assert not far_end.is_alive()
        assert (list(near.members()), list(far.members())) == ([], [])


@pytest.mark.parametrize("seed", range(3))
def test_cuts_at_random_moments_under_traffic_both_ways_lose_and_double_nothing(seed: int) -> None:
    chance, count = random.Random(seed), 600
    expected = [(number, f"m{number}", bytes([number % 251]) * chance.randrange(1, 60_000)) for number in range(count)]
    with ends() as (near, road):
        far = road.keeper.link()
        near.wait_up(PATIENCE)
        found: dict[str, list[tuple[int, str, bytes]]] = {}

        def receive(name: str, link: Link) -> None:
            found[name] = take(link, count)

        threads = [threading.Thread(target=receive, args=("near", near)), threading.Thread(target=receive, args=("far", far))]
        threads += [threading.Thread(target=send, args=(link, expected)) for link in (near, far)]
        for thread in threads:
            thread.start()
        for _ in range(30):
            seen = far.state.taken
            wait_for(far, lambda seen=seen: far.state.taken >= min(count, seen + chance.randrange(20)))  # type: ignore[misc]
            road.cut()
        for thread in threads:
            thread.join(3 * PATIENCE)
        assert found == {"near": expected, "far": expected}
        wait_for(near, lambda: near.state.waiting_members == 0)
        assert near.state.cuts > 5


def test_a_cut_is_told_with_its_reason_and_so_is_the_return(caplog: pytest.LogCaptureFixture) -> None:
    told: list[State] = []
    with ends(on_state=told.append) as (near, road):
        near.wait_up(PATIENCE)
        road.is_blocked.set()
        road.ends[1].close()
        wait_for(near, lambda: near.state.attempts > 2)
        state = near.state
        assert (state.is_up, state.cuts, state.problem) == (False, 1, "the road is blocked")
        road.is_blocked.clear()
        wait_for(near, lambda: near.state.is_up)
    assert (told[0].is_up, told[1].is_up, told[1].cuts) == (True, False, 1)
    assert told[1].problem.startswith("the far side: ")  # closed or reset, as the kernel has it
    assert any(word in told[1].problem for word in ("closed", "reset", "Broken pipe"))
    assert caplog.messages.count(told[1].problem) == 1
    assert caplog.text.count("connected again") == caplog.text.count("the far side: connected again after ") == 1


def test_a_new_connection_replaces_the_one_that_only_seems_alive() -> None:
    with ends() as (near, road):
        far = road.keeper.link()
        near.wait_up(PATIENCE)
        frozen = road.ends[1]  # the far side's end, which nobody closes
        send(near, numbered(1))
        assert take(far, 1) == numbered(1)
        road.ends[0].close()
        send(near, numbered(1, 1))
        assert take(far, 1) == numbered(1, 1)
        with pytest.raises(OSError, match="closed here"):
            frozen.readinto(memoryview(bytearray(1)))


def test_a_far_side_that_was_lost_begins_anew_with_all_that_was_not_safe() -> None:
    with ends() as (near, road):
        send(near, numbered(5))
        assert take(road.keeper.link(), 2) == numbered(2)
        send(road.keeper.link(), numbered(3))
        assert take(near, 3) == numbered(3)
        wait_for(near, lambda: near.state.safe == 2)
        near.begin_anew_with(since=7)
        road.keeper.lose()
        road.cut()
        anew = road.keeper.link()
        assert take(anew, 3) == numbered(5)[2:]
        assert anew.send("m3", b"333") == 3
        assert take(near, 1) == numbered(1, 3)
        assert near.state.renewed == 1
        assert [(hello.taken, hello.origin) for hello in road.keeper.hellos] == [(0, 0), (3, 2)]
        assert [hello.arguments for hello in road.keeper.hellos] == [{}, {"since": 7}]


def test_the_first_attempt_that_fails_is_told_at_once_where_one_waits_for_it() -> None:
    def connect() -> Transport:
        raise ConnectionLost("nobody listens at scanner:22")

    link = dial(connect, "test", terms=AT_ONCE)
    try:
        with pytest.raises(ConnectionLost, match="nobody listens"):
            link.wait_up(PATIENCE)
    finally:
        link.close()
