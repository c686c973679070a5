"""What EXPERIMENT on the command line names: a script, the config beside it, and what ``--set`` changed."""

from __future__ import annotations

import difflib
import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

import rtbids.sample_experiments
from rtbids import config
from rtbids.errors import InputMissing, UsageFault
from rtbids.run.recipe import analysis_config, memory, region
from rtbids.run.recipe.analysis_config import Analysis
from rtbids.run.recipe.region import Region

SCRIPT = "experiment.py"
CONFIGS = ("config.yaml", "config.yml", "config.toml")
PATHS = ("mask", "weights")  # keys of a region


@dataclass(frozen=True)
class Config:
    """The keys of ``config.yaml``.

    Attributes
    ----------
    rois
        Region name → mask (NIfTI on the volumes' grid), relative to the experiment's folder; or keys and values, see `Region`.
    events
        An ``events.tsv``, relative to the experiment's folder; a replayed run brings its own.
    analysis
        What is worked out of every volume before the script is asked; see `Analysis`.
    deadline
        Seconds after a volume's last byte; without it one TR.
    alternate
        What goes out when an answer is not there in time: ``last``, ``none`` (null) or a number.
    backlog
        What a script that was slow is given next: ``skip`` to the newest volume, or ``all`` of them.
    memory
        How much memory the script may take, such as ``4 GB``; more is a MemoryError in it. By default three quarters of what
        the machine has.
    settings
        The script's own, typed by its dataclass ``Settings``.
    """

    rois: dict[str, Path | Region] = field(default_factory=dict)
    events: Path | None = None
    analysis: Analysis | None = None
    deadline: float | None = None
    alternate: Literal["last", "none"] | float = "last"
    backlog: Literal["skip", "all"] = "skip"
    memory: str | None = None
    settings: dict[str, object] = field(default_factory=dict)


@dataclass(frozen=True)
class Recipe:
    """An experiment, found and configured but not yet run. Paths are absolute.

    Attributes
    ----------
    events
        The table of events that its runs have for certain, None where the source may bring others.
    """

    name: str
    script: Path
    config: Config
    config_file: Path | None
    events: Path | None = None

    @property
    def memory(self) -> int:
        """How many bytes the script may take."""
        return memory.size(self.config.memory) if self.config.memory else memory.most()

    @property
    def regions(self) -> Mapping[str, Region]:
        """The regions by name, whichever way the config says them."""
        return {name: region.of(entry) for name, entry in self.config.rois.items()}

    def sha256(self) -> str:
        """Return the script's identity, for provenance."""
        return hashlib.sha256(self.script.read_bytes()).hexdigest()


def samples() -> list[str]:
    """Return the names of the installed samples."""
    return sorted(place.parent.name for place in _samples_folder().glob(f"*/{SCRIPT}"))


def read(experiment: str, assignments: Sequence[str] = ()) -> Recipe:
    """Find `experiment` (a folder, a script, or a sample's name) and read the config beside it.

    `assignments` are ``key=value``: a key of ``settings``, or a dotted one such as ``rois.target=mask.nii`` whose path is
    relative to the working directory.
    """
    script = _find(experiment)
    config_file = config_beside(script)
    fields: Mapping[str, object] = config.load(config_file) if config_file else {}
    where = str(config_file or script)
    known = fields.get("rois")
    for assignment in assignments:
        fields = _assign(fields, assignment, known)
    settings = config.read(Config, fields, where)
    if settings.deadline is not None and not settings.deadline > 0:
        raise UsageFault(f"{where}: deadline: expected seconds above 0, found {settings.deadline:g}")
    if isinstance(settings.alternate, float) and not math.isfinite(settings.alternate):
        raise UsageFault(f"{where}: alternate: expected last, none or a number, found {settings.alternate:g}")
    if settings.memory is not None:
        memory.size(settings.memory, f"{where}: memory")
    if settings.analysis is not None:
        analysis_config.check(settings.analysis, settings.rois, where)
    return Recipe(_name(script), script, _absolute(settings, script.parent), config_file)


def config_beside(script: Path) -> Path | None:
    """Return the config of a script, if it has one."""
    return next((script.parent / name for name in CONFIGS if (script.parent / name).is_file()), None)


def name_of(experiment: str) -> str:
    """Return the name that `experiment` goes by."""
    return _name(_find(experiment))


def _find(experiment: str) -> Path:
    path = Path(experiment)
    candidates = [path] if path.suffix == ".py" else [path / SCRIPT, _samples_folder() / experiment / SCRIPT]
    for candidate in candidates:
        if candidate.is_file() and experiment:
            return candidate.resolve()
    if path.is_dir():
        raise InputMissing(f"{experiment}: the folder has no {SCRIPT}", "name the script itself, or start from a sample")
    raise InputMissing(
        f"{experiment}: no such experiment",
        f"give a folder with an {SCRIPT}, a script, or a sample: {', '.join(samples())}",
    )


def _samples_folder() -> Path:
    return Path(next(iter(rtbids.sample_experiments.__path__)))


def _name(script: Path) -> str:
    return script.parent.name if script.name == SCRIPT else script.stem


def _assign(fields: Mapping[str, object], assignment: str, rois: object) -> Mapping[str, object]:
    key, equals, value = assignment.partition("=")
    if not equals or not key:
        raise UsageFault(f"--set takes key=value, found {assignment!r}", "for example --set baseline=rest")
    top, _, name = key.partition(".")
    if top == "rois":
        name, _, part = name.partition(".")
        _check_roi(name, rois)
        fields, part = _with_keys(fields, name, part)
        key = f"rois.{name}.{part}"
    if top == "events" or (top == "rois" and part in PATHS):
        value = json.dumps(str(Path(value).resolve()))  # quoted: a path is not to be read as YAML
    elif top not in Config.__dataclass_fields__:
        key = f"settings.{key}"
    return config.assign(fields, f"{key}={value}")


def _with_keys(fields: Mapping[str, object], name: str, part: str) -> tuple[Mapping[str, object], str]:
    """Return the config with a region in keys and values, and which of them is meant: without a name the mask."""
    rois = fields.get("rois")
    known = rois if isinstance(rois, Mapping) else {}
    entry = known.get(name)
    keys = entry if isinstance(entry, Mapping) else {} if entry is None else {"mask": entry}
    return {**fields, "rois": {**known, name: keys}}, part or "mask"


def _check_roi(name: str, known: object) -> None:
    """Refuse a region that the config does not have, where it has some: the script would never ask for it."""
    if isinstance(known, Mapping) and known and name not in known:
        close = difflib.get_close_matches(name, list(known), n=1)
        raise UsageFault(
            f"--set rois.{name}: the config has no such region" + (f", did you mean {close[0]!r}?" if close else ""),
            f"its regions: {', '.join(known)}",
        )


def _absolute(settings: Config, folder: Path) -> Config:
    rois: dict[str, Path | Region] = {name: region.of(entry).absolute(folder) for name, entry in settings.rois.items()}
    events = (folder / settings.events).resolve() if settings.events else None
    analysis = analysis_config.absolute(settings.analysis, folder) if settings.analysis else None
    return replace(settings, rois=rois, events=events, analysis=analysis)
