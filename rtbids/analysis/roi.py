"""The signal of one region, volume by volume."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from rtbids.analysis import baseline as baselines
from rtbids.analysis import signals
from rtbids.analysis.blocks import summed
from rtbids.analysis.course import NONE, Clean, Course
from rtbids.analysis.lifeless import LONG, Lifeless
from rtbids.analysis.scaling import DynamicScaling, scaled_change
from rtbids.analysis.space import Grid
from rtbids.bids.events import Events
from rtbids.errors import BadData
from rtbids.volume import Volume

if TYPE_CHECKING:
    from rtbids.analysis.decode import Decoder, Decoding

Array = NDArray[np.float64]
Summary: TypeAlias = Literal["mean", "median", "weighted mean"]
logger = logging.getLogger("rtbids")


class Roi:
    """One number of a region for each volume of the run so far; the latest volume added is the current one.

    A voxel that is no number (a corrected volume has such where the head has left the field of view) is left out of the
    volumes in which it is none, with one warning a run.

    Parameters
    ----------
    mask
        (i, j, k), true inside, on the volumes' grid.
    events
        The run's events, for conditions.
    repetition_time
        Seconds; volume n was acquired from ``n * repetition_time`` on.
    name
        For messages.
    summary
        Which number of its voxels the region's signal is.
    weights
        Of the voxels, in the order of `places`, for the weighted mean.
    affine
        Of the volumes' grid (4×4), for decoders, which are trained on one grid.
    """

    def __init__(
        self,
        mask: NDArray[np.bool_],
        events: Events,
        repetition_time: float,
        *,
        name: str = "",
        summary: Summary = "mean",
        weights: Array | None = None,
        affine: Array | None = None,
    ) -> None:
        self._voxels = np.flatnonzero(mask.ravel(order="F"))
        self._shape = mask.shape
        self._called = f"region {name!r}" if name else "this region"
        if not self._voxels.size:
            raise BadData(f"{self._called} has no voxel: its mask is empty")
        self._weights = self._checked(weights, summary)
        self._events = events
        self._repetition_time = repetition_time
        self._summary = summary
        self._course = Course()
        self._values: NDArray[Any] = np.zeros(0)
        self._slope, self._inter = 1.0, 0.0
        self._scaling = DynamicScaling()
        self._warned = False
        self._lifeless = Lifeless()
        self._affine = affine
        self._decodings: list[Decoding] = []
        self._activation: float | None = None
        self._has_activation = False

    def _checked(self, weights: Array | None, summary: Summary) -> Array | None:
        if weights is None:
            if summary == "weighted mean":
                raise BadData(f"{self._called} has no weights for a weighted mean")
            return None
        weights = np.asarray(weights, np.float64)
        if weights.shape != self._voxels.shape:
            raise BadData(f"{self._called} has {self._voxels.size} voxels, but {weights.size} weights")
        if not np.isfinite(weights).all() or weights.sum() == 0:
            raise BadData(f"{self._called}: weights are numbers whose sum is not 0")
        return weights

    @property
    def mask(self) -> NDArray[np.bool_]:
        """(i, j, k), true inside."""
        inside = np.zeros(int(np.prod(self._shape)), bool)
        inside[self._voxels] = True
        return inside.reshape(self._shape, order="F")

    @property
    def places(self) -> NDArray[np.int_]:
        """Indices i, j, k of the mask's voxels (n, 3), first axis fastest: the order of the values of `add_values`."""
        return np.stack(np.unravel_index(self._voxels, self._shape, order="F"), axis=1)

    def add(self, volume: Volume) -> None:
        """Take the next volume."""
        self._add(volume.index, self._stored(volume), volume.slope, volume.inter)

    def look(self, volume: Volume) -> None:
        """Say once where voxels are no numbers or never change in what came, before anything that is made of it hides that."""
        values = self._stored(volume)
        self._say_gaps(volume.index, values)
        if self._lifeless.add(values):
            text = "%s has had the same values in each of the first %d volumes: is its mask where the brain is?"
            logger.warning(text, self._called, LONG)

    def _stored(self, volume: Volume) -> NDArray[Any]:
        if volume.shape != self._shape:
            raise BadData(f"{self._called} has a mask of {self._shape} voxels, volume {volume.index} {volume.shape}")
        return np.asarray(volume.data.ravel(order="F")[self._voxels])

    def add_values(self, index: int, values: NDArray[Any]) -> None:
        """Take what volume `index` has at `places` (n,), in the scanner's units, where it was corrected before."""
        if np.shape(values) != self._voxels.shape:
            raise BadData(f"{self._called} has {self._voxels.size} voxels, found values of {np.shape(values)}")
        self._add(index, np.array(values), 1.0, 0.0)

    def add_clean(self, index: int, clean: Clean) -> None:
        """Take what volume `index` has here, with and without drift, motion and the like."""
        self._see(index, clean.before, 1.0, 0.0)
        self._values = np.full(self._voxels.shape, np.nan) if clean.voxels is None else clean.voxels
        self._follow(index, clean.number, clean.regressors, clean.betas)
        for decoding in self._decodings:
            decoding.add_clean(index, clean)

    def lacks(self, index: int) -> None:
        """Note that volume `index` came but has no signal here: it could not be corrected."""
        self._values, self._slope, self._inter = np.full(self._voxels.shape, np.nan), 1.0, 0.0
        self._follow(index, np.nan)
        self._activation = None
        for decoding in self._decodings:
            decoding.lacks()

    def number(self, values: NDArray[Any]) -> float:
        """Return what the region makes of its voxels' values (n,); NaN where none of them is a number."""
        return _of_numbers(values, self._summary, self._weights)

    def _add(self, index: int, values: NDArray[Any], slope: float, inter: float) -> None:
        self._see(index, values, slope, inter)
        self._follow(index, self._of(self._summary))
        for decoding in self._decodings:
            decoding.add_values(index, values * np.float64(slope) + inter)

    def _follow(self, index: int, number: float, regressors: Array = NONE, betas: Array = NONE) -> None:
        self._course.add(index, number, regressors, betas)
        self._scaling.add(number)

    def _see(self, index: int, values: NDArray[Any], slope: float, inter: float) -> None:
        self._values, self._slope, self._inter = values, slope, inter
        self._say_gaps(index, values)

    def _say_gaps(self, index: int, values: NDArray[Any]) -> None:
        """Say once where some are no numbers."""
        bad = int(np.count_nonzero(~np.isfinite(values))) if values.dtype.kind == "f" else 0
        if bad and not self._warned:
            self._warned = True
            called, count = self._called, values.size
            logger.warning("volume %d: %d of %d voxels of %s are no numbers and left out", index, bad, count, called)

    def decoding(self, decoder: Decoder) -> Decoding:
        """Decode this region from now on, every volume of it: ask in ``start(run)``, and the answers in ``feedback``.

        Raises BadData where `decoder` was trained on other voxels or another grid.
        """
        if self._affine is not None:
            decoder.check_grid(Grid(self.mask.shape, self._affine), self._called)
        decoder.check_mask(self.mask, self._called)
        self._decodings.append(decoder.begin(self._events, self._repetition_time))
        return self._decodings[-1]

    def _of(self, summary: Summary) -> float:
        """Return a number of the current voxels; NaN where none of them is a number."""
        return _of_numbers(self._values, summary, self._weights) * self._slope + self._inter

    def _now(self, summary: Summary) -> float | None:
        self._require_volume()
        number = self._of(summary)
        return number if np.isfinite(number) else None

    def mean(self) -> float | None:
        """Return the region's mean in the current volume, in the scanner's units.

        None where no voxel is a number; where drift, motion and the like are taken out, also before there are more volumes than
        columns.
        """
        return self._now("mean")

    def median(self) -> float | None:
        """Return the region's median in the current volume, in the scanner's units; None where `mean` is."""
        return self._now("median")

    def weighted_mean(self) -> float | None:
        """Return the mean with the region's weights in the current volume, in the scanner's units; None where `mean` is."""
        self._require_volume()
        if self._weights is None:
            raise BadData(f"{self._called} has no weights")
        return self._now("weighted mean")

    @property
    def signal(self) -> Array:
        """The region's number in every volume so far, by index; NaN where a volume never came. Read-only.

        Where drift, motion and the like are taken out, that is done anew in all of it by the fit of now, so that its values may
        be held against each other; a past one is not exactly what it was in its own time.
        """
        filled = np.full(int(self._course.indices.max(initial=-1)) + 1, np.nan)
        filled[self._course.indices] = self._course.numbers
        filled.setflags(write=False)
        return filled

    def series(self) -> Array:
        """Return `signal` as an array of one's own."""
        return self.signal.copy()

    def percent_signal_change(
        self, baseline: str = "rest", *, window: Literal["run", "block"] = "run", skip: int = 0
    ) -> float | None:
        """Return ``100 (y - m) / m``: y the current signal, m its mean in the volumes of `baseline` so far.

        Where drift, motion and the like are taken out, what they did between those volumes and now is taken from y, by the fit
        of now.

        `baseline` is a ``trial_type``, and a volume belongs to it where there was such an event during its TR, be it in part;
        ``rest``, where no event has that name, is every volume during which there was no event. With ``window="block"``, m is
        of the latest block of the baseline alone, the one that is going on included. The first `skip` volumes of each block
        are left out, while the response to what was before goes down. None before the first volume of the baseline, and where
        its mean is 0 or the current signal no number.
        """
        return self._course.change(signals.within(self._baseline(baseline, skip), window))

    def scaled_signal_change(self, baseline: str = "rest", *, skip: int = 2) -> float | None:
        """Return OpenNFT's percent signal change: 100 times the rise over the baseline's median, on a scale of 0 to 1.

        The scale's limits are the least and greatest signal so far, from 20 volumes on the medians of its 5 % tails (Koush et
        al., NeuroImage 156 (2017) 489). Each value keeps the scale of its own time; where drift, motion and the like are taken
        out, all of the signal has that of now. Not the same as `percent_signal_change`, and not percent of the signal.
        """
        inside = self._baseline(baseline, skip)
        return scaled_change(self._course.numbers, inside) if self._course.cleaned else self._scaling.change(inside)

    def difference(self, other: Roi, baseline: str = "rest") -> float | None:
        """Return this region's percent signal change less that of `other`; None where either is None."""
        return signals.difference(self.percent_signal_change(baseline), other.percent_signal_change(baseline))

    def ratio(self, other: Roi, baseline: str = "rest") -> float | None:
        """Return ``(a - b) / (|a| + |b|)`` of both percent signal changes, -1 to 1; None where either is None or both are 0."""
        return signals.ratio(self.percent_signal_change(baseline), other.percent_signal_change(baseline))

    def correlation(self, other: Roi, window: int | None = None) -> float | None:
        """Return Pearson's r of both signals over the latest `window` volumes, or all so far; None before there are three."""
        return signals.correlation(self.signal, other.signal, window)

    def add_activation(self, activation: float | None) -> None:
        """Take the activation in the current volume, where somebody works it out."""
        self._has_activation, self._activation = True, activation

    def activation(self) -> float | None:
        """Return what the region does beyond nuisance, in units of its noise (Hinds et al., NeuroImage 54 (2011) 361).

        Of each voxel, the signal less drift, motion and the like, over the root mean square of its residuals in the model; of
        the region, the mean with weights of one over that mean square. None before there are more volumes than columns.
        """
        if not self._has_activation:
            raise BadData(f"{self._called} has an activation() where the config has analysis.activation: true")
        return self._activation

    def _baseline(self, condition: str, skip: int) -> NDArray[np.bool_]:
        """Which of the volumes so far are of a condition, without the first `skip` of each block."""
        self._require_volume()
        self._require_condition(condition)
        baselines.asked_for(self._events, condition, self._repetition_time)
        indices = self._course.indices
        starts = indices * np.float64(self._repetition_time)
        inside = self._events.covers(condition, starts, self._repetition_time)
        return signals.without_first(inside, indices, skip) if skip else inside

    def _require_volume(self) -> None:
        if not len(self._course):
            raise BadData("this region has seen no volume yet")

    def _require_condition(self, condition: str) -> None:
        known = self._events.conditions
        if condition not in known and condition != "rest":
            raise BadData(f"no event has the trial_type {condition!r}; there are: {', '.join(known) or 'none'}")


def _of_numbers(values: NDArray[Any], summary: Summary, weights: Array | None) -> float:
    """Return a number of the values that are numbers; NaN where none is."""
    value = _summary(values, summary, weights)
    if not np.isfinite(value):
        good = np.isfinite(values)
        value = _summary(values[good], summary, None if weights is None else weights[good]) if good.any() else np.nan
    return value


def _summary(values: NDArray[Any], summary: Summary, weights: Array | None) -> float:
    with np.errstate(invalid="ignore"):
        if summary == "median":
            return float(np.median(values))
        if summary == "weighted mean" and weights is not None:
            total = float(weights.sum())
            return float(summed(weights, values.astype(np.float64))) / total if total else np.nan
        return float(values.mean(dtype=np.float64))
