"""A destination's queue and thread: order, full queues, drops that are counted, and ends."""

from __future__ import annotations

import threading

import pytest
from streamed import units_of

from rtbids.errors import CannotWrite, StreamBroken
from rtbids.receipt import Receipt, settle
from rtbids.stream.branch import Branch, Units
from rtbids.stream.units import Unit

PATIENCE = 20.0


class Slow:
    """A sink that takes a unit when it is let."""

    def __init__(self) -> None:
        self.let = threading.Semaphore(0)
        self.taken: list[Unit] = []

    def __call__(self, units: Units) -> None:
        for unit in units:
            if unit is not None:
                assert self.let.acquire(timeout=PATIENCE)
                self.taken.append(unit)
                settle(unit.receipts)


def image(number: int, receipt: Receipt | None = None) -> Unit:
    (found,) = (unit for unit in units_of(number + 1) if unit.index == number)
    return Unit(found.pieces, found.run, number, may_be_lost=True, receipts=(receipt,) if receipt else ())


def test_units_come_out_in_order_and_are_counted():
    slow = Slow()
    branch = Branch("x", slow).start()
    slow.let.release(100)
    units = units_of(5)
    for unit in units:
        branch.put(unit)
    branch.end()
    branch.join()
    assert slow.taken == units
    assert branch.count.images == 5
    assert (branch.count.waiting, branch.count.waiting_size, branch.count.size) == (0, 0, sum(unit.size for unit in units))


def test_a_full_queue_holds_the_source():
    slow = Slow()
    branch = Branch("x", slow, room=1).start()
    handed = threading.Semaphore(0)

    def feed() -> None:
        for unit in map(image, range(4)):
            branch.put(unit)
            handed.release()

    threading.Thread(target=feed, daemon=True).start()
    for _ in range(2):  # one is with the sink, one waits
        assert handed.acquire(timeout=PATIENCE)
    assert not handed.acquire(timeout=0.05)
    slow.let.release()
    assert handed.acquire(timeout=PATIENCE)
    slow.let.release(10)


def test_the_oldest_are_dropped_where_that_was_asked_for_and_their_receipts_settled():
    settled: list[int] = []
    slow, begun = Slow(), threading.Event()

    def sink(units: Units) -> None:
        begun.set()
        slow(units)

    branch = Branch("x", sink, room=1, when_full="drop")
    for number in range(5):
        branch.put(image(number, Receipt(lambda number=number: settled.append(number))))
    branch.start()
    slow.let.release(10)
    branch.end()
    branch.join()
    assert [unit.index for unit in slow.taken] == [4]
    assert branch.count.dropped == 4
    assert settled == [0, 1, 2, 3, 4]


def test_what_the_rest_needs_is_never_dropped():
    branch = Branch("x", Slow(), room=1 << 20, when_full="drop")
    units = units_of(3)
    branch._room = sum(unit.size for unit in units) - 1
    for unit in units:
        branch.put(unit)
    assert [unit.index for unit in branch._waiting] == [None, None, 1, 2, None]


def test_who_waits_for_a_queue_is_let_go_when_its_sink_fails():
    failed: list[BaseException] = []
    gate = threading.Event()

    def sink(units: Units) -> None:
        next(units)
        assert gate.wait(PATIENCE)
        raise CannotWrite("no space left for x")

    branch = Branch("x", sink, room=1, failed=failed.append).start()
    feeding = threading.Thread(target=lambda: [branch.put(image(number)) for number in range(4)], daemon=True)
    feeding.start()
    gate.set()
    feeding.join(PATIENCE)
    assert not feeding.is_alive()
    branch.join()
    assert str(branch.error) == "no space left for x"
    assert failed == [branch.error]


def test_what_is_the_fault_of_the_source_is_none_of_the_destination():
    failed: list[BaseException] = []
    branch = Branch("x", lambda units: [None for _ in units] and None, failed=failed.append).start()
    branch.end(StreamBroken("cut"))
    branch.join()
    assert (str(branch.error), failed) == ("cut", [])


def test_an_end_out_of_order_reaches_the_sink_after_what_came():
    found: list[object] = []

    def sink(units: Units) -> None:
        with pytest.raises(StreamBroken, match="cut"):
            found.extend(units)

    branch = Branch("x", sink)
    branch.put(image(0))
    branch.end(StreamBroken("cut"))
    branch.start().join()
    assert [unit.index for unit in found if unit] == [0]
