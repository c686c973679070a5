"""The regressors of a run, row by row."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
from scipy import stats
from scipy.optimize import minimize_scalar

from rtbids.analysis import drift, event_remarks, response
from rtbids.analysis.design import Design, Model
from rtbids.bids.events import Event, Events
from rtbids.errors import BadData

TR = 1.97
BLOCKS = Events(tuple(Event(29.55 + 39.4 * n, 19.7, "regulate") for n in range(7)))


def design(events: Events = BLOCKS, planned: int = 150, **model) -> Design:
    return Design(Model(**{"drift": "none", **model}), events, TR, planned)


def rows(made: Design, count: int, **measured) -> np.ndarray:
    return np.array([made.row(index, **{name: value[index] for name, value in measured.items()}) for index in range(count)])


def test_the_response_is_the_difference_of_two_gamma_densities_with_its_extremes_where_spm_has_them():
    times = np.linspace(-1, 32, 1000)
    expected = stats.gamma.pdf(times, 6) - stats.gamma.pdf(times, 16) / 6
    np.testing.assert_allclose(response.hrf(times), expected, atol=1e-14)  # two ways to compute one density
    assert not response.hrf(np.array([32.1, 100.0])).any()
    top = minimize_scalar(lambda t: -response.hrf(np.array([t]))[0], bounds=(2, 8), method="bounded")
    bottom = minimize_scalar(lambda t: response.hrf(np.array([t]))[0], bounds=(10, 25), method="bounded")
    assert top.x == pytest.approx(5.0, abs=0.01)
    assert bottom.x == pytest.approx(15.7, abs=0.1)


def test_a_condition_is_its_boxcar_convolved_with_the_response():
    made = rows(design(), 150)[:, 0]
    grid = np.zeros(4000)
    for event in BLOCKS.rows:
        first = int(event.onset / 0.1 + 1e-6)
        grid[first : first + round(event.duration / 0.1)] = 1
    times = np.arange(4000) / 10
    fine = np.convolve(grid, stats.gamma.pdf(times, 6) - stats.gamma.pdf(times, 16) / 6) * 0.1
    # Linear between the points of the fine grid, on which TR is not a whole number: curvature h² f'' / 8 of at most .0003.
    np.testing.assert_allclose(made, np.interp(TR * np.arange(150), times, fine[:4000]), atol=3e-4)


def test_an_event_without_duration_is_an_impulse():
    made = rows(design(Events((Event(10.0, 0.0, "flash"),))), 20)[:, 0]
    np.testing.assert_allclose(made, response.hrf(TR * np.arange(20) - 10.0), atol=1e-12)


def test_an_event_that_never_ends_is_the_whole_response_added_up_and_takes_no_memory():
    made = response.Response()
    tracemalloc.start()
    made.add(0.0, 1e6)
    found = made.at(9e5)
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert found == pytest.approx(stats.gamma.cdf(32, 6) - stats.gamma.cdf(32, 16) / 6, abs=1e-4)  # a sum by steps of 0.1 s
    assert made.at(1e6 + 33) == 0
    assert most < 100_000  # ten million points would be 160 MB


def test_an_onset_on_the_grid_stays_there_whatever_its_binary_form():
    made = response.Response()
    made.add(0.3, 0.0)  # 0.3 / 0.1 is 2.9999999999999996
    assert made.at(5.3) == pytest.approx(response.hrf(np.array([5.0]))[0], abs=1e-12)


def test_the_cosines_of_the_neurofeedback_run_are_four_orthonormal_columns():
    assert drift.cosine_count(150, TR) == 4
    columns = drift.cosines(np.arange(150), 150, 4)
    np.testing.assert_allclose(columns.T @ columns, np.eye(4), atol=1e-12)
    np.testing.assert_allclose(columns.sum(axis=0), 0, atol=1e-12)


def test_polynomials_are_those_of_legendre_of_the_degree_that_afni_takes():
    assert [drift.legendre_degree(n, 2.0) for n in (74, 75, 150, 300)] == [1, 2, 3, 5]
    x = np.linspace(-1, 1, 101)
    expected = np.column_stack([x, (3 * x**2 - 1) / 2, (5 * x**3 - 3 * x) / 2])
    np.testing.assert_allclose(drift.legendre(np.arange(101), 101, 3), expected, atol=1e-12)


def test_columns_stand_in_the_order_in_which_they_are_kept():
    made = design(drift="dct", motion=6, signals=("white_matter",))
    cosines = tuple(f"cosine0{n}" for n in range(1, 5))
    pose = ("trans_x", "trans_y", "trans_z", "rot_x", "rot_y", "rot_z")
    assert made.columns == ("regulate", "constant", *cosines, *pose, "white_matter")
    assert made.nuisance == (*cosines, *pose, "white_matter")
    row = made.row(0, pose=[1, 2, 3, 4, 5, 6], signals={"white_matter": 7.0})
    assert row[6:].tolist() == [1, 2, 3, 4, 5, 6, 7]
    assert row[1] == 1


@pytest.mark.parametrize(
    ("count", "expected"),
    [
        (6, lambda now, before: now),
        (12, lambda now, before: np.hstack([now, now - before])),
        (24, lambda now, before: np.hstack([now, before, now**2, before**2])),
    ],
)
def test_motion_has_6_12_or_24_columns(count, expected):
    poses = np.random.default_rng(0).normal(size=(9, 6))
    made = rows(design(Events(), motion=count), 9, pose=poses)[:, 1:]
    np.testing.assert_array_equal(made, expected(poses, np.vstack([poses[:1], poses[:-1]])))


def test_a_row_does_not_depend_on_what_comes_later():
    whole = rows(design(drift="dct"), 150)
    known = Events(tuple(event for event in BLOCKS.rows if event.onset <= 70 * TR))
    np.testing.assert_array_equal(rows(design(known, drift="dct"), 70), whole[:70])


def test_events_that_arrive_before_their_volumes_give_the_design_that_knew_them():
    live = design(Events(), conditions=("regulate",))
    made = []
    for index in range(150):
        for event in BLOCKS.rows:
            if index * TR <= event.onset < (index + 1) * TR:
                live.add_event(event.onset, event.duration, event.trial_type)
        made.append(live.row(index))
    np.testing.assert_array_equal(made, rows(design(), 150))
    assert live.events == BLOCKS


def test_an_event_that_arrives_late_changes_no_row_that_was_made_and_is_warned_of(caplog):
    known, late = design(), design(Events(), conditions=("regulate",))
    before = [late.row(index) for index in range(20)]
    assert not np.any([row[0] for row in before])
    for event in BLOCKS.rows:
        late.add_event(event.onset, event.duration, event.trial_type)
    assert [record.message for record in caplog.records] == [
        "the event 'regulate' at 29.55 s came too late for volumes 16 to 19; later ones have it"
    ]
    np.testing.assert_array_equal([late.row(n) for n in range(20, 150)], rows(known, 150)[20:])


UNUSUAL = (Event(-40.0, 2.0, "a"), Event(-2.0, 5.0, "a"), Event(1.0, 5.0, "a"), Event(1.0, 5.0, "b"), Event(400.0, 1, "b"))


def test_events_outside_the_run_and_over_each_other_are_said():
    assert list(event_remarks.beforehand(UNUSUAL, 295.5, modelled=True)) == [
        "1 of 3 events of 'a' lie outside the run of 295.5 s: no effect",
        "events of 'a' overlap, first at 1 s: their responses add up",
        "1 of 2 events of 'b' lie outside the run of 295.5 s: no effect",
    ]
    made = design(Events(UNUSUAL))
    alone = [design(Events((event,)), conditions=("a",)) for event in UNUSUAL[:3]]
    np.testing.assert_allclose(rows(made, 9)[:, 0], sum(rows(one, 9)[:, 0] for one in alone), atol=1e-15)


def test_what_lies_after_a_run_is_known_at_its_end_where_nobody_planned_it():
    assert list(event_remarks.beforehand(UNUSUAL, None, modelled=False)) == [
        "1 of 3 events of 'a' lie before the run: no effect",
        "events of 'a' overlap, first at 1 s",
    ]
    assert list(event_remarks.afterwards(UNUSUAL, 80.0)) == [
        "the run ended at 80 s, before these events, the first at 400 s: 1 of 'b'"
    ]
    assert list(event_remarks.afterwards(UNUSUAL, 401.0)) == []


def test_a_run_longer_than_planned_is_said_once_though_the_first_volume_of_it_is_missing(caplog):
    made = design(planned=20)
    for index in (*range(20), 21, 22):
        made.row(index)
    assert caplog.messages == ["the run is longer than the 20 volumes planned: drift goes on as it was"]


def test_a_negative_onset_has_its_tail_in_the_run():
    early = rows(design(Events((Event(-4.0, 0.0, "a"),))), 5)[:, 0]
    np.testing.assert_allclose(early, response.hrf(TR * np.arange(5) + 4.0), atol=1e-12)


def test_events_without_a_column_are_said_once_with_the_nearest_name(caplog):
    made = design(conditions=("regulate", "view"))
    made.add_event(1.0, 1.0, "regulat")
    made.add_event(3.0, 1.0, "regulat")
    (record,) = caplog.records
    assert record.message == (
        "events of the trial_type 'regulat' have no column in the design; did you mean 'regulate'? "
        "the columns are: regulate, view"
    )


def test_a_run_longer_than_planned_goes_on_with_one_warning(caplog):
    made = rows(design(planned=20, drift="polynomial"), 25)
    assert [record.message for record in caplog.records if "planned" in record.message] == [
        "the run is longer than the 20 volumes planned: drift goes on as it was"
    ]
    np.testing.assert_allclose(np.diff(made[:, 2]), 2 / 19, atol=1e-12)


@pytest.mark.parametrize(("onset", "duration"), [(float("nan"), 1.0), (1.0, float("inf")), (1.0, -1.0)])
def test_an_event_at_no_time_is_refused(onset, duration):
    made = design()
    with pytest.raises(BadData, match=r"(is no time|1000000 at most, found (nan|inf))$"):
        made.add_event(onset, duration, "regulate")


def test_a_condition_may_not_take_the_name_of_another_column():
    with pytest.raises(BadData, match="more than one column of the name constant"):
        design(Events((Event(0.0, 1.0, "constant"),)))


@pytest.mark.parametrize("wrong", [{"cutoff": 0.0}, {"degree": -1}])
def test_a_model_that_makes_no_sense_is_refused(wrong):
    with pytest.raises(ValueError, match=f"{next(iter(wrong))}: expected"):
        Model(**wrong)
