"""The Kalman filter for spikes."""

from __future__ import annotations

import numpy as np
import pytest

from rtbids.analysis.despike import Despiker

SERIES = [0, 1, 0, 1, 0, 1, 0, 1, 0, 9, 0, 1, 0, 1, 9, 9, 9, 9]
# What OpenNFT's filter gives for it (pyOpenNFT 8317aec), with four decimals.
FILTERED = [0, 0.2, 0.1356, 0.4373, 0.271, 0.5486, 0.3348, 0.5924, 0.3607]
FILTERED += [2.1661, 1.4687, 1.2928, 0.7837, 0.8708, 0.8708, 3.9863, 5.818, 6.984]


def filtered(values) -> list[float]:
    despiker = Despiker()
    return [despiker.add(value) for value in values]


def test_the_published_filter_is_reproduced():
    np.testing.assert_allclose(filtered(SERIES), FILTERED, atol=1e-4)


def test_a_single_spike_is_dropped_and_a_step_is_followed_from_its_second_value():
    quiet = list(np.random.default_rng(0).normal(size=60))
    before, spike, after = filtered([*quiet, 20, 0])[-3:]
    assert spike == before
    assert abs(after) < 2
    held, first, second = filtered([*quiet, 20, 20])[-3:]
    assert first == held
    assert second > 3


def test_a_spike_up_and_one_down_are_both_dropped():
    quiet = list(np.random.default_rng(0).normal(size=60))
    before, up, down = filtered([*quiet, 20, -20])[-3:]
    assert up == down == before


@pytest.mark.parametrize("value", [0.0, 5.0])
def test_a_signal_that_does_not_change_is_no_error(value):
    assert filtered([value] * 5) == [0.0] * 5


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_what_is_no_number_leaves_the_filter_as_it_was(bad):
    despiker = Despiker()
    answers = [despiker.add(value) for value in [*SERIES[:8], bad, *SERIES[8:]]]
    assert answers[8] == answers[7]
    assert answers[:8] + answers[9:] == filtered(SERIES)


def test_values_depend_on_earlier_ones_only():
    assert filtered(SERIES)[:11] == filtered(SERIES[:11])
