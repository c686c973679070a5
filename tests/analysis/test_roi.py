"""The number of a region, volume by volume."""

from __future__ import annotations

import numpy as np
import pytest

from rtbids.analysis.roi import Roi
from rtbids.bids.events import Event, Events
from rtbids.errors import BadData
from rtbids.volume import volume_of

MASK = np.zeros((4, 3, 2), bool)
MASK[1:3, 1, 0] = MASK[3, 2, 1] = True
WEIGHTS = np.array([1.0, 2.0, 5.0])
BLOCKS = Events((Event(3.0, 3.0, "go"), Event(9.0, 3.0, "go")))  # TR 1: rest in 0-2, 6-8, 12 and on


def volume(index: int, data: np.ndarray, **scale):
    return volume_of(data, np.eye(4), {}, {"RepetitionTime": 1.0}, index, **scale)


def region(events: Events = BLOCKS, mask: np.ndarray = MASK, **options) -> Roi:
    return Roi(mask, events, 1.0, **options)


def told(values, **options) -> Roi:
    """Return a region of one voxel that had these values."""
    mask = np.zeros((1, 1, 1), bool) | True
    roi = Roi(mask, options.pop("events", BLOCKS), 1.0, **options)
    for index, value in enumerate(values):
        roi.add_values(index, np.array([value]))
    return roi


def test_the_order_of_the_values_is_that_of_the_places():
    data = np.random.default_rng(0).integers(0, 1000, MASK.shape).astype(np.int16)
    roi = region(summary="weighted mean", weights=WEIGHTS)
    roi.add(volume(0, data))
    i, j, k = roi.places.T
    assert roi.places.tolist() == [[1, 1, 0], [2, 1, 0], [3, 2, 1]]
    assert roi.mean() == data[MASK].mean()
    assert roi.median() == np.median(data[MASK])
    assert roi.weighted_mean() == pytest.approx(np.average(data[i, j, k], weights=WEIGHTS), rel=1e-14)


@pytest.mark.parametrize("summary", ["mean", "median", "weighted mean"])
def test_values_that_were_sampled_give_what_the_volume_gives(summary):
    rng = np.random.default_rng(0)
    whole, sampled = (region(summary=summary, weights=WEIGHTS) for _ in range(2))
    i, j, k = whole.places.T
    for index in range(15):
        data = rng.integers(0, 1000, MASK.shape).astype(np.int16)
        whole.add(volume(index, data, slope=2.5, inter=-7.0))
        sampled.add_values(index, (data * 2.5 - 7.0)[i, j, k])
        # The scale is applied before or after the mean: two roundings.
        assert sampled.percent_signal_change() == pytest.approx(whole.percent_signal_change(), rel=1e-10, abs=1e-10)
    np.testing.assert_allclose(sampled.signal, whole.signal, rtol=1e-14)


def test_the_signal_is_by_index_and_read_only():
    roi = told([])
    for index in (0, 1, 4):
        roi.add_values(index, np.array([10.0 * index]))
    np.testing.assert_array_equal(roi.signal, [0, 10, np.nan, np.nan, 40])
    with pytest.raises(ValueError, match="read-only"):
        roi.signal[0] = 1.0
    own = roi.series()
    own[0] = 99
    assert roi.signal[0] == 0


def test_percent_signal_change_is_against_the_baseline_so_far_or_its_latest_block():
    values = [10.0, 11, 12, 20, 20, 20, 30, 32, 34, 40]
    roi = told(values)
    level = np.mean(values[:3] + values[6:9])
    assert roi.percent_signal_change() == pytest.approx(100 * (40 - level) / level)
    assert roi.percent_signal_change(skip=2) == pytest.approx(100 * (40 - 23) / 23)
    assert roi.percent_signal_change(window="block") == pytest.approx(100 * (40 - 32) / 32)
    assert roi.percent_signal_change(window="block", skip=2) == pytest.approx(100 * (40 - 34) / 34)
    assert roi.percent_signal_change("go") == pytest.approx(100 * (40 - 25) / 25)


def test_the_block_that_goes_on_counts_as_soon_as_it_has_a_volume():
    values = [10.0, 11, 12, 20, 20, 20, 30]
    assert told(values).percent_signal_change(window="block") == 0
    assert told(values).percent_signal_change(window="block", skip=1) == pytest.approx(100 * (30 - 11.5) / 11.5)
    assert told([*values, 33]).percent_signal_change(window="block", skip=1) == 0


def test_a_volume_that_never_came_does_not_part_a_block():
    roi = told([])
    for index, value in ((0, 1.0), (2, 2.0), (3, 5.0), (6, 4.0), (8, 8.0), (9, 9.0)):
        roi.add_values(index, np.array([value]))
    assert roi.percent_signal_change(window="block") == pytest.approx(100 * (9 - 6) / 6)
    assert roi.percent_signal_change(window="block", skip=2) == pytest.approx(100 * (9 - 8) / 8)


def test_there_is_no_change_without_a_baseline():
    assert told([1.0, 2.0]).percent_signal_change("go") is None
    assert told([0.0, 0.0]).percent_signal_change() is None
    assert told([1.0]).percent_signal_change(skip=1) is None


def test_voxels_that_are_no_numbers_are_left_out_with_one_warning(caplog):
    roi = region(name="target", summary="weighted mean", weights=WEIGHTS)
    roi.add_values(0, np.array([1.0, 2.0, 3.0]))
    roi.add_values(1, np.array([1.0, np.nan, 4.0]))
    assert (roi.mean(), roi.median()) == (2.5, 2.5)
    assert roi.weighted_mean() == pytest.approx((1 + 5 * 4) / 6)
    roi.add_values(2, np.array([np.inf, np.nan, 4.0]))
    assert roi.mean() == roi.weighted_mean() == 4
    roi.add_values(3, np.full(3, np.nan))
    assert roi.mean() is roi.median() is roi.weighted_mean() is None
    assert [record.message for record in caplog.records] == [
        "volume 1: 1 of 3 voxels of region 'target' are no numbers and left out"
    ]


def test_a_volume_without_a_number_gives_none_and_spoils_no_baseline():
    roi = told([10.0, np.nan])
    assert roi.percent_signal_change() is None
    roi.add_values(2, np.array([12.0]))
    assert roi.percent_signal_change() == pytest.approx(100 * 1 / 11)
    np.testing.assert_array_equal(roi.signal, [10, np.nan, 12])


def test_an_empty_mask_is_refused_by_name():
    with pytest.raises(BadData, match="region 'target' has no voxel: its mask is empty"):
        region(mask=np.zeros((2, 2, 2), bool), name="target")


def test_volumes_of_another_grid_are_refused_by_name():
    with pytest.raises(BadData, match=r"region 'target' has a mask of \(4, 3, 2\) voxels, volume 5 \(4, 3, 3\)"):
        region(name="target").add(volume(5, np.zeros((4, 3, 3), np.int16)))
    with pytest.raises(BadData, match="3 voxels, found values of"):
        region().add_values(0, np.zeros(4))


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"summary": "weighted mean"}, "no weights for a weighted mean"),
        ({"weights": np.ones(4)}, "has 3 voxels, but 4 weights"),
        ({"weights": np.array([1.0, -1.0, 0.0])}, "sum is not 0"),
        ({"weights": np.array([1.0, np.nan, 0.0])}, "weights are numbers"),
    ],
)
def test_weights_that_do_not_fit_are_refused(options, said):
    with pytest.raises(BadData, match=said):
        region(**options)


def test_what_was_never_told_is_no_number_yet():
    for ask in (Roi.mean, Roi.median, Roi.weighted_mean, Roi.percent_signal_change, Roi.scaled_signal_change):
        with pytest.raises(BadData, match="seen no volume yet"):
            ask(region(weights=WEIGHTS))
    assert region().signal.size == 0


def test_an_unknown_baseline_is_refused():
    with pytest.raises(BadData, match="no event has the trial_type 'going'; there are: go"):
        told([1.0]).percent_signal_change("going")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"window": "blok"}, "window: expected 'run' or 'block', found 'blok'"),
        ({"skip": -1}, "skip: expected a number of volumes, 0 or more, found -1"),
        ({"skip": 1.5}, "skip: expected a number of volumes, 0 or more, found 1.5"),
    ],
)
def test_an_argument_that_means_nothing_is_refused_in_every_volume(options, message):
    for values in ([1.0], [1.0, 2.0, 3.0, 4.0]):
        with pytest.raises(BadData, match=message):
            told(values).percent_signal_change(**options)


def test_scaled_signal_change_leaves_out_no_negative_number_of_volumes():
    with pytest.raises(BadData, match="skip: expected a number of volumes, 0 or more, found -2"):
        told([1.0, 2.0]).scaled_signal_change(skip=-2)


def test_pictures_of_less_than_a_tr_leave_no_rest_between_them():
    """0.3 s of every second, from 3.5 s on: at each whole second there is none."""
    events = Events(tuple(Event(second + 0.5, 0.3, "face") for second in range(3, 8)))
    roi = told([10.0, 10, 10, 20, 20, 20, 20, 20], events=events)
    assert roi.percent_signal_change() == pytest.approx(100.0)
    assert roi.percent_signal_change("face") == pytest.approx(0.0)
    assert roi.percent_signal_change(window="block", skip=1) == pytest.approx(100.0)
