"""Train a decoder on localizer runs by scikit-learn (extra ``decode``), the same way as it is used later: volume by volume."""

from __future__ import annotations

import hashlib
import logging
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rtbids import __version__
from rtbids.analysis import decode, localizer, masks
from rtbids.analysis.decode import AGAINST, Against, Array, Decoder, Level, Link
from rtbids.analysis.localizer import DELAY, Classes
from rtbids.analysis.space import Grid
from rtbids.bids import entities as bids_entities
from rtbids.bids import events as bids_events
from rtbids.bids.events import REST, Events
from rtbids.errors import BadData, UsageFault
from rtbids.volume import Volume, run_key, voxels

logger = logging.getLogger("rtbids")
AGREEMENT = 1e-9  # of decisions and probabilities with the estimator's own: rounding in another order stays far below


@dataclass(frozen=True)
class Wanted:
    """What is asked of a decoder."""

    classes: Sequence[str] | Mapping[str, Sequence[str]]
    delay: float
    against: Against
    baseline: str

    def __post_init__(self) -> None:
        if not 0 <= self.delay < math.inf:
            raise UsageFault(f"delay: expected seconds, 0 or more, found {self.delay:g}")
        if self.against not in AGAINST:
            raise UsageFault(f"against: expected {', '.join(AGAINST)}, found {self.against!r}")


@dataclass
class _Run:
    """What one localizer run gives."""

    name: str
    repetition_time: float
    events: Events
    indices: list[int] = field(default_factory=list)
    changes: list[Array | None] = field(default_factory=list)
    sha256: Any = field(default_factory=hashlib.sha256)


@dataclass(frozen=True, eq=False)
class _Taught:
    """Samples of all runs: changes (n, V), labels, and the run and block that each is from."""

    x: Array
    y: NDArray[np.str_]
    runs: NDArray[np.int_]
    blocks: NDArray[np.int_]
    volumes: tuple[tuple[int, ...], ...]  # by run, the indices that were taken


def train(
    volumes: Iterable[Volume],
    mask: str | Path,
    classes: Sequence[str] | Mapping[str, Sequence[str]],
    *,
    estimator: Any = None,
    delay: float = DELAY,
    against: Against = "baseline",
    baseline: str = REST,
) -> Decoder:
    """Train a decoder on one or more localizer runs.

    Parameters
    ----------
    volumes
        Of runs whose events are known, such as `rtbids.volumes` gives.
    mask
        A NIfTI file on their grid: the voxels that are looked at.
    classes
        Trial types, or class names with the trial types of each. A volume belongs to a class where its TR, `delay` seconds
        before, has events of this class alone.
    estimator
        A linear classifier of scikit-learn, not yet fitted; by default ``LogisticRegression(max_iter=1000)``. Voxels are
        standardised before it sees them.
    delay
        Seconds by which the signal follows events.
    against, baseline
        What a voxel's change in percent is measured against: see `Decoder`. Only volumes so far have a part in it, here as in
        real time.

    Raises
    ------
    UsageFault
        Without scikit-learn, for an estimator that weights and an intercept do not describe, and for arguments without sense.
    BadData
        Where runs, events, classes and mask do not fit together.

    Notes
    -----
    ``about["accuracy"]`` is cross-validated, leaving out one run of several, or of one run the k-th block of every class;
    ``about["chance"]`` is what naming the commonest class would reach. Both are None where a class has one block only.
    """
    wanted = Wanted(classes, delay, against, baseline)
    sklearn = _library()
    grid, inside, runs = _gathered(volumes, Path(mask), wanted)
    named = localizer.classes_of(classes, Events(tuple(event for run in runs for event in run.events.rows)))
    taught = _samples(runs, named, delay)
    good = _usable(taught.x)
    x = taught.x[:, good]
    model = estimator if estimator is not None else sklearn.linear_model.LogisticRegression(max_iter=1000)
    scaler = sklearn.preprocessing.StandardScaler().fit(x)
    fitted = _fitted(sklearn.base.clone(model), scaler.transform(x), taught.y)
    return Decoder(
        classes=tuple(str(name) for name in fitted.classes_),
        coefficients=_spread(np.asarray(fitted.coef_, np.float64), good, 0.0),
        intercept=np.asarray(fitted.intercept_, np.float64).reshape(-1),
        mean=_spread(scaler.mean_, good, 0.0),
        scale=_spread(scaler.scale_, good, 1.0),
        link=_link(fitted, scaler.transform(x)),
        voxels=inside,
        grid=grid,
        against=against,
        baseline=baseline,
        delay=delay,
        about={
            "rtbids": __version__,
            "scikit-learn": sklearn.__version__,
            "estimator": type(model).__name__,
            "parameters": {name: _plain(value) for name, value in model.get_params().items()},
            "trial_types": {name: list(types) for name, types in named.items()},
            "volumes_per_class": {name: int((taught.y == name).sum()) for name in named},
            "sources": [_source(run, taken) for run, taken in zip(runs, taught.volumes, strict=True)],
            "mask_sha256_of_file": hashlib.sha256(Path(mask).read_bytes()).hexdigest(),
            **_accuracy(sklearn, model, x, taught),
        },
    )


def _library() -> Any:
    try:
        import sklearn
        import sklearn.base
        import sklearn.linear_model
        import sklearn.model_selection
        import sklearn.pipeline
        import sklearn.preprocessing
    except ImportError as error:
        raise UsageFault(
            f"training a decoder needs scikit-learn, which cannot be imported ({str(error).splitlines()[0]})",
            "pip install 'rtbids[decode]'",
        ) from None
    return sklearn


def _gathered(volumes: Iterable[Volume], mask: Path, wanted: Wanted) -> tuple[Grid, NDArray[np.int_], list[_Run]]:
    """Return the grid, the mask's voxels, and the runs with their voxels' changes."""
    runs: dict[tuple[tuple[str, str], ...], _Run] = {}
    levels: dict[tuple[tuple[str, str], ...], Level] = {}
    grid, inside = None, np.zeros(0, np.int_)
    for volume in volumes:
        if grid is None:
            grid = Grid(volume.shape, np.asarray(volume.affine, np.float64))
            inside = np.flatnonzero(masks.on_grid(mask, volume.shape, volume.affine).ravel(order="F"))
        key = run_key(volume.entities)
        if key not in runs:
            masks.check_grid(mask, volume.shape, volume.affine)
            runs[key], levels[key] = _begun(volume), Level(inside.size, wanted.against)
        _add(runs[key], levels[key], volume, inside, wanted)
    if grid is None:
        raise BadData("there is no volume to train a decoder on")
    return grid, inside, list(runs.values())


def _begun(volume: Volume) -> _Run:
    name = bids_entities.stem(dict(volume.entities))
    if volume.events is None:
        raise BadData(f"{name} has no events: a decoder learns what was shown when")
    return _Run(name, volume.repetition_time, bids_events.read(volume.events, f"the events of {name}"))


def _add(run: _Run, level: Level, volume: Volume, inside: NDArray[np.int_], wanted: Wanted) -> None:
    run.sha256.update(voxels(volume))
    values = volume.data.ravel(order="F")[inside] * np.float64(volume.slope) + volume.inter
    shown = localizer.shown(run.events, volume.index, run.repetition_time, wanted.delay)
    run.indices.append(volume.index)
    run.changes.append(level.change(values, inside=shown == wanted.baseline))


def _samples(runs: list[_Run], classes: Classes, delay: float) -> _Taught:
    """Return what the runs teach: the volumes that belong to a class and have a level to be measured against."""
    x: list[Array] = []
    y, own_run, blocks, volumes = [], [], [], []
    for number, run in enumerate(runs):
        found = localizer.samples(run.events, run.indices, run.repetition_time, classes, delay)
        taken = []
        for place, label, block in zip(found.places.tolist(), found.labels.tolist(), found.blocks.tolist(), strict=True):
            change = run.changes[place]
            if change is not None:
                x.append(change)
                y.append(label)
                own_run.append(number)
                blocks.append(number * 1_000_000 + block)
                taken.append(run.indices[place])
        volumes.append(tuple(taken))
    if lacking := [name for name in classes if y.count(name) < 2]:
        raise BadData(f"the class {lacking[0]!r} has fewer than two volumes to learn from", "are the events right?")
    return _Taught(np.array(x), np.array(y), np.array(own_run), np.array(blocks), tuple(volumes))


def _usable(x: Array) -> NDArray[np.bool_]:
    """Return which voxels are numbers in every sample, and vary."""
    with np.errstate(invalid="ignore"):
        good = np.asarray(np.isfinite(x).all(axis=0) & (np.ptp(x, axis=0) > 0))
    if not good.any():
        raise BadData("no voxel of the mask varies: there is nothing to learn from")
    if not good.all():
        logger.warning("%d of %d voxels of the mask do not vary, or are no numbers, and are left out", (~good).sum(), good.size)
    return good


def _fitted(estimator: Any, z: Array, y: NDArray[np.str_]) -> Any:
    """Fit; refuse what is not wholly described by its weights and intercept."""
    fitted = estimator.fit(z, y)
    name = type(estimator).__name__
    try:
        own = z @ np.asarray(fitted.coef_, np.float64).T + np.asarray(fitted.intercept_, np.float64)
        asked = np.asarray(fitted.decision_function(z)).reshape(len(z), -1)
        linear = own.shape == asked.shape and np.allclose(own, asked, rtol=AGREEMENT, atol=AGREEMENT)
    except (AttributeError, ValueError, TypeError):
        linear = False
    if not linear:
        raise UsageFault(
            f"{name} is more than a weight for each voxel and cannot be stored",
            "take LogisticRegression, LinearSVC, SVC(kernel='linear') for two classes, or LinearDiscriminantAnalysis",
        )
    return fitted


def _link(fitted: Any, z: Array) -> Link:
    """Return how the estimator's probabilities come from its decisions, as far as that is stored."""
    if not hasattr(fitted, "predict_proba"):
        return "none"
    z = np.concatenate([z * nearer for nearer in (1, 0.1, 0.01, 0)])  # far from the border every link says 0 and 1
    asked = fitted.predict_proba(z)
    decisions = np.asarray(fitted.decision_function(z)).reshape(len(z), -1)
    if decisions.shape[1] == 1:
        own = np.array([[decode.expit(-d), decode.expit(d)] for d in decisions[:, 0]])
    else:
        powers = np.exp(decisions - decisions.max(axis=1, keepdims=True))
        own = powers / powers.sum(axis=1, keepdims=True)
    if not np.allclose(own, asked, rtol=0, atol=AGREEMENT):
        logger.warning("the probabilities of this %s are not stored: only its decisions are", type(fitted).__name__)
        return "none"
    return "logistic" if decisions.shape[1] == 1 else "softmax"


def _spread(values: Array, good: NDArray[np.bool_], otherwise: float) -> Array:
    """Return `values` (..., good voxels) at all voxels."""
    spread = np.full((*values.shape[:-1], good.size), otherwise)
    spread[..., good] = values
    return spread


def _accuracy(sklearn: Any, model: Any, x: Array, taught: _Taught) -> dict[str, Any]:
    several = len(set(taught.runs.tolist())) > 1
    parts = taught.runs if several else localizer.folds(taught.y, taught.blocks)
    chance = max(int((taught.y == name).sum()) for name in set(taught.y.tolist())) / len(taught.y)
    said = {"chance": chance, "left_out": "run" if several else "block of each class"}
    if parts is None or not _each_teaches_all(taught.y, parts):
        logger.warning("no cross-validated accuracy: it takes two blocks, or two runs, of each class")
        return {**said, "accuracy": None, "folds": 0}
    steps = sklearn.pipeline.make_pipeline(sklearn.preprocessing.StandardScaler(), sklearn.base.clone(model))
    left_out = sklearn.model_selection.LeaveOneGroupOut()
    guessed = sklearn.model_selection.cross_val_predict(steps, x, taught.y, groups=parts, cv=left_out)
    return {**said, "accuracy": float((guessed == taught.y).mean()), "folds": len(set(parts.tolist()))}


def _each_teaches_all(y: NDArray[np.str_], parts: NDArray[np.int_]) -> bool:
    """Whether every class is there when any of the parts is left out."""
    return all(set(y[parts != part].tolist()) == set(y.tolist()) for part in set(parts.tolist()))


def _source(run: _Run, taken: tuple[int, ...]) -> dict[str, Any]:
    return {
        "run": run.name,
        "volumes": len(run.indices),
        "sha256_of_voxels": run.sha256.hexdigest(),
        "taught_by": list(taken),
    }


def _plain(value: object) -> object:
    return value if value is None or isinstance(value, bool | int | float | str) else repr(value)
