"""What regions say where drift, motion and the like are taken out: nothing of a drift is left in it, early or late."""

from __future__ import annotations

import timeit
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import cache

import numpy as np
import pytest
import regulated_run

from rtbids.analysis import masks
from rtbids.analysis.course import Clean
from rtbids.analysis.decode import Decoder
from rtbids.analysis.design import Design, Model
from rtbids.analysis.roi import Roi
from rtbids.analysis.space import Grid
from rtbids.bids.events import Event, Events
from rtbids.run.chain.chain import Chain
from rtbids.run.chain.cleaning import Cleaning, Part
from rtbids.run.recipe.analysis_config import Analysis

TR, COUNT, VOXELS = 2.0, 200, 5
BLOCKS = Events(tuple(Event(40.0 + 40 * n, 20.0, "go") for n in range(9)))
SIZES = {"legendre01": 1.0, "legendre02": 1.0, "legendre03": 1.0, "trans": 1.0, "rot": 1 / 50}
MASK = np.ones((VOXELS, 1, 1), bool)
Regions = Mapping[str, Roi]


def design() -> tuple[Design, np.ndarray]:
    rng = np.random.default_rng(3)
    made = Design(Model(drift="polynomial", motion=6), BLOCKS, TR, COUNT)
    poses = (rng.normal(size=(COUNT, 6)) * [0.03, 0.03, 0.03, 5e-4, 5e-4, 5e-4]).cumsum(axis=0)
    return made, np.array([made.row(n, poses[n]) for n in range(COUNT)])


def measured(drift: float = 0.0, seed: int = 1) -> np.ndarray:
    """Return a region's voxels (volumes, voxels): a task of 1 %, noise of 0.3 %, and a drift of so many percent."""
    _, rows = design()
    noise = np.random.default_rng(seed).normal(0, 3 * np.sqrt(VOXELS), (COUNT, VOXELS))
    return 1000 + 10 * rows[:, :1] + noise + 10 * drift * np.linspace(0, 1, COUNT)[:, None]


def followed(drift: float, ask: Callable[[Regions], float | None], *, clean: bool = True, despike: bool = False) -> np.ndarray:
    """Return what is asked for at every volume of two regions that drift, NaN where there is nothing."""
    made, rows = design()
    values = {"a": measured(drift), "b": measured(-drift, seed=2)}
    regions = {name: Roi(MASK, BLOCKS, TR, name=name) for name in values}
    parts = {name: Part(VOXELS, roi.number) for name, roi in regions.items()}
    cleaning = Cleaning(parts, made.columns, made.nuisance if clean else (), made.sizes, despike=despike)
    found = []
    for n, row in enumerate(rows):
        for name, now in cleaning.add(row, {name: voxels[n] for name, voxels in values.items()}).items():
            regions[name].add_clean(n, now)
        answer = ask(regions)
        found.append(np.nan if answer is None else answer)
    return np.array(found)


@pytest.mark.parametrize("skip", [0, 3])
@pytest.mark.parametrize("window", ["run", "block"])
def test_percent_signal_change_is_that_of_one_fit_of_all_volumes_up_to_now(window, skip):
    found = followed(3.0, lambda regions: regions["a"].percent_signal_change(window=window, skip=skip))
    made, rows = design()
    nuisance = [made.columns.index(name) for name in made.nuisance]
    held = np.zeros((len(nuisance), rows.shape[1]))
    for place, column in enumerate(nuisance):
        held[place, column] = SIZES[made.columns[column].split("_")[0]] / 12
    y = measured(3.0).mean(axis=1)
    since = np.arange(COUNT) % 20  # blocks of rest: volumes 0 to 19, then 10 of each 20
    rest = (np.arange(COUNT) < 20) | (since >= 10)
    begun = np.where(np.arange(COUNT) < 20, np.arange(COUNT), since - 10)
    block = np.where(np.arange(COUNT) < 20, 0, np.arange(COUNT) // 20)
    for n in range(15, COUNT):
        stacked, answers = np.vstack([rows[: n + 1], held]), np.append(y[: n + 1], np.zeros(len(nuisance)))
        beta = np.linalg.lstsq(stacked, answers, rcond=None)[0]
        baseline = rest[: n + 1] & (begun[: n + 1] >= skip)
        if window == "block":
            baseline &= block[: n + 1] == block[: n + 1][baseline].max()
        clean = y[: n + 1] - rows[: n + 1, nuisance] @ beta[nuisance]
        expected = 100 * (clean[n] - clean[baseline].mean()) / y[: n + 1][baseline].mean()
        assert found[n] == pytest.approx(expected, abs=1e-8)  # rounding of a fit with a condition number of some thousand


SIGNALS = {  # by its name: how to ask for it, what a drift may change in it, and what it changes where it is not taken out
    "change": (lambda regions: regions["a"].percent_signal_change(), 0.03, 0.7),
    "change in a block": (lambda regions: regions["a"].percent_signal_change(window="block", skip=3), 0.02, 0.05),
    "scaled change": (lambda regions: regions["a"].scaled_signal_change(), 1.0, 8.0),
    "difference": (lambda regions: regions["a"].difference(regions["b"]), 0.05, 1.4),
    "correlation": (lambda regions: regions["a"].correlation(regions["b"]), 0.01, 0.3),
    "correlation in a window": (lambda regions: regions["a"].correlation(regions["b"], 60), 0.01, 0.1),
    "signal": (lambda regions: float(np.mean(regions["a"].signal[-20:]) - np.mean(regions["a"].signal[:20])), 0.1, 15.0),
}


@cache
def all_signals(drift: float, clean: bool) -> Mapping[str, np.ndarray]:
    """Return every signal from volume 60 on, when the drift has a shape."""
    rows: list[list[float]] = []

    def ask(regions: Regions) -> None:
        answers = [ask(regions) for ask, _, _ in SIGNALS.values()]
        rows.append([np.nan if answer is None else answer for answer in answers])

    followed(drift, ask, clean=clean)
    return dict(zip(SIGNALS, np.array(rows)[60:].T, strict=True))


@pytest.mark.parametrize("name", SIGNALS)
def test_a_drift_that_is_taken_out_changes_no_signal(name):
    """Two regions drift apart by 6 % in all; without cleaning that is what they say."""
    _, most, raw = SIGNALS[name]
    assert np.abs(all_signals(3.0, True)[name] - all_signals(0.0, True)[name]).mean() < most
    assert np.abs(all_signals(3.0, False)[name] - all_signals(0.0, False)[name]).mean() > raw


def test_the_first_values_are_hardly_less_steady_than_later_ones():
    """Plain least squares errs by 0.5 to 3 % among the first forty volumes, and 0.3 % is noise."""
    truth = 1000 + 10 * design()[1][:, 0]
    rest = BLOCKS.covers("rest", np.arange(COUNT) * TR, TR)
    level = np.array([truth[: n + 1][rest[: n + 1]].mean() for n in range(COUNT)])
    error = followed(3.0, lambda regions: regions["a"].percent_signal_change()) - 100 * (truth - level) / level
    assert np.isnan(error).sum() == 10  # as many as there are columns but the task, which has not begun
    assert np.sqrt(np.nanmean(error[:40] ** 2)) < 0.4
    assert np.sqrt(np.nanmean(error[40:] ** 2)) < 0.35


@pytest.mark.parametrize("against", ["baseline", "run"])
def test_a_decoder_measures_against_a_level_without_drift(against):
    """One that says the mean of the voxels' changes says the region's percent signal change."""
    ones = np.ones(VOXELS)
    grid = Grid(MASK.shape, np.eye(4))
    decoder = Decoder(
        ("a", "b"), ones[None] / VOXELS, np.zeros(1), 0 * ones, ones, "none", np.arange(VOXELS), grid, against, "rest", 0.0
    )
    decodings: list = []

    def ask(regions: Regions) -> float | None:
        decodings[:] = decodings or [regions["a"].decoding(decoder)]
        return decodings[0].decision("b")

    found = {}
    for drift in (0.0, 3.0):
        decodings.clear()
        found[drift] = followed(drift, ask)
    assert np.nanmax(np.abs(found[3.0] - found[0.0])[60:]) < 0.05
    assert np.nanstd(found[0.0][60:]) > 0.3


@pytest.mark.parametrize("ask", [Roi.mean, Roi.median, Roi.weighted_mean, Roi.percent_signal_change])
def test_nothing_is_said_before_there_are_more_volumes_than_columns(ask):
    made, rows = design()
    roi = Roi(MASK, BLOCKS, TR, weights=np.ones(VOXELS))
    cleaning = Cleaning({"a": Part(VOXELS, roi.number)}, made.columns, made.nuisance, made.sizes, despike=False)
    answers, fitted = [], len(made.columns) - 1  # the task has no part in what was before its first block
    for n, row in enumerate(rows[:30]):
        roi.add_clean(n, cleaning.add(row, {"a": measured()[n]})["a"])
        answers.append(ask(roi))
    assert [answer is None for answer in answers] == [n < fitted for n in range(30)]


def test_a_median_is_cleaned_as_a_median():
    """The drift of a region's number is that of its number, whatever makes it of the voxels."""
    made, rows = design()
    values = measured(3.0) * np.array([0.5, 0.9, 1.0, 1.1, 5.0])
    roi = Roi(MASK, BLOCKS, TR, summary="median")
    cleaning = Cleaning({"a": Part(VOXELS, roi.number)}, made.columns, made.nuisance, made.sizes, despike=False)
    for n, row in enumerate(rows):
        roi.add_clean(n, cleaning.add(row, {"a": values[n]})["a"])
    single = Roi(MASK[:1], BLOCKS, TR)
    cleaning = Cleaning({"a": Part(1, single.number)}, made.columns, made.nuisance, made.sizes, despike=False)
    for n, row in enumerate(rows):
        single.add_clean(n, cleaning.add(row, {"a": np.median(values[n], keepdims=True)})["a"])
    assert roi.percent_signal_change() == pytest.approx(single.percent_signal_change(), abs=1e-9)


@pytest.mark.slow
@pytest.mark.parametrize("drift", ["cosine", "polynomial"])
def test_three_percent_of_drift_put_into_the_neurofeedback_run_add_nothing_to_its_feedback(drift, real_data, tmp_path):
    """Without cleaning it adds 1.1 %, and 1.5 % at the end; the region's own effect is 0.9 %."""
    folder, volumes, table = regulated_run.read(real_data, tmp_path)
    inside = masks.read(folder / "lROI_1.nii")[0]

    def changes(percent: float, analysis: Analysis) -> np.ndarray:
        roi, found = Roi(inside, table, 1.97), []
        made = Chain(analysis, volumes[0], table, {"left": roi})
        for volume in volumes:
            drifted = (volume.data * (1 + percent / 100 * volume.index / len(volumes))).astype(np.float32)
            made.add(replace(volume, data=drifted))
            change = roi.percent_signal_change()
            found.append(np.nan if change is None else change)
        return np.array(found)

    asked = Analysis(drift=drift, volumes=len(volumes))
    added = changes(3.0, asked) - changes(0.0, asked)
    assert abs(np.nanmean(added[60:])) < 0.06
    assert abs(np.nanmean(added[-20:])) < 0.12  # a few cosines are no straight line: SPM's filter leaves that much at the end
    assert np.nanmean((changes(3.0, Analysis()) - changes(0.0, Analysis()))[-20:]) > 1.3


QUESTIONS = {
    "change": lambda roi, other: roi.percent_signal_change(),
    "change in a block": lambda roi, other: roi.percent_signal_change(window="block", skip=2),
    "scaled change, never asked for before": lambda roi, other: roi.scaled_signal_change(),
    "difference": lambda roi, other: roi.difference(other),
    "correlation": lambda roi, other: roi.correlation(other, 20),
}


@pytest.mark.parametrize("regressors", [0, 12])
def test_a_question_after_two_hours_costs_no_more_than_a_few_passes_through_the_run(regressors):
    """7,200 volumes, 700 events: 0.3 to 1.1 ms each where a sort of 7,200 numbers takes 0.1; it was 7 ms, and 4.5 s."""
    table, rng = Events(tuple(Event(10.0 * n, 5.0, "go") for n in range(700))), np.random.default_rng(0)
    roi, other = (Roi(MASK, table, 1.0) for _ in range(2))
    for n in range(7200):
        for each in (roi, other):
            voxels, row = rng.normal(1000, 5, VOXELS), rng.normal(size=regressors)
            each.add_clean(n, Clean(voxels, voxels, float(voxels.mean()), row, row, np.zeros_like))
    numbers = rng.normal(size=7200)
    unit = min(timeit.repeat(lambda: np.sort(numbers), number=5, repeat=9)) / 5
    for name, ask in QUESTIONS.items():
        assert ask(roi, other) is not None
        took = min(timeit.repeat(lambda ask=ask: ask(roi, other), number=1, repeat=9))
        assert took < 40 * unit, name
