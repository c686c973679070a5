"""Stages that any pipeline may use: an end after so many volumes, events for every volume, an end when told to stop."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import numpy as np
import pytest

from rtbids.pipeline import Inbox, first_volumes, with_events
from rtbids.volume import Item, RunEnd, Volume, volume_of
from rtbids.wakeup import Wakeup

ONE, TWO = {"subject": "01", "run": "01"}, {"subject": "01", "run": "02"}
PATIENCE = 10.0


def volume(index: int, entities: dict[str, str] = ONE, events: str | None = None) -> Volume:
    return volume_of(np.zeros((1, 1, 1), "<i2"), np.eye(4), entities, {}, index, events=events)


def test_without_a_number_everything_is_passed_on() -> None:
    items = [volume(0), RunEnd(ONE, 1), volume(0, TWO), RunEnd(TWO, 1)]
    assert list(first_volumes(items, None)) == items


def test_after_so_many_volumes_the_open_runs_end_with_their_gaps() -> None:
    items = [volume(0), volume(0, TWO), volume(3), RunEnd(TWO, 1), volume(4)]
    assert list(first_volumes(items, 3)) == [*items[:3], RunEnd(ONE, 2, (1, 2)), RunEnd(TWO, 1)]


def test_a_run_that_is_over_does_not_end_twice() -> None:
    items = [volume(0), RunEnd(ONE, 1), volume(0, TWO), volume(1, TWO)]
    assert list(first_volumes(items, 2)) == [*items[:3], RunEnd(TWO, 1)]


def test_a_source_that_ends_earlier_is_left_as_it_is() -> None:
    assert len(list(first_volumes([volume(0)], 5))) == 1


def test_the_source_is_not_asked_for_more_than_the_volumes_wanted() -> None:
    def source() -> Iterator[Item]:
        yield volume(0)
        pytest.fail("asked for a second volume")

    assert len(list(first_volumes(source(), 1))) == 2


@pytest.mark.parametrize(("override", "expected"), [(True, ["given", "given"]), (False, ["own", "given"])])
def test_events_are_given_to_volumes_and_replace_their_own_where_told_to(override: bool, expected: list[str]) -> None:
    items: list[Item] = [volume(0, events="own"), volume(1), RunEnd(ONE, 2)]
    found = list(with_events(items, "given", override=override))
    assert [item.events for item in found if isinstance(item, Volume)] == expected
    assert found[2] == items[2]


def test_an_inbox_that_is_not_told_to_stop_gives_everything() -> None:
    assert list(Inbox(range(100), size=2).until(Wakeup())) == list(range(100))


def test_once_told_to_stop_an_inbox_waits_no_longer_than_its_grace() -> None:
    gate, stop = threading.Event(), Wakeup()

    def source() -> Iterator[int]:
        yield 1
        gate.wait(PATIENCE)
        yield 2

    items = Inbox(source()).until(stop, grace=0.01)
    assert next(items) == 1
    stop.set()
    assert list(items) == []
    gate.set()


def test_what_comes_within_the_grace_is_still_given() -> None:
    stop = Wakeup()

    def source() -> Iterator[int]:
        yield 1
        assert stop.wait(PATIENCE)
        yield 2

    items = Inbox(source()).until(stop, grace=PATIENCE)
    assert next(items) == 1
    stop.set()
    assert list(items) == [2]
