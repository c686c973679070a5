"""Where in a run a moment is, at every pace at which its volumes may come."""

from __future__ import annotations

import numpy as np
import pytest

from rtbids.clock import ManualClock
from rtbids.replay.pacing import paced
from rtbids.run.responses.own_time import OwnTime, own_time
from rtbids.volume import Volume, volume_of

TR = 2.0


def volume(index: int, received: float = 0.0, **metadata: object) -> Volume:
    entities = {"subject": "01", "task": "nf", "run": "01"}
    sidecar = {"RepetitionTime": TR, "TaskName": "nf", **metadata}
    return volume_of(np.zeros((2, 2, 2), "i2"), np.eye(4), entities, sidecar, index, times={"received": received})


def after(*volumes: Volume) -> OwnTime:
    time = None
    for each in volumes:
        time = own_time(each, time)
    assert time is not None
    return time


@pytest.mark.parametrize("index", [0, 3])
def test_a_run_began_a_repetition_time_before_its_first_volume_was_here(index: int) -> None:
    time = after(volume(index, 1000.0))
    assert time.at(1000.0 - (index + 1) * TR) == 0
    assert time.at(1000.5) == (index + 1) * TR + 0.5


@pytest.mark.parametrize("speed", [0.5, 1.0, 2.0, 10.0, 1000.0])
def test_a_replay_at_any_speed_has_the_times_of_the_run(speed: float) -> None:
    """As many seconds after volume 12 as were at the scanner, a quarter of a repetition time."""
    clock = ManualClock(1000.0)
    out = [item for item in paced((volume(k) for k in range(20)), speed, clock) if isinstance(item, Volume)]
    moment = out[12].times["received"] + TR / 4 / speed
    assert after(*out[:13]).at(moment) == pytest.approx(13.25 * TR, abs=1e-6 * speed)  # of the clock's 1000 s a float's rest


def test_volumes_that_come_as_fast_as_they_are_taken_say_where_the_run_is() -> None:
    time = after(*(volume(k, 1000.0 + 30 * k, Paced=False) for k in range(5)))
    assert time.at(1125.0) == time.at(1149.0) == 5 * TR


def test_a_run_that_was_under_way_goes_on_at_the_scanners_pace() -> None:
    there = [volume(k, 1000.0, Paced=False) for k in range(30)]
    time = after(*there, volume(30, 1001.5), volume(31, 1003.5))
    assert time.at(1004.0) == 32 * TR + 0.5


def test_a_scanner_that_is_played_faster_than_it_was_is_followed() -> None:
    time = after(*(volume(k, 1000.0 + k * TR / 10) for k in range(100)))
    assert time.at(1000.0 + 99 * TR / 10 + 0.1) == pytest.approx(100 * TR, abs=TR)


def test_a_first_volume_that_was_held_up_is_no_measure() -> None:
    time = after(volume(0, 1007.0), volume(1, 1007.1), volume(2, 1007.2), volume(3, 1008.0))
    assert time.at(1008.5) == pytest.approx(4 * TR + 0.5, abs=TR / 2)


def test_where_volumes_are_as_late_as_they_are_at_a_scanner_all_onsets_have_one_zero() -> None:
    rng = np.random.default_rng(0)
    lateness = rng.uniform(0, 0.45 * TR, 300)
    volumes = [volume(k, 1000.0 + (k + 1) * TR + late) for k, late in enumerate(lateness)]
    assert after(*volumes) == after(volumes[0])


def test_a_pause_in_delivery_moves_no_onset() -> None:
    """The scanner went on; what waited comes at once."""
    time = after(volume(0, 1002.0), *(volume(k, 1060.0) for k in range(1, 29)), volume(29, 1060.0))
    assert time.at(1061.0) == 61.0


@pytest.mark.parametrize("said", ["fast", None, -1, 0, float("nan"), float("inf")])
def test_a_speed_that_is_none_counts_as_the_scanners(said: object) -> None:
    assert volume(0, ReplaySpeed=said).speed == 1.0
