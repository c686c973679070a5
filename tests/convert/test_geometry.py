"""Planes, steps and gaps, against closed forms."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtbids.convert import geometry


def test_the_first_voxel_of_the_file_is_the_last_row_of_the_image() -> None:
    where = geometry.plane([1, 0, 0, 0, 1, 0], [2.0, 3.0])
    affine = geometry.affine(where, np.array([10.0, 20.0, 30.0]), 4.0, rows=5)
    # DICOM: the pixel in row 4, column 0 of slice 0 lies at (10, 20 + 4 * 2, 30) in LPS, hence RAS (-10, -28, 30)
    np.testing.assert_allclose(affine @ [0, 0, 0, 1], [-10, -28, 30, 1])
    np.testing.assert_allclose(affine @ [1, 4, 2, 1], [-13, -20, 38, 1])


@given(st.integers(1, 20), st.floats(-5, 5).filter(lambda step: abs(step) > 0.1))
def test_reversing_slices_moves_no_voxel(slices: int, step: float) -> None:
    where = geometry.plane([0.8, 0.6, 0, 0, 0, -1], [2.0, 3.0])
    affine = geometry.affine(where, np.array([1.0, 2.0, 3.0]), step, rows=7)
    turned = geometry.reversed_slices(affine, slices)
    for k in (0, slices - 1):
        np.testing.assert_allclose(turned @ [2, 3, slices - 1 - k, 1], affine @ [2, 3, k, 1], atol=1e-9)


@pytest.mark.parametrize(
    ("depths", "missing"),
    [
        ([0.0], []),
        ([0, 4], []),
        ([0, 3.6, 7.2, 10.8], []),
        ([0, 3.61, 7.19, 10.8], []),  # rounding in the header
        ([0, 4, 8, 16, 20], [4]),
        ([0, 4, 8, 16, 24], [4, 6]),
        ([0, 4, 8, 20, 24], [4, 5]),
        ([0, 4, 6, 10, 14], [0]),
        ([*range(0, 72, 4), *range(76, 136, 8)], [19, 21, 23, 25, 27, 29, 31, 33]),  # an interleaved volume broken off
    ],
)
def test_slices_that_are_missing_are_named_by_number(depths: list[float], missing: list[int]) -> None:
    assert geometry.gaps(depths) == missing


@given(st.integers(3, 120), st.floats(0.5, 6), st.integers(0, 10**6))
def test_any_slice_that_is_taken_out_is_found(slices: int, step: float, choice: int) -> None:
    gone = choice % (slices - 2) + 1
    depths = [round(number * step, 2) for number in range(slices) if number != gone]
    if len(depths) >= 4:  # of two steps, neither is the usual one
        assert geometry.gaps(depths) == [gone + 1]


def test_numbers_are_listed_as_people_do() -> None:
    assert geometry.named([7]) == "7"
    assert geometry.named([1, 2, 3, 5, 8, 9]) == "1 to 3, 5, 8 to 9"
