"""The analysis that an experiment's config asks for, volume by volume, in the experiment's process.

realign → sample regions → nuisance → despike → quality; the GLM of the whole brain only when the script asks for it, or after
the script has answered. Nothing looks at later volumes, and the arithmetic depends on nothing but the volumes: a replay gives
the same bits.

A volume that does not say where the head is has no part in any model, and its regions have no signal.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rtbids.analysis import quality, reference, splines
from rtbids.analysis.activation import Activation
from rtbids.analysis.design import CONSTANT, Design
from rtbids.analysis.glm import Glm
from rtbids.analysis.known_design import KnownDesign
from rtbids.analysis.limits import Limits
from rtbids.analysis.motion import Pose, Realigner
from rtbids.analysis.roi import Roi
from rtbids.analysis.smooth import Smoother
from rtbids.analysis.space import Grid
from rtbids.bids.events import Events
from rtbids.errors import InputMissing
from rtbids.run.chain import models, numbers
from rtbids.run.chain.cleaning import Cleaning, Part
from rtbids.run.chain.outcome import MotionSoFar, QualitySoFar
from rtbids.run.chain.sampling import Moving, Places, Sampler, Still
from rtbids.run.chain.singular import Singular
from rtbids.run.recipe.analysis_config import GLOBAL, Analysis, Reference
from rtbids.run.record.derived_tables import Measure
from rtbids.run.record.statistical_maps import StatMap
from rtbids.volume import Volume

Array = NDArray[np.float64]
logger = logging.getLogger("rtbids")


class Chain:
    """The analysis of one run.

    Parameters
    ----------
    analysis
        What is asked for.
    first
        The run's first volume, for its grid; it is still to be added.
    events
        Those known at the beginning.
    regions
        By name, on the volumes' grid. They get their values here.
    length
        How many volumes the source says that there are, None where it does not.
    told
        What was said of the design before there was a volume.

    Attributes
    ----------
    motion, quality, glm, design
        What a script may see of them; None where the config does not ask for it.
    """

    def __init__(
        self,
        analysis: Analysis,
        first: Volume,
        events: Events,
        regions: Mapping[str, Roi],
        *,
        length: int | None = None,
        told: str | None = None,
    ) -> None:
        grid = Grid(first.shape, np.asarray(first.affine, np.float64))
        image = _reference(analysis, grid)
        self._analysis, self._regions = analysis, regions
        self._sampler: Sampler = Moving(grid, analysis.smooth, image) if analysis.realigns else Still(grid, analysis.smooth)
        self._places = {name: np.ascontiguousarray(roi.places.T) for name, roi in regions.items()}
        self._brain: Places = np.zeros((3, 0), np.intp)  # none before there is a volume that shows it
        self._brain_values: NDArray[Any] | None = None
        self._pending: Array | None = None
        self._lost = 0
        self._now: Array | None = None  # the current volume's row of the design
        self._grid = grid
        self.motion = MotionSoFar(grid) if analysis.realigns else None
        self.quality = _quality(analysis, grid, first.repetition_time)
        self.design = models.design(analysis, events, first.repetition_time, length) if analysis.models else None
        self.glm = models.glm(analysis, self.design, grid, self.settle)
        self._singular = self._foreseen(self.design, told) if self.design else None
        if image is not None:
            self._look(image)
        self._cleaning = self._make_cleaning()
        self._activations = self._make_activations()

    def _make_activations(self) -> Mapping[str, Activation]:
        design, asked = self.design, self._analysis.activation
        if design is None or asked is False:
            return {}
        freeze_after = None if asked is True else asked
        names = [name for name in self._regions if name not in self._analysis.nuisance]
        sizes = {name: self._places[name].shape[1] for name in names}
        nuisance = (CONSTANT, *design.nuisance)
        for name in names:
            self._regions[name].add_activation(None)
        return {name: Activation(design.columns, nuisance, size, freeze_after) for name, size in sizes.items()}

    def _foreseen(self, design: Design, told: str | None) -> Singular:
        """Say what is known of the design to be singular, unless it was, so that no volume says it again."""
        known = KnownDesign(design)
        remark = known.remark(self.glm.contrasts if self.glm else {})
        if remark and remark != told:
            logger.warning("%s", remark)
        return Singular(design.columns, known.inseparable)

    def _make_cleaning(self) -> Cleaning:
        kept = {name: roi for name, roi in self._regions.items() if name not in self._analysis.nuisance}
        parts = {name: Part(self._places[name].shape[1], roi.number) for name, roi in kept.items()}
        design, despike = self.design, self._analysis.despike
        if design is None:
            return Cleaning(parts, (), (), despike=despike)
        cleaning = Cleaning(parts, design.columns, design.nuisance, design.sizes, despike=despike)
        if cleaning.undefined:
            count = len(design.columns)
            logger.info("regions have no signal before %d volumes: so many columns are taken out of them", count + 1)
        return cleaning

    def add(self, volume: Volume) -> None:
        """Bring everything up to `volume`, but for what may wait until the script has answered."""
        self.settle()
        self._now = self._brain_values = None
        values = _values(volume)
        pose = self._sampler.take(values)
        if self.motion is not None and pose is not None:
            self.motion.add(volume.index, pose)
        if pose is None or pose.converged:
            self._look(values)
            self._add_signals(volume, pose)
        else:
            self._lose(volume.index, pose)
            for roi in self._regions.values():
                roi.lacks(volume.index)
        if self.quality is not None:
            self.quality.add(values, pose)

    def _look(self, values: NDArray[Any]) -> None:
        """Take the brain from the first volume that shows one and in which the head was found."""
        if self._brain.size or not _needs_brain(self._analysis) or not quality.shows_something(values):
            return
        brain = quality.brain(values, self._grid)
        self._brain = np.array(np.nonzero(brain))
        if self.glm is not None:
            self.glm.begin(brain)

    def _lose(self, index: int, pose: Pose) -> None:
        """Count a volume without a pose; the first is said at once, with the reason."""
        self._lost += 1
        if self._lost == 1:
            logger.warning("volume %d has no part in the analysis, the head is not found in it: %s", index, pose.reason)

    def settle(self) -> None:
        """Bring the model of the brain up to the current volume."""
        row, self._pending = self._pending, None
        if row is not None and self._singular is not None:
            self._singular.add(row)
        if row is not None and self.glm is not None and self._brain.size:
            self.glm.add(row, self._brain_now())

    def event(self, onset: float, duration: float, trial_type: str) -> None:
        """Take an event that came during the run (s from the first volume); one without a column has no effect."""
        if self.design is not None and trial_type in self.design.conditions:
            self.design.add_event(onset, duration, trial_type)

    def measures(self) -> dict[str, dict[str, Measure]]:
        """Return the current volume's numbers, table by table, as a run's derivatives have them."""
        found: dict[str, dict[str, Measure]] = {}
        if self.motion is not None:
            found["motion"] = numbers.of_motion(self.motion)
        if self.quality is not None and self.quality.volume is not None:
            now, so_far = self.quality.volume, self.quality.summary
            found["quality"] = numbers.of_quality(now, so_far, knows_motion=self.motion is not None)
        if self.design is not None:
            found["design"] = self._of_design(self.design)
        return found

    def _of_design(self, design: Design) -> dict[str, Measure]:
        """Return the current volume's row; None in every column where it has no part in the models."""
        if self._now is None:
            return dict.fromkeys(design.columns)
        return {name: value if math.isfinite(value) else None for name, value in zip(design.columns, self._now, strict=True)}

    def maps(self) -> Iterator[StatMap]:
        """Yield the maps, t and effect, of the contrasts that could be estimated, once the last volume is there."""
        self.settle()
        if self._singular is not None:
            self._singular.close()
        if self._lost > 1:
            logger.warning("%d volumes had no part in the analysis: the head was not found in them", self._lost)
        if self.glm is None:
            return
        for name in self.glm.contrasts:
            if reason := self.glm.reason(name):
                logger.warning("no map of the contrast %s: %s", name, reason)
                continue
            said = {
                "Contrast": dict(self.glm.contrasts[name]),
                "Volumes": self.glm.count,
                "DegreesOfFreedom": self.glm.degrees_of_freedom,
                "Columns": list(self.glm.columns),
                "SmoothingFWHM": self._analysis.smooth or 0.0,
            }
            for statistic, values in (("t", self.glm.t(name)), ("effect", self.glm.effect(name))):
                assert values is not None, "there is a reason where there is none"
                yield StatMap(name, statistic, values.astype(np.float32), self._grid.affine, said)

    def _add_signals(self, volume: Volume, pose: Pose | None) -> None:
        """Sample the regions, and take out of them what is not wanted."""
        if not (self.design or self._analysis.despike or self._analysis.realigns or self._analysis.smooth):
            for roi in self._regions.values():
                roi.add(volume)
            return
        sampled = self._sampled()
        row = self._row(volume.index, pose, sampled) if self.design else np.zeros(0)
        self._now = self._pending = row if self.design else None
        clean = self._cleaning.add(row, sampled)
        for name, values in sampled.items():
            if name in clean:
                self._regions[name].add_clean(volume.index, clean[name])
            else:
                self._regions[name].add_values(volume.index, values)
        for name, activation in self._activations.items():
            self._regions[name].add_activation(activation.add(row, sampled[name]))

    def _sampled(self) -> dict[str, NDArray[Any]]:
        """Return each region's voxels in the current volume."""
        if not self._places:
            return {}
        together = self._sampler.at(np.concatenate([*self._places.values()], axis=1))
        ends = np.cumsum([places.shape[1] for places in self._places.values()])
        return dict(zip(self._places, np.split(together, ends[:-1]), strict=True))

    def _row(self, index: int, pose: Pose | None, sampled: Mapping[str, NDArray[Any]]) -> Array:
        assert self.design is not None
        signals = {name: _mean(self._brain_now() if name == GLOBAL else sampled[name]) for name in self._analysis.nuisance}
        return self.design.row(index, None if pose is None else pose.parameters, signals)

    def _brain_now(self) -> NDArray[Any]:
        if self._brain_values is None:
            self._brain_values = self._sampler.at(self._brain)
        return self._brain_values


def prepare(analysis: Analysis) -> None:
    """Import, compile and run once what `analysis` needs, so that no volume waits for it.

    Raises
    ------
    InputMissing
        Where the reference is not there.
    """
    if isinstance(analysis.motion, Reference) and not analysis.motion.reference.is_file():
        raise InputMissing(f"{analysis.motion.reference}: no such file (analysis.motion.reference)")
    splines.prepare()
    grid = Grid.of_zooms((24, 24, 24), (4.0, 4.0, 4.0))
    distance = ((np.indices(grid.shape) - 11.0) ** 2).sum(axis=0)
    image = (1000 * np.exp(-distance / 50)).astype(np.float32)
    if analysis.realigns:
        Realigner(image, grid).estimate(image)
    if analysis.smooth and not analysis.realigns:
        Smoother(grid.shape, [3.0] * 3, analysis.smooth)(image)
    quality.Quality(grid, 1.0).add(image)
    glm = Glm(("constant",), 8)
    for value in (1.0, 2.0):
        glm.add(np.ones(1), np.full(8, value))
    glm.estimate({"constant": 1.0})


def _quality(analysis: Analysis, grid: Grid, repetition_time: float) -> QualitySoFar | None:
    limits = Limits() if analysis.quality is True else analysis.quality
    return QualitySoFar(quality.Quality(grid, repetition_time, limits=limits)) if limits else None


def _reference(analysis: Analysis, grid: Grid) -> NDArray[np.generic] | None:
    if not isinstance(analysis.motion, Reference):
        return None
    return reference.read(analysis.motion.reference, grid, resample=analysis.motion.resample)


def _needs_brain(analysis: Analysis) -> bool:
    return bool(analysis.contrasts) or GLOBAL in analysis.nuisance


def _values(volume: Volume) -> splines.Voxels:
    return splines.floats(volume.data, volume.slope, volume.inter)


def _mean(values: NDArray[Any]) -> float:
    known = values[np.isfinite(values)]
    return float(known.mean(dtype=np.float64)) if known.size else math.nan
