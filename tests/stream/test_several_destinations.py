"""What several destinations share: the source's images, which are let go of when the last one has them safe."""

from __future__ import annotations

import threading

import pytest
from streamed import run_of, volume

from rtbids.cli.request import Request
from rtbids.cli.streaming import _converted, _move, _raise_first
from rtbids.errors import BadData, CannotWrite, StreamBroken
from rtbids.receipt import Receipt, settle
from rtbids.stream import units, wire
from rtbids.stream.branch import Branch, Units
from rtbids.stream.units import Unit

PATIENCE = 20.0


def settling(coming: Units) -> None:
    for unit in coming:
        if unit is not None:
            settle(unit.receipts)


def test_an_image_is_let_go_of_when_every_destination_has_it_safe():
    gate, settled = threading.Event(), []

    def late(coming: Units) -> None:
        held = [unit for unit in coming if unit is not None]
        assert settled == []
        assert gate.wait(PATIENCE)
        for unit in held:
            settle(unit.receipts)

    found = list(units.of_items([volume(n, receipts=(Receipt(lambda n=n: settled.append(n)),)) for n in range(3)]))
    branches = [Branch("early", settling).start(), Branch("late", late).start()]
    moving = threading.Thread(target=_move, args=(iter(found), branches), daemon=True)
    moving.start()
    gate.set()
    moving.join(PATIENCE)
    assert settled == [0, 1, 2]


def test_an_image_that_one_destination_could_not_take_stays_with_its_source():
    settled: list[int] = []

    def full(coming: Units) -> None:
        raise CannotWrite("no space left for full")

    branches = [Branch("good", settling).start(), Branch("full", full).start()]
    branches[1].join()
    found = units.of_items([volume(n, receipts=(Receipt(lambda n=n: settled.append(n)),)) for n in range(3)])
    _move(found, branches)
    assert settled == []
    assert branches[0].count.images == 3
    with pytest.raises(CannotWrite, match="no space left for full"):
        _raise_first(branches)


def test_who_converts_on_the_way_may_look_after_the_link_while_no_file_comes():
    gate = threading.Event()

    def source() -> Units:
        yield None
        yield Unit((wire.Piece("1.dcm", (b"no image",)),), is_file=True)
        assert gate.wait(PATIENCE)

    found = _converted(source(), "there", Request("-"))
    assert [next(found), next(found)] == [None, None]
    gate.set()
    with pytest.raises(BadData, match="found none among 1 file"):
        list(found)


def test_a_source_that_breaks_is_told_to_every_destination_after_what_came():
    found: list[list[object]] = [[], []]

    def sink(number: int):
        def take(coming: Units) -> None:
            for unit in coming:
                found[number].append(unit)

        return take

    def source():
        yield from units.of_items(list(run_of(2))[:2])
        raise StreamBroken("the source was cut")

    branches = [Branch(str(number), sink(number)).start() for number in range(2)]
    with pytest.raises(StreamBroken, match="the source was cut"):
        _move(source(), branches)
    assert [str(branch.error) for branch in branches] == ["the source was cut"] * 2
    assert [[unit.index for unit in one if unit is not None and unit.is_image] for one in found] == [[0, 1], [0, 1]]
