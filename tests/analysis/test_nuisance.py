"""Signals without drift, motion, and what masks say."""

from __future__ import annotations

import numpy as np
import pytest

from rtbids.analysis.design import Design, Model
from rtbids.analysis.nuisance import Nuisance
from rtbids.bids.events import Event, Events

TR, COUNT = 2.0, 120
BLOCKS = Events(tuple(Event(20.0 + 40 * n, 20.0, "go") for n in range(6)))
MODEL = Model(drift="polynomial", motion=12, signals=("white_matter",))


def run(model: Model = MODEL, events: Events = BLOCKS) -> tuple[Design, np.ndarray]:
    """Return a design and its rows, with wandering poses and a noisy signal of white matter."""
    rng = np.random.default_rng(0)
    design = Design(model, events, TR, COUNT)
    poses = rng.normal(size=(COUNT, 6)).cumsum(axis=0) * [0.02, 0.02, 0.02, 3e-4, 3e-4, 3e-4]
    matter = 500 + rng.normal(size=COUNT)
    return design, np.array([design.row(n, poses[n], {"white_matter": matter[n]}) for n in range(COUNT)])


def cleaned(design: Design, rows: np.ndarray, values: np.ndarray) -> np.ndarray:
    nuisance = Nuisance(design.columns, design.nuisance, values.shape[1])
    return np.array([nuisance.add(row, value) for row, value in zip(rows, values, strict=True)])


def test_each_value_is_that_of_least_squares_over_the_volumes_up_to_it():
    design, rows = run()
    values = 1000 + np.random.default_rng(1).normal(size=(COUNT, 3))
    found = cleaned(design, rows, values)
    removed = [design.columns.index(name) for name in design.nuisance]
    for n in range(len(design.columns) + 25, COUNT, 7):
        betas = np.linalg.lstsq(rows[: n + 1], values[: n + 1], rcond=None)[0]
        part = (rows[n, removed] - rows[: n + 1, removed].mean(axis=0)) @ betas[removed]
        np.testing.assert_allclose(found[n], values[n] - part, rtol=1e-11)


def test_what_nuisance_did_is_gone_and_what_the_task_did_stays():
    design, rows = run()
    task = 20 * rows[:, :1]
    disturbed = 1000 + task + rows[:, 2:] @ np.random.default_rng(2).normal(size=(rows.shape[1] - 2, 1))
    found = cleaned(design, rows, disturbed)[60:]
    # The level is that of the signal's mean so far, which moves: the task's excursions are compared, not the level.
    still = disturbed[:, 0].cumsum()[60:] / np.arange(61, COUNT + 1) - task[:, 0].cumsum()[60:] / np.arange(61, COUNT + 1)
    np.testing.assert_allclose(found[:, 0], task[60:, 0] + still, atol=1e-6)


def test_a_task_that_is_not_in_the_design_is_taken_out_where_it_goes_with_motion():
    rows = np.column_stack([np.ones(COUNT), np.arange(COUNT) // 10 % 2])
    values = 1000 + 20 * rows[:, 1:]
    nuisance = Nuisance(("constant", "trans_x"), ("trans_x",), 1)
    found = np.array([nuisance.add(row, value) for row, value in zip(rows, values, strict=True)])
    level = values[:, 0].cumsum() / np.arange(1, COUNT + 1)
    np.testing.assert_allclose(found[11:, 0], level[11:], rtol=1e-12)


def test_a_value_never_changes_by_what_comes_later():
    design, rows = run()
    values = 1000 + np.random.default_rng(1).normal(size=(COUNT, 3))
    np.testing.assert_array_equal(cleaned(design, rows[:70], values[:70]), cleaned(design, rows, values)[:70])


def test_nothing_is_said_before_there_are_more_volumes_than_columns():
    design, rows = run()
    found = cleaned(design, rows, np.random.default_rng(1).normal(size=(COUNT, 1)))
    assert np.isnan(found[: len(design.columns) - 1]).all()
    assert np.isfinite(found[len(design.columns) :]).all()


def test_a_pose_that_is_no_number_costs_its_own_value_only():
    design, rows = run()
    values = 1000 + np.random.default_rng(1).normal(size=(COUNT, 1))
    rows[80, 5] = np.nan
    found = cleaned(design, rows, values)
    assert np.flatnonzero(np.isnan(found[30:, 0])).tolist() == [50]
    without = cleaned(design, np.delete(rows, 80, axis=0), np.delete(values, 80, axis=0))
    np.testing.assert_array_equal(found[81:], without[80:])


def test_a_value_that_is_no_number_costs_no_later_one():
    design, rows = run()
    values = 1000 + np.random.default_rng(1).normal(size=(COUNT, 3))
    values[80, :2] = np.nan, np.inf
    found, held = cleaned(design, rows, values), values.copy()
    held[80, :2] = held[79, :2]
    expected = cleaned(design, rows, held)
    expected[80, :2] = np.nan
    np.testing.assert_array_equal(found, expected)


def test_columns_to_take_out_are_those_of_the_design():
    with pytest.raises(ValueError, match="not among the columns: drift"):
        Nuisance(("constant",), ("drift",), 1)
