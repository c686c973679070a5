"""Pipelines of generators, and the one place where a thread stands between two stages."""

from __future__ import annotations

import os
import select
import threading
from collections.abc import Iterator

import pytest

from rtbids.clock import CLOCK
from rtbids.errors import StreamBroken
from rtbids.pipeline import Inbox, pipe
from rtbids.wakeup import Wakeup

PATIENCE = 10.0  # seconds after which something that should have come is taken not to


def doubled(items: Iterator[int]) -> Iterator[int]:
    return (2 * item for item in items)


def test_a_pipe_without_stages_is_the_source() -> None:
    assert list(pipe([1, 2])) == [1, 2]


def test_stages_are_applied_from_left_to_right_and_a_sink_returns() -> None:
    assert pipe([1, 2, 3], doubled, lambda items: (item + 1 for item in items), sum) == 15


def test_a_pipe_takes_no_item_before_it_is_asked_for_one() -> None:
    taken: list[int] = []

    def source() -> Iterator[int]:
        for item in range(3):
            taken.append(item)
            yield item

    stream = pipe(source(), doubled)
    assert taken == []
    assert (next(stream), taken) == (0, [0])


def test_a_wakeup_that_is_not_set_waits_no_longer_than_told() -> None:
    assert Wakeup().wait(0.0) is False


def test_a_wakeup_stays_set_until_it_is_cleared() -> None:
    wakeup = Wakeup()
    wakeup.set()
    assert wakeup.wait()
    assert wakeup.wait()
    wakeup.clear()
    assert not wakeup.is_set()
    assert select.select([wakeup], [], [], 0)[0] == []


def test_a_wakeup_that_is_set_over_and_over_never_blocks() -> None:
    wakeup = Wakeup()
    for _ in range(100_000):  # a pipe holds 65,536
        wakeup.set()
    wakeup.clear()
    assert select.select([wakeup], [], [], 0)[0] == []


def test_a_wakeup_from_a_thread_ends_the_wait() -> None:
    wakeup = Wakeup()
    threading.Timer(0.01, wakeup.set).start()
    assert wakeup.wait(PATIENCE)


def test_an_inbox_hands_out_every_item_in_order() -> None:
    assert list(Inbox(iter(range(1000)), size=3)) == list(range(1000))


def test_an_inbox_of_nothing_is_over_at_once() -> None:
    assert list(Inbox(())) == []


def test_what_the_source_raises_comes_after_the_items_before_it() -> None:
    def source() -> Iterator[int]:
        yield 1
        yield 2
        raise StreamBroken("cut")

    items = iter(Inbox(source()))
    assert [next(items), next(items)] == [1, 2]
    with pytest.raises(StreamBroken, match="cut"):
        next(items)


def test_a_full_inbox_holds_its_source() -> None:
    asked = [threading.Event() for _ in range(6)]

    def source() -> Iterator[int]:
        for place, event in enumerate(asked):
            event.set()
            yield place

    inbox = Inbox(source(), size=2)
    assert asked[2].wait(PATIENCE)  # two wait inside, the third is in the source's hands
    assert not asked[3].wait(0.1)
    assert len(inbox) == 2
    assert inbox.take() == 0
    assert asked[3].wait(PATIENCE)
    assert list(inbox) == [1, 2, 3, 4, 5]


def test_an_item_is_handed_out_while_the_source_waits_for_the_next() -> None:
    gate = threading.Event()

    def source() -> Iterator[int]:
        yield 1
        assert gate.wait(PATIENCE)
        yield 2

    items = iter(Inbox(source()))
    assert next(items) == 1
    gate.set()
    assert list(items) == [2]


def test_take_gives_none_while_nothing_has_come_and_stops_at_the_end() -> None:
    gate = threading.Event()

    def source() -> Iterator[int]:
        assert gate.wait(PATIENCE)
        yield 1

    inbox = Inbox(source())
    assert inbox.take() is None
    gate.set()
    assert select.select([inbox], [], [], PATIENCE)[0] == [inbox]
    assert inbox.take() == 1
    assert select.select([inbox], [], [], PATIENCE)[0] == [inbox]
    with pytest.raises(StopIteration):
        inbox.take()


def test_an_inbox_wakes_at_the_named_moment_without_an_item() -> None:
    gate = threading.Event()

    def source() -> Iterator[int]:
        assert gate.wait(PATIENCE)
        yield 1

    moment = CLOCK.now() + 0.02
    items = iter(Inbox(source(), wake=lambda: moment))
    assert next(items) is None
    late = CLOCK.now() - moment
    assert 0 <= late < 0.5  # never early; how late is the machine's load, and its limit is measured by the benchmarks
    gate.set()
    assert [item for item in items if item is not None] == [1]


def test_an_inbox_without_a_moment_to_wake_at_gives_only_items() -> None:
    assert list(Inbox(iter(range(5)), wake=lambda: None)) == [0, 1, 2, 3, 4]


def test_an_item_that_is_there_goes_before_a_moment_that_is_past() -> None:
    inbox = Inbox([1, 2], wake=lambda: 0.0)
    inbox._thread.join(PATIENCE)
    assert list(inbox) == [1, 2]


def test_an_inbox_can_be_failed_from_outside_while_its_source_hangs() -> None:
    never = threading.Event()

    def source() -> Iterator[int]:
        yield 1
        never.wait()

    items = Inbox(source())
    stream = iter(items)
    assert next(stream) == 1
    threading.Timer(0.01, items.fail, [StreamBroken("the far side has gone")]).start()
    with pytest.raises(StreamBroken, match="the far side has gone"):
        next(stream)
    never.set()


def test_items_that_came_before_a_failure_are_still_handed_out() -> None:
    inbox = Inbox([1, 2])
    inbox._thread.join(PATIENCE)
    inbox.fail(StreamBroken("gone"))
    assert (inbox.take(), inbox.take()) == (1, 2)
    with pytest.raises(StreamBroken, match="gone"):
        inbox.take()


def test_the_first_failure_is_the_one_that_is_told() -> None:
    def source() -> Iterator[int]:
        yield from ()
        raise StreamBroken("first")

    inbox = Inbox(source())
    inbox._thread.join(PATIENCE)
    inbox.fail(StreamBroken("second"))
    with pytest.raises(StreamBroken, match="first"):
        inbox.take()


def test_a_wakeup_that_nobody_holds_gives_its_descriptors_back():
    wakeup = Wakeup()
    descriptor = wakeup.fileno()
    del wakeup
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(descriptor)
