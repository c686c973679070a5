"""The Kalman filter for spikes."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from rtbids.analysis.despike import FIRST, Despiker, SpikeFilter

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


def begun(values) -> np.ndarray:
    spikes = SpikeFilter()
    return np.array([spikes.add(value) for value in values])


@pytest.mark.parametrize("bright", [(), (150, 60, 25)], ids=["steady", "bright first volumes"])
def test_a_spike_of_eight_standard_deviations_is_dropped_however_bright_the_first_volumes_were(bright):
    for seed in range(20):
        values = 1000 + np.random.default_rng(seed).normal(0, 5, 120)
        values[: len(bright)] += bright
        values[100] += 40
        found = begun(values)
        assert found[100] == found[99]
        assert abs(found[101] - 1000) < 12


def test_the_first_values_pass_as_they_are_and_the_filter_is_the_published_one_about_their_median():
    values = 1000 + np.random.default_rng(0).normal(0, 5, 60)
    found = begun(values)
    np.testing.assert_array_equal(found[:FIRST], values[:FIRST])
    level = np.median(values[:FIRST])
    deviations = values[:FIRST] - level
    kept = np.abs(deviations) <= 3 * stats.median_abs_deviation(values[:FIRST], scale="normal")
    published = Despiker(deviations[kept].tolist())
    np.testing.assert_allclose(found[FIRST:], [level + published.add(value - level) for value in values[FIRST:]], rtol=1e-14)


def test_the_filter_is_a_volume_late_and_flattens_as_its_documentation_says():
    """The task is a convolution by scipy of blocks of 20 s, TR 2 s, as high as three times the noise."""
    task = np.convolve(np.arange(200) // 10 % 3 == 1, stats.gamma.pdf(np.arange(0, 32, 2.0), 6) * 2)[:200]
    late, slopes = [], []
    for seed in range(10):
        found = begun(1000 + 10 * task + np.random.default_rng(seed).normal(0, 3, 200))[20:]
        late.append(np.argmax([np.corrcoef(found, task[20 - lag : 200 - lag])[0, 1] for lag in range(4)]))
        slopes.append(np.polyfit(task[20:], found, 1)[0] / 10)
    assert np.median(late) == 1
    assert np.mean(slopes) == pytest.approx(0.8, abs=0.1)


def test_values_that_are_no_numbers_do_not_begin_the_filter():
    assert np.isnan(begun([np.nan] * 20)).all()
    assert begun([np.nan, *[7.0] * 12])[1:].tolist() == [7.0] * 12
