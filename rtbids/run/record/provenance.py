"""Where results come from, as their sidecars say it: the software, the run they were made of, and each experiment.

Of files only names and checksums are kept: a folder says who works where.
"""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import rtbids
from rtbids.bids import entities as bids_entities
from rtbids.bids import sidecar
from rtbids.errors import RtbidsError
from rtbids.run.recipe import analysis_config
from rtbids.run.recipe.recipe import Recipe
from rtbids.run.recipe.region import Region
from rtbids.volume import Entities

_ABSOLUTE = re.compile(r"(?<![\w.:/\\~-])/(?:[^\s/:'\"]+/)+([^\s/:'\"]*)")
_NOTHING: tuple[object, ...] = (None, False, 0, "none", (), {})


@dataclass(frozen=True)
class Said:
    """What a sidecar says: the version of rtbids that wrote it, and of each experiment by its name."""

    version: str | None = None
    experiments: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)


def of(recipe: Recipe) -> dict[str, Any]:
    """Return what identifies an experiment: its script, the settings and analysis that it runs with, its regions."""
    config = recipe.config
    about = {
        "Script": recipe.script.name,
        "SHA256": _sha256(recipe.script),
        "Settings": config.settings,
        "Analysis": _analysis(recipe),
        "Regions": {name: _region(region) for name, region in recipe.regions.items()},
        "Deadline": config.deadline if config.deadline is not None else "one repetition time where paced, else none",
        "Alternate": config.alternate,
        "Backlog": config.backlog,
    }
    return {key: _plain(value) for key, value in about.items()}


def changed_script(recipe: Recipe, about: Mapping[str, Any]) -> dict[str, str]:
    """Return the checksum that a script has now, where it is not the one that was recorded of it."""
    now = _sha256(recipe.script)
    return {"SHA256": now} if now is not None and now != about.get("SHA256") else {}


def signature(entities: Entities, *, with_events: bool) -> dict[str, Any]:
    """Return what the sidecar of every result of a run says; sources are BIDS URIs of the raw data set."""
    sources = [bids_entities.path(entities, "bold", ".nii.gz")]
    if with_events:
        shared = {entity: label for entity, label in entities.items() if entity not in ("echo", "part")}
        sources.append(bids_entities.path(shared, "events", ".tsv"))
    return {
        "GeneratedBy": [{"Name": "rtbids", "Version": rtbids.__version__}],
        "Sources": [f"bids:raw:{source}" for source in sources],
    }


def read(file: Path) -> Said:
    """Return what a sidecar says of experiments; nothing where it says nothing, or cannot be read."""
    try:
        fields = sidecar.read(file)
        version = fields["GeneratedBy"][0]["Version"]
    except (RtbidsError, OSError, ValueError, LookupError, TypeError):
        return Said()
    experiments = fields.get("Experiments")
    known = experiments if isinstance(experiments, dict) else {}
    return Said(str(version), {name: about for name, about in known.items() if isinstance(about, dict)})


def without_folders(text: str) -> str:
    """Replace absolute paths by their last part: folders say who works where, and a data set is shown around."""
    return _ABSOLUTE.sub(lambda match: match.group(1) or "…", text)


def _analysis(recipe: Recipe) -> Mapping[str, object] | str:
    """Return the keys that ask for something."""
    keys = analysis_config.to_json(recipe.config.analysis) or {}
    return {key: value for key, value in keys.items() if value not in _NOTHING} or "none"


def _region(region: Region) -> Mapping[str, object]:
    mask = {"File": region.mask.name, "SHA256": _sha256(region.mask)}
    weights = {"Weights": region.weights.name, "WeightsSHA256": _sha256(region.weights)} if region.weights else {}
    asked = {"Summary": region.summary, "Resampled": region.resample}
    return {**mask, **weights, **{key: value for key, value in asked.items() if value}}


def _sha256(file: Path) -> str | None:
    try:
        return hashlib.sha256(file.read_bytes()).hexdigest()
    except OSError:  # whoever needs it says so
        return None


def _plain(value: object) -> Any:
    """Return a value as JSON can hold it."""
    if isinstance(value, Mapping):
        return {str(key): _plain(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if value is None or isinstance(value, bool | int | float):
        return value
    is_path = isinstance(value, Path) or str(value).startswith("/")  # a folder may have a space in its name
    return Path(str(value)).name if is_path else without_folders(str(value))
