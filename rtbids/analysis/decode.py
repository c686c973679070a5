"""A linear decoder: what a pattern of voxels shows, volume by volume, by numpy alone.

Voxels are taken as their change against a level that is known at the time, divided by how much each varied in training, and
weighted: ``decision = ((x - mean) / scale) @ coefficients + intercept``. `train` makes one, `read` loads one.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from rtbids.analysis import baseline as baselines
from rtbids.analysis import localizer, masks
from rtbids.analysis.blocks import summed
from rtbids.analysis.course import NONE, Clean
from rtbids.analysis.space import Grid
from rtbids.bids.events import Events
from rtbids.errors import BadData
from rtbids.volume import Volume

Array = NDArray[np.float64]
Against: TypeAlias = Literal["baseline", "run", "training"]
Link: TypeAlias = Literal["logistic", "softmax", "none"]
AGAINST: tuple[Against, ...] = ("baseline", "run", "training")
LINKS: tuple[Link, ...] = ("logistic", "softmax", "none")
logger = logging.getLogger("rtbids")


@dataclass(frozen=True, eq=False)
class Decoder:
    """A trained model, without what trained it.

    Attributes
    ----------
    classes
        Their names. Of two, a decision above 0 means the second; of more, each has a decision of its own.
    coefficients, intercept
        (1, V) and (1,) for two classes, else (classes, V) and (classes,).
    mean, scale
        Of each voxel's change (V,) over the volumes that taught it.
    link
        How decisions become probabilities: ``logistic`` of two, ``softmax`` of more, or ``none``: the estimator has none.
    voxels
        Places (V,) in the volume, first axis fastest.
    grid
        Of the volumes.
    against
        What a voxel's change in percent is measured against: the mean of the run's volumes so far, of all (``run``) or of those
        that show the baseline. ``training``: values are taken as they are.
    baseline
        The trial_type that is the baseline, ``rest`` where no event is on.
    delay
        Seconds by which the signal follows events.
    about
        Where it comes from, as plain JSON.
    """

    classes: tuple[str, ...]
    coefficients: Array
    intercept: Array
    mean: Array
    scale: Array
    link: Link
    voxels: NDArray[np.int_]
    grid: Grid
    against: Against
    baseline: str
    delay: float
    about: Mapping[str, Any] = field(default_factory=dict)

    def decision(self, change: Array) -> Array:
        """Return the decision values (1,) or (classes,) of voxels' changes (V,); one that is no number counts as its mean."""
        z = (change - self.mean) / self.scale
        return np.asarray(summed(self.coefficients, np.where(np.isfinite(z), z, 0.0)) + self.intercept)

    def probabilities(self, decision: Array) -> Array | None:
        """Return the probability of each class, or None where the model has none."""
        if self.link == "none":
            return None
        if self.link == "logistic":
            return np.array([expit(-decision[0]), expit(decision[0])])
        powers = np.exp(decision - decision.max())
        return np.asarray(powers / powers.sum())

    def begin(self, events: Events, repetition_time: float) -> Decoding:
        """Return what decodes one run, given the run's events and its TR in seconds."""
        if self.against == "baseline":
            baselines.asked_for(events, self.baseline, repetition_time)
        return Decoding(self, events, repetition_time)

    def check_grid(self, found: Grid, called: str) -> None:
        """Raise BadData where what is `called` so is on another grid than the volumes that taught this decoder."""
        if not self.grid.same_as(found):
            own, other = (masks.grid(grid.shape, grid.affine) for grid in (self.grid, found))
            raise BadData(f"the decoder was trained on {own}, {called} has {other}", "train it on this grid")

    def check_mask(self, mask: NDArray[np.bool_], called: str = "the mask") -> None:
        """Raise BadData where `mask` (i, j, k) has other voxels than those that taught this decoder."""
        i, j, k = mask.shape
        if mask_sha256(np.flatnonzero(mask.ravel(order="F")), Grid((i, j, k), self.grid.affine)) != self.mask_sha256:
            count, found = self.voxels.size, int(np.count_nonzero(mask))
            which = f"{count}, {called} has {found}" if count != found else f"{called} has as many ({count}), but not the same"
            raise BadData(f"the decoder was trained on other voxels: {which}", "train it with this mask")

    @property
    def mask_sha256(self) -> str:
        return mask_sha256(self.voxels, self.grid)


class Decoding:
    """The decoding of one run, volume by volume; the latest volume added is the current one.

    Every volume is to be added, also one whose answer nobody waits for: the level it is measured against is of them all.
    """

    def __init__(self, decoder: Decoder, events: Events, repetition_time: float) -> None:
        self.decoder = decoder
        self._events, self._repetition_time = events, repetition_time
        self._level = Level(decoder.voxels.size, decoder.against)
        self._decision: Array | None = None
        self._warned = False

    @property
    def places(self) -> NDArray[np.int_]:
        """Indices i, j, k of the voxels (V, 3): the order of the values of `add_values`."""
        return np.stack(np.unravel_index(self.decoder.voxels, self.decoder.grid.shape, order="F"), axis=1)

    def add(self, volume: Volume) -> None:
        """Take the next volume."""
        self.decoder.check_grid(Grid(volume.shape, np.asarray(volume.affine, np.float64)), f"volume {volume.index}")
        stored = volume.data.ravel(order="F")[self.decoder.voxels]
        self.add_values(volume.index, stored * np.float64(volume.slope) + volume.inter)

    def add_values(self, index: int, values: Array) -> None:
        """Take what volume `index` has at `places` (V,), in the scanner's units, where it was corrected before."""
        decoder = self.decoder
        if np.shape(values) != decoder.voxels.shape:
            raise BadData(f"the decoder was trained on {decoder.voxels.size} voxels, found values of {np.shape(values)}")
        self._decide(index, values, self._level.change(values, inside=self._shows_baseline(index)))

    def add_clean(self, index: int, clean: Clean) -> None:
        """Take what volume `index` has at `places`, with and without drift, motion and the like."""
        change = self._level.clean_change(clean, inside=self._shows_baseline(index))
        self._decide(index, clean.before, None if clean.voxels is None else change)

    def _decide(self, index: int, values: Array, change: Array | None) -> None:
        self._decision = None if change is None else self.decoder.decision(change)
        bad = 0 if change is None else int(np.count_nonzero(~np.isfinite(values)))
        if bad and not self._warned:
            self._warned = True
            logger.warning("volume %d: %d of %d voxels of the decoder are no numbers and left out", index, bad, len(values))

    def lacks(self) -> None:
        """Note that a volume came whose voxels are not known: there is no answer for it."""
        self._decision = None

    def _shows_baseline(self, index: int) -> bool:
        decoder = self.decoder
        return localizer.shown(self._events, index, self._repetition_time, decoder.delay) == decoder.baseline

    def decision(self, name: str) -> float | None:
        """Return the decision value of a class; above 0 speaks for it. None before there is a level to measure against."""
        place = self._place(name)
        if self._decision is None:
            return None
        if self._decision.size == 1:
            return float(self._decision[0] if place == 1 else -self._decision[0])
        return float(self._decision[place])

    def probability(self, name: str) -> float | None:
        """Return the probability of a class; None before there is a level to measure against."""
        place = self._place(name)
        if self.decoder.link == "none":
            raise BadData("this decoder has no probabilities", "ask for decision(name), or train a LogisticRegression")
        if self._decision is None:
            return None
        found = self.decoder.probabilities(self._decision)
        return None if found is None else float(found[place])

    @property
    def label(self) -> str | None:
        """The class that the current volume shows most; None before there is a level to measure against."""
        if self._decision is None:
            return None
        best = int(self._decision[0] > 0) if self._decision.size == 1 else int(np.argmax(self._decision))
        return self.decoder.classes[best]

    def _place(self, name: str) -> int:
        if name not in self.decoder.classes:
            raise BadData(f"the decoder knows no class {name!r}; its classes: {', '.join(self.decoder.classes)}")
        return self.decoder.classes.index(name)


class Level:
    """What voxels are measured against: their means over the volumes so far, or over those of the baseline among them."""

    def __init__(self, voxels: int, against: Against) -> None:
        self._against = against
        self._sum, self._count = np.zeros(voxels), np.zeros(voxels)
        self._regressors, self._cleaned = NONE, 0  # their sum over the volumes that have part in the level, and how many

    def change(self, values: Array, *, inside: bool) -> Array | None:
        """Take the next volume's voxels (V,), which are `inside` the baseline or not; return their change in percent.

        NaN where a voxel is no number or its mean is 0; None while there is no level. Against ``training``, the values.
        """
        values = np.asarray(values, np.float64)
        if self._against == "training":
            return values
        self._learn(values, inside=inside)
        return self._percent(values)

    def clean_change(self, clean: Clean, *, inside: bool) -> Array | None:
        """Do the same without what nuisance did between the level's volumes and now, by the fit of now."""
        if self._against == "training":
            return clean.voxels
        known = bool(np.isfinite(clean.regressors).all())
        if known:
            self._learn(clean.before, inside=inside)
        if known and self._learns(inside=inside):
            self._regressors = clean.regressors + (self._regressors if self._cleaned else 0.0)
            self._cleaned += 1
        if not self._cleaned:
            return None
        return self._percent(clean.before - clean.explained(clean.regressors - self._regressors / self._cleaned))

    def _learns(self, *, inside: bool) -> bool:
        return inside or self._against == "run"

    def _learn(self, values: Array, *, inside: bool) -> None:
        if self._learns(inside=inside):
            known = np.isfinite(values)
            self._sum += np.where(known, values, 0.0)
            self._count += known

    def _percent(self, values: Array) -> Array | None:
        if not self._count.any():
            return None
        with np.errstate(invalid="ignore", divide="ignore"):
            mean = self._sum / self._count
            return np.asarray(np.where(mean == 0, np.nan, 100.0 * (values - mean) / mean))


def mask_sha256(voxels: NDArray[np.int_], grid: Grid) -> str:
    """Return the identity of a mask: of its voxels and the shape of its grid."""
    text = f"{'x'.join(map(str, grid.shape))}\n".encode()
    return hashlib.sha256(text + np.asarray(voxels, "<i8").tobytes()).hexdigest()


def expit(x: float) -> float:
    """Return ``1 / (1 + exp(-x))`` without overflow."""
    return float(1 / (1 + np.exp(-x)) if x >= 0 else np.exp(x) / (1 + np.exp(x)))
