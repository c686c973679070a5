"""A decoder says what scikit-learn says, without it; and it is refused where it does not fit."""

from __future__ import annotations

import itertools
import json
import sys
import zipfile
from pathlib import Path

import nibabel
import numpy as np
import pytest

import rtbids
from rtbids.analysis import decode, decoder_file, localizer
from rtbids.analysis.roi import Roi
from rtbids.analysis.training import train
from rtbids.bids import events as bids_events
from rtbids.errors import BadData, CannotWrite, InputMissing, UsageFault
from rtbids.volume import volume_of

sklearn = pytest.importorskip("sklearn", reason="the extra decode is not installed")
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis  # noqa: E402
from sklearn.linear_model import LogisticRegression, RidgeClassifier, SGDClassifier  # noqa: E402
from sklearn.neighbors import KNeighborsClassifier  # noqa: E402
from sklearn.pipeline import make_pipeline  # noqa: E402
from sklearn.preprocessing import StandardScaler  # noqa: E402
from sklearn.svm import SVC, LinearSVC  # noqa: E402

SHAPE, TR = (6, 5, 4), 2.0
AFFINE = np.array([[-3, 0, 0, 12], [0, 3, 0, -9.5], [0, 0, 4, -8.25], [0, 0, 0, 1.0]])
BLOCKS = [(name, 10.0 + 24 * n) for n, name in enumerate(["a", "b", "c", "b", "c", "a", "c", "a", "b"])]
EVENTS = "onset\tduration\ttrial_type\n" + "".join(f"{onset}\t12\t{name}\n" for name, onset in BLOCKS)
COUNT = 120
SHOWN = [localizer.shown(bids_events.read(EVENTS, "events"), index, TR, 5.0) for index in range(COUNT)]


def localizer_run(seed: int = 1, *, run: str = "01", spoil=None, events: str | None = EVENTS):
    """Yield a run in which each class has a pattern of its own, 5 s after its events, in noise."""
    rng = np.random.default_rng(seed)
    patterns = {name: np.random.default_rng(ord(name)).normal(0, 20, SHAPE) for name in "abc"}
    table = bids_events.read(EVENTS, "events")
    for index in range(COUNT):
        shown = localizer.shown(table, index, TR, 5.0)
        data = 1000 + rng.normal(0, 10, SHAPE) + patterns.get(shown or "", 0.0)
        if spoil is not None:
            spoil(data)
        entities = {"subject": "01", "task": "loc", "run": run}
        yield volume_of(data.astype("<f4"), AFFINE, entities, {"RepetitionTime": TR}, index, events=events)


@pytest.fixture
def mask(tmp_path: Path) -> Path:
    inside = np.zeros(SHAPE, np.uint8)
    inside[1:5, 1:4, :3] = 1
    nibabel.Nifti1Image(inside, AFFINE).to_filename(tmp_path / "mask.nii.gz")
    return tmp_path / "mask.nii.gz"


def changes_of(run, mask: Path) -> np.ndarray:
    """Return by batch the changes (volumes, V) against the mean of the volumes so far that show rest."""
    inside = nibabel.load(mask).get_fdata().ravel(order="F") > 0
    y = np.array([volume.data.ravel(order="F")[inside] for volume in run], np.float64)
    rest = np.array([name == "rest" for name in SHOWN])
    levels = np.array([y[: n + 1][rest[: n + 1]].mean(axis=0) for n in range(len(y))])
    return 100 * (y - levels) / levels


def sklearns_own(estimator, mask: Path, classes) -> object:
    """Fit what `train` fits, by batch and scikit-learn's own pipeline."""
    taught = np.array([name in classes for name in SHOWN])
    steps = make_pipeline(StandardScaler(), sklearn.base.clone(estimator))
    return steps.fit(changes_of(localizer_run(), mask)[taught], [name for name in SHOWN if name in classes])


ESTIMATORS = [
    pytest.param(LogisticRegression(max_iter=1000), ("a", "b"), id="logistic"),
    pytest.param(LogisticRegression(max_iter=1000), ("a", "b", "c"), id="softmax"),
    pytest.param(LinearDiscriminantAnalysis(solver="lsqr", shrinkage="auto"), ("b", "c"), id="lda"),
    pytest.param(LinearDiscriminantAnalysis(solver="lsqr", shrinkage=0.5), ("a", "b", "c"), id="lda-of-three"),
    pytest.param(LinearSVC(random_state=0), ("a", "b"), id="svm"),
    pytest.param(LinearSVC(random_state=0), ("a", "b", "c"), id="svm-of-three"),
    pytest.param(SVC(kernel="linear"), ("a", "c"), id="svc"),
    pytest.param(RidgeClassifier(), ("a", "b", "c"), id="ridge"),
    pytest.param(SGDClassifier(loss="log_loss", random_state=0), ("a", "b"), id="sgd"),
]


@pytest.mark.parametrize(("estimator", "classes"), ESTIMATORS)
def test_a_decoder_that_was_written_and_read_says_what_scikit_learn_says(estimator, classes, mask, tmp_path):
    rtbids.write_decoder(rtbids.train_decoder(localizer_run(), mask, classes, estimator=estimator), tmp_path / "d.npz")
    decoder = rtbids.read_decoder(tmp_path / "d.npz")
    own = sklearns_own(estimator, mask, classes)
    decoding = decoder.begin(bids_events.read(EVENTS, "events"), TR)
    assert tuple(own.classes_) == decoder.classes
    for volume, change in zip(localizer_run(2), changes_of(localizer_run(2), mask), strict=True):
        decoding.add(volume)
        asked = own.decision_function([change]).ravel()
        # The level is a running sum here and a mean there: 1e-12 of the largest term.
        scale = np.abs(decoder.coefficients).max() * 100
        given = [decoding.decision(name) for name in decoder.classes]
        assert given == pytest.approx([-asked[0], asked[0]] if asked.size == 1 else list(asked), abs=1e-12 * scale, rel=1e-12)
        assert decoding.label == own.predict([change])[0]
        if decoder.link != "none":
            found = [decoding.probability(name) for name in decoder.classes]
            assert found == pytest.approx(list(own.predict_proba([change])[0]), abs=1e-12)


@pytest.mark.parametrize(
    ("estimator", "classes", "link"),
    [
        (LogisticRegression(), ("a", "b"), "logistic"),
        (LogisticRegression(), ("a", "b", "c"), "softmax"),
        (LinearDiscriminantAnalysis(solver="lsqr", shrinkage="auto"), ("a", "b"), "logistic"),
        (LinearSVC(), ("a", "b"), "none"),
        (SGDClassifier(loss="modified_huber", random_state=0), ("a", "b"), "none"),
    ],
)
def test_probabilities_are_kept_where_they_come_from_decisions_alone(estimator, classes, link, mask):
    decoder = train(localizer_run(), mask, classes, estimator=estimator)
    assert decoder.link == link
    decoding = decoder.begin(bids_events.read(EVENTS, "events"), TR)
    decoding.add(next(localizer_run()))
    if link == "none":
        with pytest.raises(BadData, match=r"has no probabilities"):
            decoding.probability("a")
    else:
        assert sum(decoding.probability(name) for name in classes) == pytest.approx(1, abs=1e-15)


@pytest.mark.parametrize(
    "estimator", [KNeighborsClassifier(), SVC(kernel="rbf"), SVC(kernel="linear")], ids=["neighbours", "rbf", "one against one"]
)
def test_an_estimator_that_cannot_be_stored_is_refused(estimator, mask):
    with pytest.raises(UsageFault, match=r"is more than a weight for each voxel"):
        train(localizer_run(), mask, ("a", "b", "c"), estimator=estimator)


def test_accuracy_is_high_where_there_are_patterns_and_at_chance_where_there_are_none(mask):
    about = train(localizer_run(), mask, ("a", "b", "c")).about
    assert about["accuracy"] > 0.9
    assert (about["folds"], about["left_out"]) == (3, "block of each class")
    assert about["chance"] == pytest.approx(1 / 3)
    shuffled = dict(zip("abc", "cab", strict=True))
    blocks = [("abc"[n % 3] if n % 2 else shuffled["abc"[n % 3]], onset) for n, (_, onset) in enumerate(BLOCKS)]
    wrong = "onset\tduration\ttrial_type\n" + "".join(f"{onset}\t12\t{name}\n" for name, onset in blocks)
    assert train(localizer_run(events=wrong), mask, ("a", "b", "c")).about["accuracy"] < 0.6


def test_of_several_runs_one_is_left_out_at_a_time(mask):
    runs = itertools.chain(localizer_run(1, run="01"), localizer_run(2, run="02"))
    about = train(runs, mask, ("a", "b")).about
    assert (about["folds"], about["left_out"]) == (2, "run")
    assert [source["run"] for source in about["sources"]] == ["sub-01_task-loc_run-01", "sub-01_task-loc_run-02"]


def test_one_block_of_a_class_gives_no_accuracy_and_says_so(mask, caplog):
    about = train(itertools.islice(localizer_run(), 40), mask, ("a", "b")).about
    assert about["accuracy"] is None
    assert "it takes two blocks" in caplog.text


def test_blocks_are_never_parted():
    labels = np.array(["a", "a", "b", "b", "a", "b", "b", "a"])
    blocks = np.array([1, 1, 2, 2, 3, 4, 4, 5])
    assert localizer.folds(labels, blocks).tolist() == [0, 0, 0, 0, 1, 1, 1, 0]
    assert localizer.folds(labels[:4], blocks[:4]) is None


@pytest.mark.parametrize(("index", "shown"), [(0, "rest"), (7, "a"), (8, "a"), (6, "rest"), (13, "a"), (14, "rest")], ids=str)
def test_what_a_volume_shows_is_what_was_on_five_seconds_before(index, shown):
    # Event a is from 10 to 22 s; volume n is of 2n - 5 to 2n - 3 s: 7 is the first that overlaps it, 13 the last.
    assert localizer.shown(bids_events.read(EVENTS, "events"), index, TR, 5.0) == shown


def test_a_volume_that_shows_two_conditions_shows_none():
    table = bids_events.read("onset\tduration\ttrial_type\n0\t5\ta\n5\t5\tb\n", "events")
    assert [localizer.shown(table, index, 2.0, 0.0) for index in (1, 2, 3)] == ["a", None, "b"]


def test_there_is_no_answer_before_there_is_a_level(mask):
    decoder = train(localizer_run(), mask, ("a", "b"), baseline="c")
    decoding = decoder.begin(bids_events.read(EVENTS, "events"), TR)
    answers = []
    for volume in localizer_run():
        decoding.add(volume)
        answers.append(decoding.probability("a"))
    first = answers.index(next(answer for answer in answers if answer is not None))
    assert first == 31  # event c begins at 58 s: volume 31 is of 57 to 59 s
    assert None not in answers[first:]


@pytest.mark.parametrize("against", ["baseline", "run"])
def test_the_scanners_gain_changes_nothing(against, mask):
    decoder = train(localizer_run(), mask, ("a", "b"), against=against)
    plain, louder = (decoder.begin(bids_events.read(EVENTS, "events"), TR) for _ in range(2))
    for volume in itertools.islice(localizer_run(2), 30):
        values = volume.data.ravel(order="F")[decoder.voxels].astype(np.float64)
        plain.add_values(volume.index, values)
        louder.add_values(volume.index, 3 * values)
        assert louder.decision("a") == pytest.approx(plain.decision("a"), abs=1e-9)  # rounding of 3 * values


def test_values_at_places_are_those_of_the_volume(mask):
    decoder = train(localizer_run(), mask, ("a", "b"), against="training")
    whole, values = (decoder.begin(bids_events.read(EVENTS, "events"), TR) for _ in range(2))
    volume = next(localizer_run(3))
    whole.add(volume)
    values.add_values(0, volume.data[tuple(values.places.T)].astype(np.float64))
    assert values.decision("a") == whole.decision("a")


def test_a_region_that_is_decoded_hands_on_every_volume_but_those_it_lacks(mask):
    decoder, events = train(localizer_run(), mask, ("a", "b")), bids_events.read(EVENTS, "events")
    region = Roi(nibabel.load(mask).get_fdata() > 0, events, TR, affine=AFFINE)
    decoding, alone = region.decoding(decoder), decoder.begin(events, TR)
    for volume in itertools.islice(localizer_run(2), 30):
        region.add(volume)
        alone.add(volume)
        assert decoding.decision("a") == alone.decision("a")
    region.lacks(30)
    assert decoding.label is None
    with pytest.raises(BadData, match=r"region 'other' has 6×5×4 voxels"):
        Roi(region.mask, events, TR, name="other", affine=AFFINE + np.eye(4, k=3) * 3).decoding(decoder)


def test_voxels_that_are_constant_or_no_numbers_have_no_part(mask, caplog):
    def spoil(data):
        data[1, 1, 0], data[2, 1, 0], data[3, 1, 0] = 7, np.nan, 0

    decoder = train(localizer_run(spoil=spoil), mask, ("a", "b"))
    assert "3 of 36 voxels" in caplog.text
    assert np.count_nonzero(decoder.coefficients) == 33
    decoding = decoder.begin(bids_events.read(EVENTS, "events"), TR)
    for volume in localizer_run(2, spoil=spoil):
        decoding.add(volume)
        assert 0 <= decoding.probability("a") <= 1
    assert caplog.text.count("voxels of the decoder are no numbers") == 1


@pytest.mark.parametrize(
    ("shape", "affine"), [((6, 5, 5), AFFINE), (SHAPE, AFFINE + np.eye(4, k=3) * 3)], ids=["shape", "place"]
)
def test_volumes_on_another_grid_are_refused(shape, affine, mask):
    decoding = train(localizer_run(), mask, ("a", "b")).begin(bids_events.read(EVENTS, "events"), TR)
    volume = volume_of(np.zeros(shape, "<f4"), affine, {"subject": "01"}, {"RepetitionTime": TR}, 0)
    with pytest.raises(BadData, match=r"the decoder was trained on 6×5×4 voxels of 3×3×4 mm .*, volume 0 has "):
        decoding.add(volume)


def test_other_voxels_are_refused(mask):
    decoder = train(localizer_run(), mask, ("a", "b"))
    inside = nibabel.load(mask).get_fdata() > 0
    decoder.check_mask(inside)
    inside[1, 1, 0] = False
    with pytest.raises(BadData, match=r"trained on other voxels: 36, the mask has 35"):
        decoder.check_mask(inside)
    inside[0, 0, 0] = not inside[0, 0, 0]
    assert inside.sum() == 36
    with pytest.raises(BadData, match=r"trained on other voxels: the mask has as many \(36\), but not the same"):
        decoder.check_mask(inside)
    with pytest.raises(BadData, match=r"trained on 36 voxels, found values of \(35,\)"):
        decoder.begin(bids_events.read(EVENTS, "events"), TR).add_values(0, np.zeros(35))


@pytest.mark.parametrize(
    ("classes", "message"),
    [
        (("a", "d"), r"no event has the trial_type 'd'.*there are: a, b, c"),
        (("a",), r"two or more classes"),
        ({"one": ["a", "b"], "two": ["b", "c"]}, r"'b' is in more than one class"),
    ],
)
def test_classes_that_are_none_are_named(classes, message, mask):
    with pytest.raises(BadData, match=message):
        train(localizer_run(), mask, classes)


def test_classes_may_be_made_of_trial_types(mask):
    decoder = train(localizer_run(), mask, {"one": ["a"], "other": ["b", "c"]})
    assert decoder.classes == ("one", "other")
    assert decoder.about["trial_types"] == {"one": ["a"], "other": ["b", "c"]}


def test_a_run_without_events_and_no_run_are_said(mask):
    with pytest.raises(BadData, match=r"sub-01_task-loc_run-01 has no events"):
        train(localizer_run(events=None), mask, ("a", "b"))
    with pytest.raises(BadData, match=r"no volume to train"):
        train(iter(()), mask, ("a", "b"))


def test_the_error_without_scikit_learn_names_the_extra(mask, monkeypatch):
    monkeypatch.setitem(sys.modules, "sklearn", None)
    with pytest.raises(UsageFault, match=r"needs scikit-learn") as caught:
        train(localizer_run(), mask, ("a", "b"))
    assert "rtbids[decode]" in str(caught.value.hint)


def test_a_file_says_where_it_comes_from_and_has_no_objects(mask, tmp_path):
    decoder_file.write(train(localizer_run(), mask, ("a", "b")), tmp_path / "d.npz")
    with np.load(tmp_path / "d.npz", allow_pickle=False) as file:
        about = json.loads(file["about"].tobytes())
    assert about["rtbids"] == rtbids.__version__
    assert about["scikit-learn"] == sklearn.__version__
    assert about["parameters"]["max_iter"] == 1000
    assert about["sources"][0]["volumes"] == COUNT
    assert len(about["sources"][0]["sha256_of_voxels"]) == len(about["model"]["mask_sha256"]) == 64


def test_a_file_is_the_same_each_time(mask, tmp_path):
    for name in ("one.npz", "two.npz"):
        decoder_file.write(train(localizer_run(), mask, ("a", "b")), tmp_path / name)
    assert (tmp_path / "one.npz").read_bytes() == (tmp_path / "two.npz").read_bytes()


def test_a_file_that_cannot_be_read_or_written_is_named(mask, tmp_path):
    decoder = train(localizer_run(), mask, ("a", "b"))
    with pytest.raises(InputMissing, match=r"none.npz: the decoder cannot be read"):
        decoder_file.read(tmp_path / "none.npz")
    with pytest.raises(CannotWrite, match=r"cannot write"):
        decoder_file.write(decoder, tmp_path / "nowhere" / "d.npz")


@pytest.mark.parametrize("content", [b"", b"no zip", b"PK\x05\x06" + bytes(18), b"\x93NUMPY\x01\x00", b"\x80\x04K\x01."])
def test_what_is_no_decoder_is_said_in_a_line(content, tmp_path):
    (tmp_path / "d.npz").write_bytes(content)
    with pytest.raises(BadData, match=r"d.npz: not a decoder that rtbids wrote") as refused:
        decoder_file.read(tmp_path / "d.npz")
    assert "pickle" not in str(refused.value)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"scale": np.zeros(36)}, "scale of 0"),
        ({"mean": np.zeros(35)}, "mean are"),
        ({"coefficients": np.full((1, 36), np.nan)}, "no numbers"),
        ({"voxels": np.arange(36) + 90}, "outside its grid"),
        ({"voxels": np.arange(36)}, "mask's sha256"),
        ({"shape": np.array([1, 2])}, "not a decoder"),
        ({"about": np.frombuffer(b"[]", np.uint8)}, "not a decoder"),
        ({"mean": np.array([{}])}, "not a decoder"),
    ],
)
def test_a_file_whose_parts_do_not_fit_is_refused(change, message, mask, tmp_path):
    decoder_file.write(train(localizer_run(), mask, ("a", "b")), tmp_path / "d.npz")
    with np.load(tmp_path / "d.npz") as file:
        arrays = {**dict(file), **change}
    np.savez(tmp_path / "d.npz", **arrays)
    with pytest.raises(BadData, match=message):
        decoder_file.read(tmp_path / "d.npz")


def test_a_file_that_was_cut_is_refused_wherever_it_was(mask, tmp_path):
    decoder_file.write(train(localizer_run(), mask, ("a", "b")), tmp_path / "d.npz")
    whole = (tmp_path / "d.npz").read_bytes()
    assert zipfile.is_zipfile(tmp_path / "d.npz")
    for length in range(0, len(whole), 97):
        (tmp_path / "d.npz").write_bytes(whole[:length])
        with pytest.raises(BadData):
            decoder_file.read(tmp_path / "d.npz")


def test_logistic_values_do_not_overflow():
    assert [decode.expit(x) for x in (-1e4, 0.0, 1e4)] == [0.0, 0.5, 1.0]


def test_faces_are_told_from_scenes_by_a_decoder_of_another_part_of_the_run(real_data, repository):
    """Both accuracies are far above the chance of 0.5; the volumes of the second half were never seen."""
    run = real_data / "bids_oneback" / "sub-01" / "func" / "sub-01_task-oneback_run-1_bold.nii.gz"
    target = repository / "sample_experiments" / "roi_feedback" / "target.nii.gz"
    half = 78
    decoder = train(itertools.islice(rtbids.volumes(run), half), target, ("face", "scene"))
    table = bids_events.read(next(rtbids.volumes(run)).events, "events")
    decoding = decoder.begin(table, TR)
    right = []
    for volume in rtbids.volumes(run):
        decoding.add(volume)
        shown = localizer.shown(table, volume.index, TR, 5.0)
        if volume.index >= half and shown in decoder.classes:
            right.append(decoding.label == shown)
    assert len(right) == 18
    assert np.mean(right) >= 0.85


@pytest.mark.parametrize(("option", "value"), [("delay", -1.0), ("delay", float("nan")), ("against", "basline")])
def test_an_argument_that_means_nothing_is_refused_before_a_volume_is_read(option, value, mask):
    with pytest.raises(UsageFault, match=f"^{option}: expected .*, found"):
        train(iter(()), mask, ("a", "b"), **{option: value})
