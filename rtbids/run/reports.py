"""Reports written beside a run that goes on: in a thread, one after another, at low priority."""

from __future__ import annotations

import logging
import os
import queue
import sys
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path

from rtbids.bids import entities as bids_entities
from rtbids.errors import RtbidsError
from rtbids.run import analysis_config, report
from rtbids.run.recipe import Recipe
from rtbids.volume import Entities

logger = logging.getLogger("rtbids")


class Reports:
    """Write the report of each run of the data set `study` that ends; `written` lists them."""

    def __init__(self, study: Path, recipes: Sequence[Recipe], warnings: Sequence[str], faults: Sequence[str]) -> None:
        self.written: list[Path] = []
        self._study = study
        self._recipes = recipes
        self._warnings = warnings
        self._faults = faults
        self._ended: queue.SimpleQueue[Entities | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._work, name="reports", daemon=True)
        self._thread.start()

    def write(self, entities: Entities) -> None:
        """Write the report of a run that has ended, as soon as its turn comes."""
        self._ended.put(entities)

    def close(self) -> None:
        """Wait until all are written."""
        self._ended.put(None)
        self._thread.join()

    def _work(self) -> None:
        if sys.platform == "linux":
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), 10)
        while (entities := self._ended.get()) is not None:
            path = destination(self._study, entities)
            try:
                report.write(
                    self._study,
                    entities,
                    path,
                    warnings=tuple(self._warnings),
                    faults=tuple(self._faults),
                    experiment=provenance(self._recipes),
                )
                self.written.append(path)
            except (RtbidsError, OSError) as error:
                logger.warning("the report of %s could not be written: %s", bids_entities.stem(entities), error)


def destination(study: Path, entities: Entities) -> Path:
    """Return where the report of a run stands."""
    return study / "derivatives" / "rtbids" / f"{bids_entities.stem(entities)}_report.html"


def provenance(recipes: Sequence[Recipe]) -> Mapping[str, object]:
    """Return what a report says of the experiment, or of each by its name where there are several."""
    if len(recipes) == 1:
        return _provenance(recipes[0])
    return {recipe.name: _provenance(recipe) for recipe in recipes}


def _provenance(recipe: Recipe) -> Mapping[str, object]:
    config = recipe.config
    return {
        "name": recipe.name,
        "script": recipe.script.name,
        "sha256": recipe.sha256(),
        "settings": dict(config.settings),
        "analysis": _analysis(recipe),
        "rois": {name: str(path) for name, path in config.rois.items()},
        "alternate": config.alternate,
        "backlog": config.backlog,
        "deadline": config.deadline,
    }


def _analysis(recipe: Recipe) -> Mapping[str, object] | str:
    """Return the keys that ask for something."""
    keys = analysis_config.to_json(recipe.config.analysis)
    if not keys:
        return "none"
    asked = {key: value for key, value in keys.items() if value not in (None, False, 0, "none", (), {})}
    return {key: ", ".join(value) if isinstance(value, tuple) else value for key, value in asked.items()}
