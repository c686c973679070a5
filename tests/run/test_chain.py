"""The analysis of a run, stage after stage, against sums that were not written with it."""

from __future__ import annotations

import logging
from dataclasses import replace

import moving_head as heads
import nibabel
import numpy as np
import pytest
from moving_head import AFFINE, EVENTS, FULL, LEFT, RIGHT, SHAPE

from rtbids.analysis.design import Design, Model
from rtbids.analysis.limits import Limits
from rtbids.analysis.roi import Roi
from rtbids.analysis.space import parameters_of
from rtbids.bids import events as bids_events
from rtbids.errors import BadData, UsageFault
from rtbids.run.chain.chain import Chain
from rtbids.run.chain.outcome import GlmSoFar
from rtbids.run.recipe.analysis_config import Analysis, Reference

NEAR = np.array([0.1] * 3 + [0.003] * 3)  # mm, rad: a fortieth of a voxel


def chain(analysis: Analysis, first, events: str = EVENTS) -> tuple[Chain, dict[str, Roi]]:
    table = bids_events.read(events, "events")
    regions = {name: Roi(mask, table, 2.0, name=name) for name, mask in {"left": LEFT, "right": RIGHT}.items()}
    return Chain(analysis, first, table, regions), regions


def everything(analysis: Analysis, volumes, *, asks: bool = False) -> dict[str, np.ndarray]:
    """Return all that comes out of a run, volume by volume."""
    made, regions = chain(analysis, volumes[0])
    measures, maps, changes = [], [], []
    for volume in volumes:
        made.add(volume)
        changes.append([np.nan if (now := roi.percent_signal_change()) is None else now for roi in regions.values()])
        cells = [value for table in made.measures().values() for value in table.values()]
        measures.append([value if isinstance(value, float) else np.nan for value in cells])
        if asks:
            made.glm.t("going")
    if made.glm is not None:
        maps = [found.values for found in made.maps()]
    return {
        "left": regions["left"].series(),
        "right": regions["right"].series(),
        "changes": np.array(changes),
        "measures": np.array(measures, float),
        "maps": np.array(maps, float),
    }


@pytest.fixture(scope="module")
def volumes():
    return heads.run()


def test_what_is_not_asked_for_changes_nothing(volumes):
    found = everything(Analysis(), volumes)
    means = [volume.data[LEFT].mean(dtype=np.float64) for volume in volumes]
    # The sum of a region goes through its voxels in another order.
    np.testing.assert_allclose(found["left"], means, rtol=1e-14)


def test_quality_alone_leaves_regions_as_they_are(volumes):
    np.testing.assert_array_equal(everything(Analysis(quality=True), volumes)["left"], everything(Analysis(), volumes)["left"])


def test_the_head_is_found_and_regions_are_sampled_where_it_is():
    pose = [-3.0, 2.0, 2.0, 0.03, 0.03, 0.0]
    made, regions = chain(Analysis(motion=True), first := heads.volume(heads.head(), 0))
    made.add(first)
    made.add(heads.volume(heads.head(pose), 1))
    assert (np.abs(made.motion.parameters - pose) < NEAR).all()
    assert abs(heads.head(pose)[RIGHT].mean() / heads.head()[RIGHT].mean() - 1) > 0.07
    assert abs(regions["right"].signal[1] / regions["right"].signal[0] - 1) < 0.005  # noise is 0.1 %, interpolation the rest
    assert made.motion.framewise_displacement == pytest.approx(np.abs(pose[:3]).sum() + 50 * np.abs(pose[3:]).sum(), rel=0.1)


def test_regions_lose_their_nuisance_as_least_squares_says(volumes):
    analysis = Analysis(motion=True, drift="polynomial", motion_terms=12, nuisance=("right",), volumes=40)
    made, regions = chain(analysis, volumes[0])
    plain, raw = chain(Analysis(motion=True), volumes[0])
    for volume in volumes:
        made.add(volume)
        plain.add(volume)
    drift, motion = design_of(made, volumes)
    x = np.column_stack([drift, motion, raw["right"].signal])
    x -= x.mean(axis=0)
    task = np.array([made.design._responses["go"].at(2.0 * n) for n in range(len(volumes))])
    whole = np.column_stack([task, np.ones(len(x)), x])
    # What is of known size is held near 0, as if volumes said so: of drift, 1; of motion, 1 mm at 50 mm.
    held = np.diag(np.array([0, 0, 1, *[1, 1, 1, 0.02, 0.02, 0.02] * 2, 0]) / 12)
    answers = np.append(raw["left"].signal, np.zeros(len(held)))
    beta = np.linalg.lstsq(np.vstack([whole, held]), answers, rcond=None)[0]
    np.testing.assert_allclose(regions["left"].signal, raw["left"].signal - x @ beta[2:], rtol=1e-9)
    assert regions["left"].mean() == pytest.approx(raw["left"].signal[-1] - x[-1] @ beta[2:], rel=1e-9)
    assert len(made.design.columns) == whole.shape[1]


def design_of(made: Chain, volumes) -> tuple[np.ndarray, np.ndarray]:
    """Return drift and motion of all volumes, from their definitions."""
    place = np.linspace(-1, 1, 40)
    poses = made.motion.history
    return place[:, None], np.column_stack([poses, np.diff(poses, axis=0, prepend=poses[:1])])


def test_the_model_of_the_brain_is_least_squares(volumes):
    made, _ = chain(Analysis(contrasts={"going": "go > rest"}, drift="polynomial", volumes=40), volumes[0])
    for volume in volumes:
        made.add(volume)
    task = np.array([made.design._responses["go"].at(2.0 * n) for n in range(40)])
    x = np.column_stack([task, np.ones(40), np.linspace(-1, 1, 40)])
    y = np.array([volume.data[12, 12, 8] for volume in volumes], np.float64)
    beta, rest, *_ = np.linalg.lstsq(x, y, rcond=None)
    t = beta[0] / np.sqrt(rest[0] / 37 * np.linalg.inv(x.T @ x)[0, 0])
    assert made.glm.t("going")[12, 12, 8] == pytest.approx(t, rel=1e-9)
    assert made.glm.effect("going")[12, 12, 8] == pytest.approx(beta[0], rel=1e-9)
    assert made.glm.beta("go")[12, 12, 8] == pytest.approx(beta[0], rel=1e-9)
    assert np.isnan(made.glm.t("going")[0, 0, 0])
    assert made.glm.degrees_of_freedom == 37


def test_a_volume_that_the_head_has_partly_left_costs_no_voxel_its_estimate():
    """What left the field of view counts as in the volume before, in least squares too."""
    rng, brain = np.random.default_rng(0), np.ones((4, 3, 2), bool)
    events = bids_events.read(EVENTS, "events")
    design = Design(Model(drift="none"), events, 2.0, 40)
    rows = np.array([design.row(n) for n in range(40)])
    values = 1000 + rng.normal(size=(40, brain.size))
    values[20, :9] = values[21, 5:12] = np.nan
    model = GlmSoFar(design, {"going": {"go": 1.0}}, brain.shape, lambda: None)
    model.begin(brain)
    for row, voxels in zip(rows, values, strict=True):
        model.add(row, voxels)
    values[20, :9], values[21, 5:9], values[21, 9:12] = values[19, :9], values[19, 5:9], values[20, 9:12]
    betas = np.linalg.lstsq(rows, values, rcond=None)[0]
    np.testing.assert_allclose(model.effect("going")[brain], betas[0], rtol=1e-9)
    assert np.isfinite(model.t("going")).all()


def test_the_region_that_acts_has_the_higher_t(volumes):
    made, _ = chain(replace(FULL, nuisance=()), volumes[0])
    for volume in volumes:
        made.add(volume)
    assert made.glm.mean_t("going", LEFT) > 3
    assert made.glm.mean_t("going", LEFT) > made.glm.mean_t("going", RIGHT) + 2


def test_a_prefix_of_the_run_gives_a_prefix_of_all_that_comes_out(volumes):
    whole, part = everything(FULL, volumes), everything(FULL, volumes[:25])
    for name in ("changes", "measures"):
        np.testing.assert_array_equal(part[name], whole[name][:25])
    assert np.isfinite(part["changes"]).all(axis=1).sum() >= 5


def test_whether_the_script_asks_for_the_model_changes_no_bit_of_it(volumes):
    asked, left = everything(FULL, volumes, asks=True), everything(FULL, volumes)
    np.testing.assert_array_equal(asked["maps"], left["maps"])
    assert np.isfinite(asked["maps"]).any()


@pytest.mark.parametrize("image", [np.full(SHAPE, 500.0), np.zeros(SHAPE), np.random.default_rng(1).normal(900, 200, SHAPE)])
def test_a_volume_that_does_not_say_where_the_head_is_is_flagged_and_left_out(volumes, image):
    spoiled = [*volumes]
    spoiled[20] = heads.volume(image, 20, seed=None)
    made, regions = chain(replace(FULL, despike=False, nuisance=()), volumes[0])
    flags = []
    for volume in spoiled:
        made.add(volume)
        flags.append(made.motion.converged)
        if volume.index == 20:
            assert regions["left"].percent_signal_change() is None
            assert made.motion.reason
            assert made.measures()["motion"]["pose"] == made.motion.reason
            assert made.measures()["motion"]["trans_x"] is None
            assert made.measures()["design"]["go"] is None
    assert [index for index, known in enumerate(flags) if not known] == [20]
    assert np.isnan(regions["left"].signal[20])
    assert np.isfinite(regions["left"].signal[21:]).all()
    assert made.glm.count == len(volumes) - 1
    assert made.quality.summary.spikes >= 1


def test_a_first_volume_that_is_none_costs_itself_only(volumes, caplog):
    spoiled = [heads.volume(np.zeros(SHAPE), 0, seed=None), *volumes[1:]]
    made, regions = chain(Analysis(motion=True), spoiled[0])
    with caplog.at_level(logging.WARNING, "rtbids"):
        for volume in spoiled[:3]:
            made.add(volume)
    assert np.isnan(regions["left"].signal[0])
    assert np.isfinite(regions["left"].signal[1:]).all()
    assert [message for message in caplog.messages if "none to realign to" in message][1:] == []


@pytest.mark.parametrize("motion", [True, False])
@pytest.mark.parametrize("blank", [0.0, 500.0, np.nan])
def test_brain_and_scale_are_those_of_the_first_volume_that_shows_a_head(volumes, blank, motion):
    """A first volume that is blank changes the numbers of no other: they are those of a run that begins with the second."""
    analysis = Analysis(motion=motion, quality=True, contrasts={"going": "go > rest"}, smooth=5.0)
    spoiled = [heads.volume(np.full(SHAPE, blank), 0, seed=None), *volumes[1:]]
    found = []
    for run in (spoiled, volumes[1:]):
        made, _ = chain(analysis, run[0])
        for volume in run:
            made.add(volume)
        found.append((made, made.quality.volume, made.glm.t("going")))
    (late, now, t), (sound, expected, t_of_sound) = found
    assert now.dvars == expected.dvars is not None
    assert now.tsnr == expected.tsnr
    assert late.quality.summary.spikes - sound.quality.summary.spikes == motion  # the blank one, where its pose is not known
    assert late._brain.shape[1] < np.prod(SHAPE) / 2
    np.testing.assert_array_equal(t, t_of_sound)
    assert np.isfinite(t).any()


def test_no_numbers_around_the_head_do_not_hide_it(volumes):
    def masked(volume):
        image = np.array(volume.data)
        image[:2] = np.nan
        return replace(volume, data=image)

    made, regions = chain(Analysis(motion=True), masked(volumes[0]))
    for volume in volumes[:4]:
        made.add(masked(volume))
        assert made.motion.converged
    assert np.isfinite(regions["left"].signal).all()


def test_voxels_that_are_no_numbers_are_outside_the_field_of_view_and_cost_no_volume(volumes, tmp_path, caplog):
    """A run with two planes that are no numbers, and a reference that is whole."""
    nibabel.save(nibabel.Nifti1Image(heads.head().astype(np.float32), AFFINE), tmp_path / "earlier.nii.gz")
    analysis = Analysis(motion=Reference(tmp_path / "earlier.nii.gz"), smooth=5.0)
    (whole, sound), (made, regions) = chain(analysis, volumes[0]), chain(analysis, volumes[0])
    with caplog.at_level(logging.WARNING, "rtbids"):
        for volume in volumes[:8]:
            image = np.array(volume.data)
            image[2:4] = np.nan
            whole.add(volume)
            made.add(replace(volume, data=image))
            assert made.motion.converged
            assert np.abs(made.motion.parameters - whole.motion.parameters).max() < 0.1
    assert np.isfinite(regions["left"].signal).all()
    np.testing.assert_allclose(regions["right"].signal, sound["right"].signal, rtol=5e-3)  # the poses differ a little
    (told,) = caplog.messages  # the planes are four voxels from the left region
    assert "voxels of region 'left' are no numbers and left out" in told


def test_what_is_mixed_with_no_numbers_is_none_either(volumes):
    made, regions = chain(Analysis(motion=True, smooth=5.0), volumes[0])
    image = np.array(volumes[1].data)
    image[8, 11, 8] = np.nan  # in the left region
    made.add(volumes[0])
    made.add(replace(volumes[1], data=image))
    assert made.motion.converged
    assert np.isnan(regions["left"].signal[1])
    assert np.isfinite(regions["right"].signal[1])


def test_volumes_without_a_pose_are_said_once_and_counted_at_the_end(volumes, caplog):
    made, _ = chain(Analysis(motion=True), volumes[0])
    with caplog.at_level(logging.WARNING, "rtbids"):
        for volume in volumes[:3]:
            made.add(volume)
        for index in (3, 4, 5):
            made.add(heads.volume(np.full(SHAPE, np.nan), index))
        made.add(volumes[6])
        list(made.maps())
    first, last = [message for message in caplog.messages if "the head" in message]
    assert first.startswith("volume 3 has no part in the analysis, the head is not found in it: only 0 % of the reference")
    assert last == "3 volumes had no part in the analysis: the head was not found in them"


def test_limits_of_quality_are_those_of_the_config(volumes):
    found = []
    for quality in (Limits(0.01, 90.0, 0.02, 0.1), Limits(5.0, 90.0, 4.0, 0.1), True):
        made, _ = chain(Analysis(motion=True, quality=quality), volumes[0])
        for volume in volumes[:8]:
            made.add(volume)
        found.append(made.quality.summary)
    strict, kind, usual = found
    assert (strict.spikes, strict.good, strict.minutes_to_criterion) == (7, 0, None)
    assert (kind.spikes, kind.good, kind.minutes_to_criterion) == (0, 7, 0.0)
    assert usual.spikes > 0


def test_a_volume_may_be_had_as_if_the_head_had_not_moved(volumes):
    pose = [-3.0, 2.0, 2.0, 0.03, 0.03, 0.0]
    made, _ = chain(Analysis(motion=True, smooth=8.0), first := heads.volume(heads.head(), 0))
    moved = heads.volume(heads.head(pose), 1)
    scaled = replace(moved, data=(moved.data / 2).astype(np.float32), slope=2.0)
    for volume in (first, scaled, heads.volume(np.zeros(SHAPE), 2)):
        made.add(volume)
    inner = (slice(3, -3),) * 3
    apart = [np.abs(image[inner] - heads.head()[inner]).mean() for image in (made.motion.resliced(scaled), moved.data)]
    assert apart[0] < 0.2 * apart[1]
    np.testing.assert_allclose(made.motion.resliced(first), first.data, atol=0.5)
    assert made.motion.resliced(heads.volume(np.zeros(SHAPE), 2)) is None  # its pose is not known
    with pytest.raises(UsageFault, match="expected a volume of this run"):
        made.motion.resliced(replace(first, data=first.data[:-1]))


@pytest.mark.parametrize("freeze_after", [True, 30])
def test_the_activation_of_a_region_is_its_signal_beyond_nuisance_by_its_noise(volumes, freeze_after):
    """Against least squares over the whole run, and the definition of Hinds et al."""
    analysis = Analysis(drift="polynomial", volumes=40, activation=freeze_after)
    made, regions = chain(analysis, volumes[0])
    found = []
    for volume in volumes:
        found.append(regions["left"].activation())
        made.add(volume)
    task = np.array([made.design._responses["go"].at(2.0 * n) for n in range(40)])
    x = np.column_stack([task, np.ones(40), np.linspace(-1, 1, 40)])
    y = np.array([volume.data[LEFT] for volume in volumes], np.float64)
    known = 40 if freeze_after is True else freeze_after
    noise = ((y[:known] - x[:known] @ np.linalg.lstsq(x[:known], y[:known], rcond=None)[0]) ** 2).mean(axis=0)
    beta = np.linalg.lstsq(x, y, rcond=None)[0]
    expected = np.average((y[-1] - x[-1, 1:] @ beta[1:]) / np.sqrt(noise), weights=1 / noise)
    assert regions["left"].activation() == pytest.approx(expected, rel=1e-9)
    assert found[:3] == [None] * 3
    assert found[10] is not None


def test_a_volume_without_a_pose_has_no_activation(volumes):
    made, regions = chain(Analysis(motion=True, activation=True), volumes[0])
    for volume in volumes[:12]:
        made.add(volume)
    assert regions["left"].activation() is not None
    made.add(heads.volume(np.zeros(SHAPE), 12, seed=None))
    assert regions["left"].activation() is None


def test_who_did_not_ask_for_activation_is_told_the_key(volumes):
    made, regions = chain(Analysis(motion=True), volumes[0])
    made.add(volumes[0])
    with pytest.raises(BadData, match=r"region 'left' has an activation\(\) where the config has analysis\.activation: true"):
        regions["left"].activation()


def test_an_earlier_run_may_be_the_reference(volumes, tmp_path):
    pose = [0.5, 0.4, -0.6, 0.01, 0.0, -0.01]
    earlier = np.stack([heads.head(), heads.head([9, 9, 9, 0, 0, 0])], axis=3).astype(np.float32)
    nibabel.save(nibabel.Nifti1Image(earlier, AFFINE), tmp_path / "earlier.nii.gz")
    made, _ = chain(Analysis(motion=Reference(tmp_path / "earlier.nii.gz")), volumes[0])
    made.add(heads.volume(heads.head(pose), 0))
    assert (np.abs(parameters_of(made.motion.pose.matrix) - pose) < NEAR).all()


def test_a_reference_on_another_grid_is_refused_at_the_beginning(volumes, tmp_path):
    nibabel.save(nibabel.Nifti1Image(heads.head()[:-2].astype(np.float32), AFFINE), tmp_path / "other.nii")
    with pytest.raises(BadData, match=r"other\.nii"):
        chain(Analysis(motion=Reference(tmp_path / "other.nii")), volumes[0])


def test_a_single_spike_is_dropped_from_a_region_and_from_its_median_alike(volumes):
    still = heads.run(moving=False)
    spoiled = [*still]
    image = np.array(still[35].data)
    image[LEFT] += 300
    spoiled[35] = replace(still[35], data=image)
    made, regions = chain(Analysis(despike=True), still[0])
    for volume in spoiled[:36]:
        made.add(volume)
    before = regions["left"].signal[34]
    assert regions["left"].mean() == pytest.approx(before, abs=30)
    assert regions["left"].median() == pytest.approx(before, abs=60)


def test_a_contrast_of_no_condition_is_said_at_the_beginning(volumes):
    with pytest.raises(BadData, match=r"analysis\.contrasts\.going: .*did you mean 'go'"):
        chain(Analysis(contrasts={"going": "goo > rest"}), volumes[0])


def test_drift_needs_the_length_of_the_run(volumes):
    with pytest.raises(UsageFault, match="depends on the run's length") as caught:
        chain(Analysis(drift="cosine"), volumes[0], events="onset\tduration\ttrial_type\n")
    assert caught.value.hint == "set analysis.volumes, or give the events (--events)"


def test_an_event_that_comes_during_the_run_has_part_in_the_rows_from_then_on(volumes):
    analysis = Analysis(contrasts={"going": "go > rest"}, conditions=("go",))
    known, _ = chain(analysis, volumes[0])
    live, _ = chain(analysis, volumes[0], events="onset\tduration\ttrial_type\n")
    for volume in volumes:
        for onset in (8.0, 28.0, 48.0):
            if volume.index * 2.0 == onset:
                live.event(onset, 8.0, "go")
                live.event(onset, 0.0, "button")
        for each in (known, live):
            each.add(volume)
    np.testing.assert_array_equal(known.glm.t("going"), live.glm.t("going"))


def test_why_nothing_can_be_said_yet_is_said(volumes):
    made, _ = chain(FULL, volumes[0])
    made.add(volumes[0])
    assert made.glm.t("going") is None
    assert made.glm.mean_t("going") is None
    assert "1 volumes do not determine" in made.glm.reason("going")
    with pytest.raises(UsageFault, match="did you mean 'going'"):
        made.glm.t("goin")
