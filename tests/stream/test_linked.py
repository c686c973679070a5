"""Units over a link: what cannot go is said, and a far end that takes nothing is not waited for without end."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from link_ends import PATIENCE, ends, take
from streamed import units_of

from rtbids.errors import BadData, ConnectionLost, InputMissing, RtbidsError, StreamBroken
from rtbids.stream import linked, wire
from rtbids.stream.units import Unit


@pytest.mark.parametrize("name", ["sub-\udcff.dcm", "x" * 5000, "../x.dcm"])
def test_a_name_that_cannot_go_over_a_link_is_said(name: str):
    with ends() as (near, _), pytest.raises(BadData, match="cannot go over a link"):
        linked.write_link(iter([Unit((wire.Piece(name, (b"1",)),), is_file=True)]), near)


def test_a_fault_on_the_way_is_told_at_the_other_side():
    def broken() -> Iterator[Unit]:
        yield from units_of(1)
        raise ZeroDivisionError

    with ends() as (near, road):
        near.wait_up(PATIENCE)
        far = road.keeper.link()
        with pytest.raises(ZeroDivisionError):
            linked.write_link(broken(), near)
        with pytest.raises(RtbidsError, match="internal fault of rtbids: ZeroDivisionError"):
            list(far.members())


def test_what_is_wrong_with_a_source_is_told_at_the_other_side_only_where_it_may_be():
    def broken() -> Iterator[Unit]:
        yield from units_of(1)
        raise InputMissing("/export/Mueller_Jane/1.dcm: cannot be read")

    with ends() as (near, road):
        near.wait_up(PATIENCE)
        far = road.keeper.link()
        with pytest.raises(InputMissing, match="Mueller"):
            linked.write_link(broken(), near, tells_why=False)
        with pytest.raises(StreamBroken, match=r"ended too early; its sender says why") as caught:
            list(far.members())
        assert "Mueller" not in str(caught.value)


def test_where_nothing_more_becomes_safe_a_kept_source_is_left():
    with ends() as (near, road):
        near.wait_up(PATIENCE)
        with pytest.raises(ConnectionLost, match=r"members are not known to be safe there after 0\.2 s") as raised:
            linked.write_link(iter(units_of(3)), near, patience=0.2)
        assert "nobody takes them there" in raised.value.hint
        take(road.keeper.link(), 2)
