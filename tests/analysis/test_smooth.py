"""SPM's smoothing kernel: the integral it stands for, the values SPM has, and what becomes of borders."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import integrate

from rtbids.analysis.smooth import Smoother, kernel
from rtbids.errors import BadData

ZOOMS = (2.97297, 2.97297, 3.75)


@pytest.mark.parametrize("fwhm", [0.8, 1.0, 5 / 2.97297, 5 / 3.75, 2.0, 4.0])
def test_taps_are_a_gaussian_convolved_with_a_triangle(fwhm):
    """By quadrature of the integral that the closed form solves; SPM cuts at round(6 σ) and makes the sum 1."""
    taps, sigma = kernel(fwhm), fwhm / np.sqrt(8 * np.log(2))
    reach = round(6 * sigma)

    def integrand(u, x):
        return (1 - abs(u)) * np.exp(-((x - u) ** 2) / (2 * sigma**2)) / (sigma * np.sqrt(2 * np.pi))

    places = range(-reach, reach + 1)
    exact = [
        sum(integrate.quad(integrand, *side, args=(x,), epsabs=1e-15, epsrel=1e-13)[0] for side in ((-1, 0), (0, 1)))
        for x in places
    ]
    assert len(taps) == 2 * reach + 1
    np.testing.assert_allclose(taps, np.array(exact) / np.sum(exact), rtol=0, atol=1e-12)


@pytest.mark.parametrize(
    ("side", "half"),
    [(2.97297, [0.48251, 0.23311, 0.02510, 0.00054, 0.00000]), (3.75, [0.56582, 0.20832, 0.00874, 0.00003])],
)
def test_taps_for_5_mm_are_those_of_spm(side, half):
    taps = kernel(5 / side)
    np.testing.assert_allclose(taps[len(taps) // 2 :][: len(half)], half, atol=1e-5)
    np.testing.assert_allclose(taps, taps[::-1], atol=1e-15)
    assert taps.sum() == pytest.approx(1, abs=1e-14)


def test_a_point_becomes_the_kernel():
    volume = np.zeros((21, 21, 21))
    volume[10, 10, 10] = 1
    smoothed = Smoother(volume.shape, ZOOMS, 5.0)(volume)
    x, y, z = (kernel(5 / side) for side in ZOOMS)
    expected = np.zeros_like(volume)
    reach = [len(taps) // 2 for taps in (x, y, z)]
    expected[tuple(slice(10 - r, 11 + r) for r in reach)] = x[:, None, None] * y[None, :, None] * z[None, None]
    np.testing.assert_allclose(smoothed, expected, rtol=0, atol=1e-12)


def test_signal_falls_off_in_the_plane_and_not_across_slices():
    smoothed = Smoother((30, 30, 12), ZOOMS, 5.0)(np.ones((30, 30, 12)))
    np.testing.assert_allclose(smoothed[15, 15], 1, atol=1e-12)
    taps = kernel(5 / 2.97297)
    np.testing.assert_allclose(smoothed[0, 15], taps[len(taps) // 2 :].sum(), atol=1e-12)
    assert smoothed[0, 0, 0] == pytest.approx(smoothed[0, 15, 0] ** 2)


def test_the_sums_at_the_first_slices_are_those_of_spm():
    taps = kernel(5 / 3.75)
    sums = [taps[len(taps) // 2 - slices :].sum() for slices in range(4)]
    np.testing.assert_allclose(sums, [0.78291, 0.99123, 0.99997, 1], atol=1e-5)


@pytest.mark.parametrize(("stored", "given"), [(np.int16, np.float32), (np.float32, np.float32), (np.float64, np.float64)])
def test_precision_is_that_of_the_volume(stored, given):
    volume = np.random.default_rng(0).integers(0, 1000, (12, 11, 10)).astype(stored)
    smoothed = Smoother(volume.shape, ZOOMS, 5.0)(volume)
    assert smoothed.dtype == given
    np.testing.assert_allclose(smoothed, Smoother(volume.shape, ZOOMS, 5.0)(volume.astype(np.float64)), rtol=1e-5)


def test_a_voxel_that_is_no_number_spreads_to_no_other():
    volume = np.ones((9, 9, 9))
    volume[4, 4, 4] = np.nan
    assert np.isfinite(Smoother(volume.shape, ZOOMS, 5.0)(volume)).all()


@pytest.mark.parametrize("shape", [(8, 8, 1), (1, 1, 1), (3, 2, 2)])
def test_volumes_smaller_than_the_kernel_are_smoothed(shape):
    assert np.isfinite(Smoother(shape, ZOOMS, 8.0)(np.ones(shape))).all()


def test_no_smoothing_leaves_the_volume():
    volume = np.random.default_rng(0).normal(size=(5, 6, 7))
    np.testing.assert_array_equal(Smoother(volume.shape, ZOOMS, 0.0)(volume), volume)


@pytest.mark.parametrize("fwhm", [-1.0, np.nan, np.inf])
def test_an_impossible_width_is_refused(fwhm):
    with pytest.raises(BadData, match="smoothing of 0 mm or more"):
        Smoother((5, 5, 5), ZOOMS, fwhm)


def test_another_shape_is_refused():
    with pytest.raises(BadData, match="as the ones before"):
        Smoother((5, 5, 5), ZOOMS, 5.0)(np.ones((5, 5, 6)))
