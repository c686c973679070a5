"""Reports written beside a run that goes on: in a thread, one after another, at low priority."""

from __future__ import annotations

import logging
import queue
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Self

from rtbids.bids import entities as bids_entities
from rtbids.errors import RtbidsError, Stopped, internal_fault
from rtbids.priority import give_way
from rtbids.run.recipe.recipe import Recipe
from rtbids.run.report import report
from rtbids.threads import Answerable
from rtbids.volume import Entities

logger = logging.getLogger("rtbids")


class Reports:
    """Write the report of each run of the data set `study` that ends; `written` lists them.

    What `warnings` and `faults` grow by afterwards is still to be in a report: then the last is written anew at the end.
    """

    def __init__(self, study: Path, recipes: Sequence[Recipe], warnings: Sequence[str], faults: Sequence[str]) -> None:
        self.written: list[Path] = []
        self._study = study
        self._recipes = recipes
        self._warnings = warnings
        self._faults = faults
        self._told = 0  # warnings and faults in the latest report
        self._ended: queue.SimpleQueue[Entities | None] = queue.SimpleQueue()
        self._fault: Exception | None = None
        self._thread = Answerable(self._work, "reports", "the runs are whole in the data set")
        self._thread.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if not isinstance(error, Stopped):  # who says stop twice does not wait
            self.close()

    def write(self, entities: Entities) -> None:
        """Write the report of a run that has ended, as soon as its turn comes."""
        self._ended.put(entities)

    def close(self) -> None:
        """Wait until all are written; called when nothing more can be amiss with the runs; raise what was amiss."""
        self._ended.put(None)
        self._thread.join()

    def _work(self) -> None:
        give_way()
        latest: Entities | None = None
        while (entities := self._ended.get()) is not None:
            latest = entities
            self._report(entities)
        if latest is not None and destination(self._study, latest) in self.written and self._lines() > self._told:
            self._report(latest)
        if self._fault is not None:
            raise self._fault

    def _lines(self) -> int:
        return len(self._warnings) + len(self._faults)

    def _report(self, entities: Entities) -> None:
        path = destination(self._study, entities)
        self._told = self._lines()
        try:
            report.write(
                self._study,
                entities,
                path,
                warnings=tuple(self._warnings),
                faults=tuple(self._faults),
                experiment=masks(self._recipes),
            )
        except (RtbidsError, OSError) as error:
            logger.warning("the report of %s could not be written: %s", bids_entities.stem(entities), error)
            return
        except Exception as error:  # costs this report and no other
            logger.warning("the report of %s could not be written: %s", bids_entities.stem(entities), internal_fault(error))
            self._fault = self._fault or error
            return
        if path not in self.written:
            self.written.append(path)


def destination(study: Path, entities: Entities) -> Path:
    """Return where the report of a run stands."""
    return study / "derivatives" / "rtbids" / f"{bids_entities.stem(entities)}_report.html"


def masks(recipes: Sequence[Recipe]) -> Mapping[str, object]:
    """Return the regions whose outlines a report draws; what is known of the experiments is in the sidecars."""
    every = [(recipe, name, region) for recipe in recipes for name, region in recipe.regions.items()]
    regions = [(recipe, name, region.mask) for recipe, name, region in every if not region.resample]  # on the volumes' grid
    twice = {name for name, count in Counter(name for _, name, _ in regions).items() if count > 1}
    return {"rois": {f"{recipe.name} {name}" if name in twice else name: path for recipe, name, path in regions}}
