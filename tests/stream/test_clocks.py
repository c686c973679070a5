"""The times of a stream, on this machine's clock."""

from __future__ import annotations

import numpy as np
import pytest

from rtbids.clock import ManualClock
from rtbids.stream.clocks import on_our_clock
from rtbids.volume import Volume, volume_of

ENTITIES = {"subject": "01", "task": "nf", "run": "01"}
MANY = 20
UNDER_WAY = 0.003  # seconds from the sender to us


def sent(index: int, times: dict[str, float]) -> Volume:
    return volume_of(np.zeros((2, 2, 2), np.int16), np.eye(4), ENTITIES, {"RepetitionTime": 1.0}, index, times=times)


def arriving(clock: ManualClock, ahead: float, held_up: dict[int, float]):
    """Give volumes a second apart of a sender whose clock is `ahead`; some were held up in the pipe."""
    for index in range(MANY):
        clock.wait_until(100.0 + index + UNDER_WAY + held_up.get(index, 0.0))
        theirs = 100.0 + index + ahead
        yield sent(index, {"acquired": theirs - 0.5, "received": theirs, "converted": theirs + 0.001})


def test_on_one_clock_the_senders_times_stay_also_of_what_the_pipe_held_up():
    clock = ManualClock()
    found = list(on_our_clock(arriving(clock, 0.0, {0: 0.8, 7: 0.4}), clock))
    assert [volume.times["received"] for volume in found[1:]] == [100.0 + index for index in range(1, MANY)]


@pytest.mark.parametrize(
    ("ahead", "said"), [(-3600.0, "3600.0 s behind"), (3600.0, "3600.0 s ahead of"), (-0.5, "0.5 s behind")]
)
def test_another_clock_is_told_by_the_volume_that_came_fastest(ahead, said, caplog):
    clock = ManualClock()
    found = list(on_our_clock(arriving(clock, ahead, {7: 0.4}), clock))
    true = [100.0 + index for index in range(MANY)]
    assert [volume.times["received"] for volume in found] == pytest.approx(true, abs=2 * UNDER_WAY)  # and not when it was read
    assert [volume.times["converted"] - volume.times["acquired"] for volume in found] == pytest.approx([0.501] * len(true))
    assert [record.getMessage() for record in caplog.records] == [
        f"the sender's clock is {said} this machine's: times are carried over"
    ]


def test_a_volume_without_times_was_received_here():
    clock = ManualClock(50.0)
    assert [volume.times for volume in on_our_clock([sent(0, {})], clock)] == [{"received": 50.0}]


def test_what_waited_in_the_pipe_while_we_started_is_no_other_clock(caplog):
    clock = ManualClock(101.6)
    found = list(on_our_clock((sent(index, {"received": 100.0 + 0.001 * index}) for index in range(MANY)), clock))
    assert [volume.times["received"] for volume in found][-1] == pytest.approx(101.6)
    assert caplog.records == []
