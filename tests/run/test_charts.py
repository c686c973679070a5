"""Scales, ticks and marks of the charts, and the numbers as a report writes them."""

from __future__ import annotations

import math
import re

import numpy as np
import pytest

from rtbids.bids.events import Event, Events
from rtbids.run.report import markup, measures
from rtbids.run.report.figures import charts, legends, scales
from rtbids.run.report.figures.charts import Plot
from rtbids.run.report.figures.scales import Scale

LINE = Plot(4, Scale(0.0, 10.0), height=100)


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (0, 10, [0, 2, 4, 6, 8, 10]),
        (-1.2, 1.1, [-1, -0.5, 0, 0.5, 1]),
        (1960, 2045, [1960, 1980, 2000, 2020, 2040]),
        (0, 3e-6, [0, 1e-6, 2e-6, 3e-6]),
        (-7e8, -2e8, [-7e8, -6e8, -5e8, -4e8, -3e8, -2e8]),
    ],
)
def test_ticks_are_round_numbers_within_the_range(low: float, high: float, expected: list[float]) -> None:
    assert scales.ticks(low, high) == pytest.approx(expected)


@pytest.mark.parametrize("values", [[], [math.nan], [5.0], [5.0, 5.0], [0.0, 0.0], [-1e-9, 1e12], [1e300, -1e300]])
def test_a_scale_holds_every_value_and_is_never_empty(values: list[float]) -> None:
    scale = scales.scale(values)
    assert scale.low < scale.high
    assert all(scale.low < value < scale.high for value in values if math.isfinite(value))
    assert scales.ticks(scale.low, scale.high)


def test_a_curve_breaks_where_a_value_is_missing() -> None:
    drawn = LINE.curve(np.array([0.0, 5.0, math.nan, 10.0]), "s1")
    assert re.findall(r' d="([^"]*)"', drawn) == ["M0.5 1000h0L1.5 500M3.5 0h0"]


def test_columns_stand_on_each_other() -> None:
    drawn = LINE.columns(np.array([0.0, 1, 2, 3]), np.array([5.0, math.nan, 2, 20]), "t1")
    assert re.findall(r' d="([^"]*)"', drawn) == ["M0 1000V500h1V1000zM3 700V0h1V700z"]


def test_a_symbol_without_a_value_stands_under_the_plot() -> None:
    drawn = LINE.symbols([(0, 5.0), (3, math.nan)], "alternate")
    places = [(float(x), float(y)) for x, y in re.findall(r'x="([\d.]+)%" y="([\d.]+)"', drawn)]
    assert places == [(12.5, charts.TOP + 50), (87.5, LINE.rail)]
    assert LINE.rail > charts.TOP + LINE.height


def test_a_block_outside_the_run_is_cut_or_left_out() -> None:
    assert 'x="75.00%" width="25.00%"' in LINE.block(3, 9, "b1", "task")
    assert LINE.block(4, 9, "b1", "task") == ""


def test_names_and_hints_are_escaped() -> None:
    drawn = LINE.hints({0: "<b>"}) + LINE.rule(1, "grid", "<b>") + LINE.block(0, 4, "b1", "<b>") + legends.legend([("", "<b>")])
    assert "<b>" not in drawn
    assert drawn.count("&lt;b&gt;") == 4


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (0.00042, "0.42 ms"),
        (0.0123, "12.3 ms"),
        (0.0099951, "10.0 ms"),
        (0.4567, "457 ms"),
        (0.9996, "1.00 s"),
        (12.34, "12.3 s"),
        (4321.0, "4321 s"),
        (math.nan, "n/a"),
    ],
)
def test_latencies_have_three_digits(value: float, expected: str) -> None:
    assert markup.seconds(value) == expected


@pytest.mark.parametrize(("value", "expected"), [(2.0, "2 s"), (0.72, "0.72 s"), (310, "5 min 10 s"), (119.7, "2 min 0 s")])
def test_durations_read_as_one_says_them(value: float, expected: str) -> None:
    assert markup.long_time(value) == expected


def test_indices_are_told_as_ranges() -> None:
    assert markup.ranges([9, 3, 7, 8, 8]) == "3, 7–9"
    assert markup.ranges([]) == ""


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("/srv/export/jane/0012.dcm: truncated", "0012.dcm: truncated"),
        ("cannot read '/srv/a/b.nii'", "cannot read 'b.nii'"),
        ("sub-01/func/x_bold.nii at 3/4 speed", "sub-01/func/x_bold.nii at 3/4 speed"),
        ("4 mm/s and/or n/a", "4 mm/s and/or n/a"),
        ("moved from /old/place/ today", "moved from … today"),
    ],
)
def test_folders_are_left_out_of_messages(text: str, expected: str) -> None:
    assert markup.without_folders(text) == expected


def times(**known: list[float]) -> dict[str, np.ndarray]:
    count = len(next(iter(known.values())))
    return {name: np.array(known.get(name, [np.nan] * count), dtype=float) for name in measures.STAGES}


def test_stages_add_up_to_the_whole() -> None:
    spent = measures.stages(
        times(received=[0, 1], converted=[0.1, 1.2], analysed=[0.3, 1.3], answered=[0.6, 1.7], sent=[0.7, 1.9])
    )
    assert list(spent) == ["received → converted", "converted → analysed", "analysed → answered", "answered → sent"]
    assert sum(spent.values()) == pytest.approx([0.7, 0.9])


def test_a_stage_that_nobody_timed_joins_its_neighbours() -> None:
    spent = measures.stages(times(received=[0], answered=[0.6], sent=[0.7]))
    assert list(spent) == ["received → answered", "answered → sent"]


def test_an_answer_after_its_alternate_is_time_spent_waiting() -> None:
    spent = measures.stages(times(received=[0, 10], converted=[0.1, 10.1], answered=[2.5, 10.3], sent=[2.0, 10.4]))
    assert spent[measures.WAITED] == pytest.approx([1.9, np.nan], nan_ok=True)
    assert spent["answered → sent"] == pytest.approx([np.nan, 0.1], nan_ok=True)


def test_a_truth_on_another_scale_is_fitted_and_one_on_the_same_is_not() -> None:
    truth = np.array([0.0, 1, 0, 1, 0, 1])
    assert measures.fitted(truth, truth + 0.1) is None
    assert measures.fitted(truth, 900 + 20 * truth) == pytest.approx(900 + 20 * truth)


def test_rest_is_what_no_event_covers() -> None:
    parts = measures.by_condition(np.array([1.0, 2, np.nan, 4]), Events((Event(2.0, 4.0, "task"),)), 2.0)
    assert {name: part.tolist() for name, part in parts.items()} == {"task": [2.0], "rest": [1.0, 4.0]}


@pytest.mark.parametrize(("onset", "duration"), [(2.9, 0.5), (3.9, 0.3), (1.5, 1.0), (2.0, 0.0), (3.99, 0.0)])
def test_a_volume_counts_by_what_happened_during_its_tr_however_short_it_was(onset: float, duration: float) -> None:
    events = Events((Event(onset, duration, "flash"), Event(6.0, 2.0, "task"), Event(7.0, 1.0, "flash")))
    parts = measures.by_condition(np.array([1.0, 2, 4, 8]), events, 2.0)
    reached = [x for n, x in enumerate([1.0, 2.0, 4.0]) if onset < 2 * n + 2 and (onset + duration > 2 * n or onset >= 2 * n)]
    assert parts["flash"].tolist() == [*reached, 8.0]
    assert parts["task"].tolist() == [8.0]
    assert parts["rest"].tolist() == [x for x in (1.0, 2.0, 4.0) if x not in reached]


def test_a_rest_that_is_named_is_what_its_events_say() -> None:
    parts = measures.by_condition(np.array([1.0, 2, 4]), Events((Event(0.0, 1.0, "rest"), Event(2.0, 1.0, "task"))), 2.0)
    assert {name: part.tolist() for name, part in parts.items()} == {"rest": [1.0], "task": [2.0]}


def test_a_correlation_without_variation_is_not_defined() -> None:
    r, count = measures.correlation(np.ones(5), np.arange(5.0))
    assert math.isnan(r)
    assert count == 5
