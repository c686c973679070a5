"""The key ``analysis:`` of an experiment's config: what is worked out of every volume before the script is asked."""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np

from rtbids import config
from rtbids.analysis import contrasts, masks
from rtbids.analysis.limits import Limits
from rtbids.analysis.space import Grid
from rtbids.errors import BadData, UsageFault
from rtbids.volume import Volume

GLOBAL = "global"  # the mean over the brain, as a nuisance signal
_LABEL = re.compile(r"[A-Za-z0-9]+")


@dataclass(frozen=True)
class Reference:
    """What volumes are realigned to.

    Attributes
    ----------
    reference
        A NIfTI file on the volumes' grid, relative to the experiment's folder. Of several volumes, as another run has, the
        first.
    resample
        Whether it may lie on another grid, and is taken to the volumes' by the places of both in the scanner.
    """

    reference: Path
    resample: bool = False


@dataclass(frozen=True)
class Analysis:
    """The keys of ``analysis:``. What is left out is not done, and costs nothing.

    Attributes
    ----------
    motion
        ``true``: each volume is realigned to the run's first. ``{reference: PATH}``: to that of a file, such as an earlier run.
    smooth
        Full width at half maximum in mm. With ``motion``, regions are sampled from smoothed B-splines at the head's pose,
        without reslicing; without, whole volumes are smoothed by SPM's kernel.
    drift
        Taken out of regions, and part of the GLM: ``cosine`` (slower than 128 s, as SPM) or ``polynomial`` (Legendre, as AFNI).
    motion_terms
        Regressors from the head's pose: 6; 12, with differences; 24, with the volume before and squares.
    nuisance
        Names of ``rois:`` whose mean is taken out of the other regions, and ``global`` for the mean of the brain.
    despike
        Single spikes are dropped from each region by a filter that also smooths: its signal comes about a volume late, and 0.8
        times as high (Koush et al. 2012).
    activation
        ``true``: the current activation of each region (Hinds et al. 2011). A number: the noise is that of as many volumes.
    contrasts
        Name → contrast of conditions, such as ``{faces: "face > scene"}``: a GLM of the whole brain that grows by every volume.
    conditions
        The trial types that have a column in the design, where some of their events come during the run; by default those that
        the run's events have.
    volumes
        How many the run is to have. Drift is fixed by it; by default it goes to 16 s after the last event, without events to
        the end of the run that is replayed. At a scanner one of the two is needed.
    quality
        DVARS, tSNR, spikes and minutes of good data; with limits of one's own as ``{good_displacement: 0.3, criterion: 10}``.
    """

    motion: bool | Reference = False
    smooth: float | None = None
    drift: Literal["none", "polynomial", "cosine"] = "none"
    motion_terms: Literal[0, 6, 12, 24] = 0
    nuisance: tuple[str, ...] = ()
    despike: bool = False
    contrasts: dict[str, str] = field(default_factory=dict)
    conditions: tuple[str, ...] | None = None
    volumes: int | None = None
    quality: bool | Limits = False
    activation: bool | int = False

    @property
    def realigns(self) -> bool:
        return self.motion is not False

    @property
    def cleans(self) -> bool:
        """Whether something is taken out of regions."""
        return self.drift != "none" or self.motion_terms > 0 or bool(self.nuisance)

    @property
    def models(self) -> bool:
        """Whether there is a design."""
        return self.cleans or bool(self.contrasts) or self.activation is not False


def check(analysis: Analysis, rois: Iterable[str], where: str) -> None:
    """Raise UsageFault for keys that do not go together, or whose values make no sense."""
    for fault in _faults(analysis, list(rois)):
        raise UsageFault(f"{where}: analysis.{fault[0]}", fault[1])


def _faults(analysis: Analysis, rois: list[str]) -> Iterable[tuple[str, str | None]]:
    if analysis.smooth is not None and not (math.isfinite(analysis.smooth) and 0 < analysis.smooth <= 50):
        yield f"smooth: expected mm above 0, 50 at most, found {analysis.smooth:g}", None
    if analysis.volumes is not None and analysis.volumes < 1:
        yield f"volumes: expected 1 or more, found {analysis.volumes}", None
    if analysis.motion_terms and not analysis.realigns:
        yield f"motion_terms: {analysis.motion_terms} needs the head's pose", "set analysis.motion: true"
    for name in analysis.nuisance:
        if name != GLOBAL and name not in rois:
            yield _no_region(name, rois), f"name a mask under rois:, or say {GLOBAL}"
    if len(set(analysis.nuisance)) < len(analysis.nuisance):
        yield "nuisance: a region is named twice", None
    if not isinstance(analysis.activation, bool) and analysis.activation < 1:
        yield f"activation: expected true, or 1 volume or more, found {analysis.activation}", None
    if analysis.activation is not False and not set(rois) - set(analysis.nuisance):
        yield "activation: there is no region to work it out for", "name a mask under rois:"
    if analysis.despike and not set(rois) - set(analysis.nuisance):
        yield "despike: there is no region whose spikes could be dropped", "name a mask under rois:"
    if analysis.cleans and not analysis.contrasts and not set(rois) - set(analysis.nuisance):
        yield (
            f"{_cleaning(analysis)}: there is neither a region nor a contrast to apply it to",
            "name a mask under rois:",
        )
    for name, contrast in analysis.contrasts.items():
        if not _LABEL.fullmatch(name):
            yield f"contrasts: a name has letters and digits only, it is part of file names; found {name!r}", None
        if not contrast.strip():
            yield f"contrasts.{name}: expected a contrast such as 'face > scene', found nothing", None
        elif fault := _malformed(contrast, [*(analysis.conditions or ()), *rois]):
            yield f"contrasts.{name}: {fault}", None


def _malformed(contrast: str, names: list[str]) -> str | None:
    try:
        contrasts.check(contrast, names)
    except UsageFault as fault:
        return str(fault)
    return None


def _no_region(name: str, rois: list[str]) -> str:
    near = difflib.get_close_matches(name, [*rois, GLOBAL], n=1)
    return f"nuisance: no region {name!r}" + (
        f", did you mean {near[0]!r}?" if near else f"; rois: {', '.join(rois) or 'none'}"
    )


def _cleaning(analysis: Analysis) -> str:
    return "drift" if analysis.drift != "none" else "motion_terms" if analysis.motion_terms else "nuisance"


def without_length(analysis: Analysis) -> UsageFault:
    """Return what is to be raised where drift is to be taken out of a run, and nobody knows how long that is to be."""
    return UsageFault(
        f"drift: {analysis.drift} depends on the run's length, and neither events nor the source tell it",
        "set analysis.volumes, or give the events (--events)",
    )


def absolute(analysis: Analysis, folder: Path) -> Analysis:
    """Return the same with its reference's path relative to `folder` made absolute."""
    if isinstance(analysis.motion, Reference):
        return replace(analysis, motion=replace(analysis.motion, reference=(folder / analysis.motion.reference).resolve()))
    return analysis


def check_grid(analysis: Analysis | None, volume: Volume) -> None:
    """Raise BadData where volumes are to be realigned to an image on another grid; only its header is read."""
    motion = analysis.motion if analysis else False
    if not isinstance(motion, Reference) or motion.resample:
        return
    import nibabel

    try:
        image: Any = nibabel.load(motion.reference)
    except (OSError, nibabel.filebasedimages.ImageFileError) as error:
        raise BadData(f"{motion.reference}: the reference cannot be read ({error})") from None
    i, j, k = (*image.shape[:3], 1, 1, 1)[:3]
    own, grid = Grid((i, j, k), np.asarray(image.affine, np.float64)), Grid(volume.shape, volume.affine)
    if not own.same_as(grid):
        said = masks.grid(own.shape, own.affine), masks.grid(grid.shape, grid.affine)
        hint = "give a reference with the volumes' grid, or say resample: true beside it"
        raise BadData(f"{motion.reference}: the reference's grid is {said[0]}, the volumes' is {said[1]}", hint)


def to_json(analysis: Analysis | None) -> Mapping[str, Any] | None:
    """Return the keys as JSON has them."""
    if analysis is None:
        return None
    fields = asdict(analysis)
    if isinstance(analysis.motion, Reference):
        fields["motion"] = {**asdict(analysis.motion), "reference": str(analysis.motion.reference)}
    return fields


def from_json(fields: Mapping[str, Any] | None) -> Analysis | None:
    """Return what `to_json` gave."""
    return None if fields is None else config.read(Analysis, fields, "analysis")
