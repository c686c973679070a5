"""What comes from another machine has its times on the clock of this one."""

from __future__ import annotations

import json
import threading

from link_ends import PATIENCE, Keeper, ends
from streamed import units_of

from rtbids.clock import CLOCK
from rtbids.stream import carried, linked
from rtbids.stream.link import Link
from rtbids.stream.units import Unit, fields
from rtbids.stream.wire import Piece

AHEAD = 1000.0  # seconds that the sender's clock is ahead


class Ahead:
    """The clock of a machine that was never set."""

    def now(self) -> float:
        return CLOCK.now() + AHEAD

    def wait_until(self, moment: float) -> None:
        raise AssertionError("nobody waits by it")


def came(units: list[Unit]) -> list[Unit]:
    """Send units from a machine whose clock is ahead, and return what comes of them."""
    with ends(clock=Ahead(), keeper=Keeper()) as (near, road):
        near.wait_up(PATIENCE)
        sender = threading.Thread(target=linked.write_link, args=(iter(units), near), daemon=True)
        sender.start()
        far = road.keeper.link()
        found = []
        for unit in carried.on_our_clock(linked.arriving(far, "there"), far):
            if unit is not None:
                found.append(unit)
                for receipt in unit.receipts:
                    receipt.settle()
        far.finish(PATIENCE)
        sender.join(PATIENCE)
        return found


def stamped(unit: Unit, moment: float) -> Unit:
    """Return a volume that was received at a moment."""
    said = {**fields(unit.pieces[0]), "times": {"received": moment, "converted": moment + 0.25}}
    pieces = (Piece(unit.pieces[0].name, (json.dumps(said).encode(),), moment), unit.pieces[1])
    return Unit(pieces, unit.run, unit.index)


def test_times_of_volumes_and_files_are_carried_over_and_nothing_else_changes():
    moment = CLOCK.now() + AHEAD
    sent = [stamped(unit, moment) if unit.index is not None else unit for unit in units_of(2)]
    file = Unit((Piece("000001.dcm", (b"content",), moment),), is_file=True)
    found = came([*sent, file])
    for before, after in zip(sent, found[:-1], strict=True):
        old, new = fields(before.pieces[0]), fields(after.pieces[0])
        times = new.get("times", {})
        assert {**new, "times": old.get("times")} == {**old, "times": old.get("times")}
        assert (after.name, after.run, after.index) == (before.name, before.run, before.index)
        assert bytes(after.pieces[-1].content())[352:] == bytes(before.pieces[-1].content())[352:]
        if before.index is not None:  # a second is what a machine that is very busy may be off by
            assert abs(times["received"] - (moment - AHEAD)) < 1
            assert abs(times["converted"] - times["received"] - 0.25) < 1e-5
    assert abs(found[-1].pieces[0].modified - (moment - AHEAD)) < 1
    assert bytes(found[-1].pieces[0].content()) == b"content"


def test_where_the_other_clock_is_not_known_that_is_said_and_times_do_not_jump(caplog, monkeypatch):
    monkeypatch.setattr(Link, "wait_for_clock", lambda link: False)
    moment = CLOCK.now() + AHEAD
    found = came([stamped(unit, moment) for unit in units_of(3) if unit.index is not None])
    assert [fields(unit.pieces[0])["times"]["received"] for unit in found] == [moment] * 3
    assert caplog.text.count("its clock is not known") == 1
