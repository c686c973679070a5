"""A repetition time is believed, compared and never overwritten."""

from __future__ import annotations

import pytest

from rtbids.convert.pace import ENOUGH, Pace


def said(stated: float | None, moments: list[tuple[int, float]]) -> list[str]:
    pace = Pace(stated)
    return [text for index, moment in moments if (text := pace.acquired(index, moment))]


def every(step: float, count: int = 20) -> list[tuple[int, float]]:
    return [(index, index * step) for index in range(count)]


def test_a_contradiction_is_said_once_with_both_figures():
    (text,) = said(2.0, every(1.0))
    assert "of 2 s" in text
    assert "every 1 s" in text


@pytest.mark.parametrize(
    ("stated", "moments"),
    [
        (1.97, every(1.978)),  # the recorded neurofeedback run
        (2.0, [*every(2.0, ENOUGH), (ENOUGH, 9.0)]),  # one wrong time, as the last of the oneback run
        (2.0, [(index, 5.0) for index in range(20)]),  # one time for all
        (2.0, [(0, 0.0), (3, 6.0), *((index, 2.0 * index) for index in range(4, 20))]),  # volumes that never came
        (None, every(1.0)),
        (2.0, every(1.0, ENOUGH)),  # too few to tell
    ],
)
def test_small_drift_single_errors_and_gaps_are_no_contradiction(stated, moments):
    assert said(stated, moments) == []
