"""The images of a run for its report: its mean with the outlines of masks, and its maps."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TypeVar

import numpy as np
from nibabel.filebasedimages import ImageFileError
from numpy.typing import NDArray

from rtbids.bids import entities as bids_entities
from rtbids.errors import RtbidsError
from rtbids.run.report.figures import map_pictures
from rtbids.run.report.figures.map_pictures import MapFound
from rtbids.run.report.figures.pictures import Mean, Slice, mask_of, mean_volume, slices
from rtbids.run.report.run_tables import DERIVATIVE

Source = TypeVar("Source")
Result = TypeVar("Result")


def attempt(read_one: Callable[[Source], Result], source: Source | None, troubles: list[str]) -> Result | None:
    """Return what `read_one` makes of `source`; None where there is none, or where it cannot be read, which is noted."""
    if source is None:
        return None
    try:
        return read_one(source)
    except (RtbidsError, OSError, ValueError, ImageFileError) as error:
        troubles.append(str(error))
        return None


def bold(study: Path, entities: Mapping[str, str]) -> Path | None:
    """Return the run's 4-D file, compressed or still growing."""
    candidates = (study / bids_entities.path(entities, "bold", extension) for extension in (".nii.gz", ".nii"))
    return next((file for file in candidates if file.is_file()), None)


def mean(file: Path | None, troubles: list[str]) -> Mean | None:
    """Return the mean volume; that it is of fewer volumes than promised is noted."""
    found = attempt(mean_volume, file, troubles)
    if found and found.count < found.promised:
        troubles.append(f"the 4-D file promises {found.promised} volumes and holds {found.count}")
    return found


def brain(experiment: Mapping[str, object], mean: Mean | None, troubles: list[str]) -> tuple[Slice, ...]:
    """Return slices of the mean volume with the outlines of the experiment's regions."""

    def drawn(mean: Mean) -> tuple[Slice, ...]:
        return tuple(slices(mean, _masks(experiment, mean, troubles)))

    return attempt(drawn, mean, troubles) or ()


def map_files(study: Path, entities: Mapping[str, str]) -> dict[str, Path]:
    """Return the t-maps of a run by contrast."""
    head, tail = f"{bids_entities.stem(entities)}_contrast-", "_stat-t_statmap.nii.gz"
    files = sorted((study / DERIVATIVE / bids_entities.folder(entities)).glob(f"{head}*{tail}"))
    return {file.name[len(head) : -len(tail)]: file for file in files}


def maps(files: Mapping[str, Path], mean: Mean | None, troubles: list[str]) -> tuple[MapFound, ...]:
    """Return what a report says of each map that can be read; without a mean there is nothing to lay it over."""
    if mean is None:
        return ()
    found = [attempt(_on(mean, contrast), file, troubles) for contrast, file in files.items()]
    return tuple(one for one in found if one is not None)


def _on(mean: Mean, contrast: str) -> Callable[[Path], MapFound]:
    return lambda file: map_pictures.read(file, contrast, mean)


def _masks(experiment: Mapping[str, object], mean: Mean, troubles: list[str]) -> dict[str, NDArray[np.bool_]]:
    masks = {}
    for name, path in _rois(experiment).items():
        mask = attempt(lambda file: mask_of(file, mean), Path(str(path)), troubles)
        if mask is not None:
            masks[name] = mask
    return masks


def _rois(experiment: Mapping[str, object]) -> dict[str, object]:
    """Return the masks of the experiment, or of each where there are several."""
    found: dict[str, object] = {}
    for part in (experiment, *experiment.values()):
        rois = part.get("rois") if isinstance(part, Mapping) else None
        if isinstance(rois, Mapping):
            found.update(rois)
    return found
