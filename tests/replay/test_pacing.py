"""Volumes leave on the grid of their run, and the end of a wait can be asked for."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator

import numpy as np
import pytest

from rtbids.clock import CLOCK, ManualClock
from rtbids.errors import BadData, UsageFault
from rtbids.replay.pacing import paced
from rtbids.volume import Item, RunEnd, Volume, volume_of
from rtbids.wakeup import Wakeup

RUN = {"subject": "01", "task": "nf", "run": "01"}
NEXT = {**RUN, "run": "02"}
SIDECAR = {"RepetitionTime": 2.0, "TaskName": "nf"}


def volume(index: int, entities: dict[str, str] = RUN, sidecar: dict[str, object] = SIDECAR) -> Volume:
    return volume_of(np.zeros((2, 2, 2), "i2"), np.eye(4), entities, sidecar, index, times={"received": 5.0, "sent": 6.0})


def departures(items: Iterable[Item], speed: float | None, clock: ManualClock) -> list[float]:
    return [item.times["received"] for item in paced(items, speed, clock) if isinstance(item, Volume)]


@pytest.mark.parametrize(("speed", "step"), [(1.0, 2.0), (4.0, 0.5), (0.5, 4.0)])
def test_volumes_leave_one_tr_apart(speed: float, step: float) -> None:
    clock = ManualClock(100.0)
    assert departures([volume(k) for k in range(4)], speed, clock) == [100.0 + k * step for k in range(4)]


def test_a_late_volume_does_not_push_back_those_behind_it() -> None:
    clock = ManualClock(100.0)

    def late() -> Iterator[Item]:
        for k in range(4):
            if k == 1:
                clock.advance(3.0)
            yield volume(k)

    assert departures(late(), 1.0, clock) == [100.0, 103.0, 104.0, 106.0]


def test_a_missing_volume_leaves_its_gap() -> None:
    assert departures([volume(0), volume(1), volume(3)], 1.0, ManualClock(100.0)) == [100.0, 102.0, 106.0]


def test_the_first_volume_leaves_at_once_whatever_its_index() -> None:
    assert departures([volume(3), volume(4)], 1.0, ManualClock(100.0)) == [100.0, 102.0]


def test_a_run_begins_one_tr_after_the_last_volume_of_the_run_before() -> None:
    items: list[Item] = [volume(0), volume(1), RunEnd(RUN, 2), volume(0, NEXT), volume(1, NEXT), RunEnd(NEXT, 2)]
    assert departures(items, 1.0, ManualClock(100.0)) == [100.0, 102.0, 104.0, 106.0]


def test_the_end_of_a_run_is_passed_on_at_once() -> None:
    clock = ManualClock(100.0)
    moments = [clock.now() for item in paced([volume(0), RunEnd(RUN, 1)], 1.0, clock) if isinstance(item, RunEnd)]
    assert moments == [100.0]


def test_interleaved_runs_keep_a_grid_each() -> None:
    items: list[Item] = [volume(0), volume(0, NEXT), volume(1), volume(1, NEXT)]
    assert departures(items, 1.0, ManualClock(100.0)) == [100.0, 100.0, 102.0, 102.0]


def test_without_a_speed_nothing_waits() -> None:
    clock = ManualClock(100.0)
    assert departures([volume(k, sidecar={"TaskName": "nf"}) for k in range(3)], None, clock) == [100.0] * 3


@pytest.mark.parametrize(("speed", "said"), [(1.0, True), (None, False)])
def test_the_metadata_say_whether_the_run_is_paced(speed: float | None, said: bool) -> None:
    out = [item for item in paced([volume(0), volume(1)], speed, ManualClock()) if isinstance(item, Volume)]
    assert [item.metadata["Paced"] for item in out] == [said, said]
    assert "ReplaySpeed" not in out[0].metadata
    assert out[0].metadata is out[1].metadata
    assert "Paced" not in SIDECAR


@pytest.mark.parametrize("speed", [10.0, 0.5])
def test_a_replay_at_another_speed_says_so(speed: float) -> None:
    (out,) = [item for item in paced([volume(0)], speed, ManualClock()) if isinstance(item, Volume)]
    assert (out.paced, out.speed) == (True, speed)


def test_a_field_that_becomes_known_later_is_kept() -> None:
    later = {**SIDECAR, "EchoTime": 0.03}
    out = [item for item in paced([volume(0), volume(1, sidecar=later)], 1.0, ManualClock()) if isinstance(item, Volume)]
    assert dict(out[1].metadata) == {**later, "Paced": True}


def test_times_of_the_old_run_are_dropped() -> None:
    (out,) = [item for item in paced([volume(0)], 1.0, ManualClock(100.0)) if isinstance(item, Volume)]
    assert dict(out.times) == {"received": 100.0}


def test_a_run_without_repetition_time_cannot_be_paced() -> None:
    with pytest.raises(BadData, match="RepetitionTime"):
        next(paced([volume(0, sidecar={})], 1.0, ManualClock()))


@pytest.mark.parametrize("speed", [0.0, -1.0, float("nan")])
def test_a_speed_that_leads_nowhere_is_refused(speed: float) -> None:
    with pytest.raises(UsageFault, match="above 0"):
        next(paced([volume(0)], speed, ManualClock()))


def test_stop_ends_a_wait_of_an_hour() -> None:
    stop = Wakeup()
    slow = {**SIDECAR, "RepetitionTime": 3600.0}
    items = paced([volume(0, sidecar=slow), volume(1, sidecar=slow)], 1.0, CLOCK, stop)
    first = next(items)
    assert isinstance(first, Volume)
    rest: list[Item] = []
    waiter = threading.Thread(target=lambda: rest.extend(items))
    waiter.start()
    stop.set()
    waiter.join(10)
    assert not waiter.is_alive()
    assert rest == []
