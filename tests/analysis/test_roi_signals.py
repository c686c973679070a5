"""Numbers from the signals of regions: two at a time, on OpenNFT's scale, and in units of noise."""

from __future__ import annotations

import numpy as np
import pytest
from test_roi import told

from rtbids.analysis import signals
from rtbids.analysis.activation import Activation
from rtbids.analysis.scaling import DynamicScaling, limits
from rtbids.errors import BadData

RNG = np.random.default_rng(0)
A, B = RNG.normal(size=(2, 40))
B += A


@pytest.mark.parametrize("window", [None, 5, 20, 100])
def test_correlation_is_that_of_numpy_over_its_window(window):
    for count in range(3, 40):
        start = max(0, count - window) if window else 0
        expected = np.corrcoef(A[start:count], B[start:count])[0, 1]
        assert signals.correlation(A[:count], B[:count], window) == pytest.approx(expected, abs=1e-12)
        assert told(A[:count]).correlation(told(B[:count]), window) == pytest.approx(expected, abs=1e-12)


def test_volumes_that_one_region_lacks_are_left_out_of_both():
    holed = A.copy()
    holed[[4, 7]] = np.nan
    kept = np.delete(np.arange(30), [4, 7])
    assert signals.correlation(holed, B[:30]) == pytest.approx(np.corrcoef(A[kept], B[kept])[0, 1], abs=1e-12)


@pytest.mark.parametrize("a", [np.ones(9), np.arange(2.0), np.full(9, np.nan), np.zeros(0)])
def test_there_is_no_correlation_with_what_does_not_change_or_is_too_short(a):
    assert signals.correlation(a, np.arange(9.0)) is None


@pytest.mark.parametrize(("level", "count"), [(0.1, 7), (1000.1, 9), (1234.567, 33), (712.3333, 50)])
def test_a_constant_signal_correlates_with_nothing_whatever_its_mean_is_rounded_to(level, count):
    """The mean of 33 times 1234.567 is another number: what is left is a correlation of rounding."""
    assert signals.correlation(np.full(count, level), np.arange(count) + 500.3) is None


@pytest.mark.parametrize("window", [-4, 0, 2])
def test_a_window_of_too_few_volumes_is_refused(window):
    with pytest.raises(BadData, match=f"window of 3 volumes or more, found {window}$"):
        told(A).correlation(told(B), window)


def test_difference_and_ratio_are_of_percent_signal_change():
    up, down = told([10.0, 12.0]), told([10.0, 9.0])  # +9.09 % and -5.26 % against the mean so far, itself included
    a, b = up.percent_signal_change(), down.percent_signal_change()
    assert up.difference(down) == a - b
    assert up.ratio(down) == pytest.approx((a - b) / (abs(a) + abs(b)))
    assert up.ratio(down) == 1


@pytest.mark.parametrize(("a", "b"), [(None, 1.0), (1.0, None)])
def test_there_is_no_difference_to_nothing(a, b):
    assert signals.difference(a, b) is None
    assert signals.ratio(a, b) is None
    assert signals.ratio(0.0, 0.0) is None


def test_limits_are_the_extremes_and_from_20_values_the_medians_of_the_tails():
    assert limits([3.0, 1.0, 2.0]) == (1, 3)
    assert limits([float(n) for n in range(19)]) == (0, 18)
    assert limits([float(n) for n in range(100)]) == (2, 97)  # medians of 0 to 4 and of 95 to 99


def test_a_value_is_scaled_at_its_own_time_and_stays_so():
    scaling = DynamicScaling()
    found = [scaling.add(value) for value in (5.0, 5.0, 6.0, 4.0, np.nan, 5.0)]
    np.testing.assert_array_equal(found, [np.nan, np.nan, 1.0, 0.0, np.nan, 0.5])
    np.testing.assert_array_equal(scaling.scaled, found)


def test_scaled_signal_change_is_100_times_the_rise_over_the_medians_of_the_baseline():
    values = [10.0, 14.0, 11.0, 20.0, 18.0, 19.0]  # rest in 0 to 2, of which 2 is left after two were skipped
    roi = told(values[:5])
    at_2, at_4 = (11 - 10) / (14 - 10), (18 - 10) / (20 - 10)
    assert roi.scaled_signal_change() == pytest.approx(100 * (at_4 - at_2))
    roi.add_values(5, np.array([19.0]))  # every volume has part, also those for which nobody asked
    assert roi.scaled_signal_change() == pytest.approx(100 * (0.9 - at_2))
    assert told(values[:2]).scaled_signal_change() is None


def hinds(design: np.ndarray, values: np.ndarray, nuisance: list[int], noise: np.ndarray | None = None) -> float:
    """The region's activation by the textbook."""
    betas = np.linalg.lstsq(design, values, rcond=None)[0]
    if noise is None:
        noise = ((values - design @ betas) ** 2).mean(axis=0)
    above = (values[-1] - design[-1, nuisance] @ betas[nuisance]) / np.sqrt(noise)
    return float(np.average(above, weights=1 / noise))


@pytest.mark.parametrize("freeze_after", [None, 25])
def test_current_activation_is_the_weighted_mean_of_standardised_voxels(freeze_after):
    rng = np.random.default_rng(1)
    design = np.column_stack([np.arange(40) // 8 % 2, np.ones(40), np.linspace(-1, 1, 40)])
    values = 1000 + rng.normal(size=(40, 6)) * np.arange(1, 7) + 3 * design[:, :1]
    activation = Activation(("go", "constant", "legendre01"), ("constant", "legendre01"), 6, freeze_after)
    found = [activation.add(row, voxels) for row, voxels in zip(design, values, strict=True)]
    assert found[:2] == [None, None]
    frozen = values[:25] - design[:25] @ np.linalg.lstsq(design[:25], values[:25], rcond=None)[0]
    for n in range(12, 40):
        noise = (frozen**2).mean(axis=0) if freeze_after and n >= freeze_after else None
        assert found[n] == pytest.approx(hinds(design[: n + 1], values[: n + 1], [1, 2], noise), rel=1e-9)


def test_voxels_that_are_constant_or_no_number_have_no_part_in_the_activation():
    rng = np.random.default_rng(1)
    design = np.column_stack([rng.normal(size=30), np.ones(30)])
    values = 1000 + rng.normal(size=(30, 4))
    values[:, 1], values[:, 2] = 7.0, np.nan
    some = Activation(("go", "constant"), ("constant",), 4)
    good = Activation(("go", "constant"), ("constant",), 2)
    for row, voxels in zip(design, values, strict=True):
        found, expected = some.add(row, voxels), good.add(row, voxels[[0, 3]])
    assert found == pytest.approx(expected, rel=1e-12)
    nothing = Activation(("go", "constant"), ("constant",), 1)
    assert [nothing.add(row, np.array([7.0])) for row in design][-1] is None


def test_a_volume_without_numbers_costs_no_later_activation():
    rng = np.random.default_rng(1)
    design, values = np.column_stack([rng.normal(size=30), np.ones(30)]), 1000 + rng.normal(size=(30, 4))
    values[9] = np.nan
    activation = Activation(("go", "constant"), ("constant",), 4)
    found = [activation.add(row, voxels) for row, voxels in zip(design, values, strict=True)]
    assert found[9] is None
    values[9] = values[8]
    assert found[29] == pytest.approx(hinds(design, values, [1]), rel=1e-9)


def test_noise_is_not_estimated_of_no_volume():
    with pytest.raises(BadData, match="freeze_after: expected 1 volume or more, found 0"):
        Activation(("constant",), ("constant",), 1, 0)
