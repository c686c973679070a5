"""Reports written beside a run that goes on: in a thread, one after another, at low priority."""

from __future__ import annotations

import logging
import os
import queue
import sys
import threading
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

from rtbids.bids import entities as bids_entities
from rtbids.errors import RtbidsError
from rtbids.run import report
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
                    experiment=masks(self._recipes),
                )
                self.written.append(path)
            except (RtbidsError, OSError) as error:
                logger.warning("the report of %s could not be written: %s", bids_entities.stem(entities), error)


def destination(study: Path, entities: Entities) -> Path:
    """Return where the report of a run stands."""
    return study / "derivatives" / "rtbids" / f"{bids_entities.stem(entities)}_report.html"


def masks(recipes: Sequence[Recipe]) -> Mapping[str, object]:
    """Return the regions whose outlines a report draws; what is known of the experiments is in the sidecars."""
    every = [(recipe, name, region) for recipe in recipes for name, region in recipe.regions.items()]
    regions = [(recipe, name, region.mask) for recipe, name, region in every if not region.resample]  # on the volumes' grid
    twice = {name for name, count in Counter(name for _, name, _ in regions).items() if count > 1}
    return {"rois": {f"{recipe.name} {name}" if name in twice else name: path for recipe, name, path in regions}}
