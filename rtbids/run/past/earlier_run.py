"""A run of the data set that was acquired before the one that a script is in: read only, and only what is asked for."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from itertools import islice
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rtbids.bids import dataset, sidecar
from rtbids.bids import entities as bids_entities
from rtbids.bids import events as bids_events
from rtbids.bids.events import Events
from rtbids.convert import bids
from rtbids.convert.stored import Stored
from rtbids.errors import BadData, InputMissing
from rtbids.run.past import confined
from rtbids.run.past.earlier_table import EarlierTable
from rtbids.run.past.sent import Sent
from rtbids.run.past.volumes import Volumes
from rtbids.run.record.record import EARLIER
from rtbids.run.responses import responses
from rtbids.run.responses.responses import Response
from rtbids.volume import Volume, volume_of


class EarlierRun:
    """What a run left behind. Whatever is missing or cannot be read is an error that names the file, when it is asked for.

    Attributes
    ----------
    entities
        ``{"subject": "01", "session": "01", "task": "nf", "run": "01"}``, labels as in the file's name.
    """

    def __init__(self, run: dataset.Run) -> None:
        self.entities: Mapping[str, str] = MappingProxyType(dict(run.entities))
        self._run = run

    def __repr__(self) -> str:
        return f"<{self.name}>"

    @property
    def name(self) -> str:
        """Such as ``sub-01_ses-01_task-nf_run-01``."""
        return bids_entities.stem(self.entities)

    @cached_property
    def metadata(self) -> Mapping[str, Any]:
        """What its sidecars say (seconds)."""
        return MappingProxyType(bids.described(self._run)[0])

    @property
    def repetition_time(self) -> float:
        """Seconds."""
        return bids.repetition_time_of(self.metadata, self._run.file)

    @property
    def events(self) -> Events:
        """The events, without those that came in during the run; none where it has no table of them."""
        return bids_events.read(self._events[0], f"the events of {self.name}") if self._events[0] else Events()

    @property
    def responses(self) -> tuple[Response, ...]:
        """What came in during the run, such as button presses."""
        return tuple(self._events[1])

    @cached_property
    def volumes(self) -> Volumes:
        """Its volumes, each read when it is asked for; those of a compressed file are best taken in order."""
        confined.within(self._run.root, self._run.file)
        return volumes_of(self._run)

    def feedback(self, experiment: str | None = None) -> tuple[Sent, ...]:
        """Return the feedback that left, in order; of several experiments that of the one named."""
        from rtbids.run.report import run_tables

        troubles: list[str] = []
        found = list(run_tables.answers(self._table("feedback"), troubles))
        names = dict.fromkeys(answer.experiment for answer in found)
        if (experiment is None and len(names) > 1) or (experiment is not None and experiment not in names):
            said = f"of {experiment!r}" if experiment else "of which experiment?"
            raise InputMissing(f"{self.name}: the feedback {said}; there is that of: {', '.join(names) or 'none'}")
        return tuple(Sent(each.volume, each.value, each.status) for each in found if experiment in (None, each.experiment))

    @property
    def motion(self) -> EarlierTable:
        """The table of motion, as in ``run.motion["framewise_displacement"]``."""
        return self.table("motion")

    @property
    def quality(self) -> EarlierTable:
        """The table of quality."""
        return self.table("quality")

    def table(self, name: str) -> EarlierTable:
        """Return another table with one row a volume: ``design``, ``latency``."""
        return EarlierTable.read(self._table(name), self.volumes.indices)

    @property
    def contrasts(self) -> tuple[str, ...]:
        """The contrasts that it has maps of."""
        head, tail = f"{self.name}_contrast-", "_stat-t_statmap.nii.gz"
        found = sorted(file.name for file in self._derivatives.glob(f"{head}*{tail}"))
        return tuple(name[len(head) : -len(tail)] for name in found)

    def t(self, contrast: str) -> NDArray[np.float32]:
        """Return the t-map of a contrast (i, j, k), NaN outside the brain."""
        return self._map(contrast, "t")

    def effect(self, contrast: str) -> NDArray[np.float32]:
        """Return the map of a contrast's weighted sum of betas (i, j, k), NaN outside the brain."""
        return self._map(contrast, "effect")

    @cached_property
    def _events(self) -> tuple[str | None, tuple[Response, ...]]:
        text = bids.events_of(self._run)
        return responses.split(text) if text else (None, ())

    @property
    def _derivatives(self) -> Path:
        return self._run.root / "derivatives" / "rtbids" / bids_entities.folder(self.entities)

    def _table(self, name: str) -> Path:
        path = self._derivatives / f"{self.name}_desc-{name}_timeseries.tsv"
        return confined.existing(self._run.root, path, f"{self.name} has no table of {name}")

    def _map(self, contrast: str, statistic: str) -> NDArray[np.float32]:
        if contrast not in self.contrasts:
            known = ", ".join(self.contrasts) or "none"
            raise InputMissing(f"{self.name} has no map of the contrast {contrast!r}; there are: {known}")
        path = self._derivatives / f"{self.name}_contrast-{contrast}_stat-{statistic}_statmap.nii.gz"
        return Stored(confined.within(self._run.root, path)).read(0)


def volumes_of(run: dataset.Run) -> Volumes:
    """Return the volumes of a run, each read when it is asked for."""
    metadata, missing = bids.described(run)
    stored, events = Stored(run.file), bids.events_of(run)
    indices = list(islice(bids.indices(missing), stored.count))
    places = {index: place for place, index in enumerate(indices)}

    def read(index: int) -> Volume:
        data, header = stored.read(places[index]), stored.header
        scale = header.slope, header.inter
        return volume_of(data, header.affine, run.entities, metadata, index, slope=scale[0], inter=scale[1], events=events)

    return Volumes(bids_entities.stem(run.entities), indices, read)


def run_of(file: Path) -> dataset.Run:
    """Return the run of a 4-D file in a data set."""
    return dataset.Run(dataset.root_of(file), file, bids_entities.parse(file.name)[0])


def there_before(root: Path, entities: Mapping[str, str]) -> list[str] | None:
    """Return the names of the runs of its subject that were there when a run of `rtbids run` began; None where none tells."""
    path = root / "derivatives" / "rtbids" / bids_entities.path({**entities, "description": "latency"}, "timeseries", ".json")
    if not path.is_file():
        return None
    try:
        found = sidecar.read(path).get(EARLIER)
    except OSError as error:
        raise BadData(f"cannot read {path}: {error.strerror or error}") from None
    return [name for name in found if isinstance(name, str)] if isinstance(found, list) else None
