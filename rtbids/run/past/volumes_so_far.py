"""The volumes of a run that is under way: the latest ones from memory, what is on the disk from there."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from rtbids.bids import entities as bids_entities
from rtbids.convert.stored import Stored
from rtbids.errors import BadData, UsageFault
from rtbids.run.past.volumes import Volumes
from rtbids.run.past.where import NOWHERE, Where
from rtbids.volume import Entities, Volume

MOST_HELD = 32  # volumes of a run that is archived nowhere


class VolumesSoFar:
    """Holds what is not in the archive yet, and no more; what is, is read from there when somebody asks.

    Where the run is not archived the latest 32 volumes are held, and older ones read from the data set that it is replayed
    from, if it is.
    """

    def __init__(self, entities: Entities) -> None:
        self._name = bids_entities.stem(entities) or "this run"
        self._indices: list[int] = []
        self._places: dict[int, int] = {}
        self._held: dict[int, Volume] = {}
        self._like: Volume | None = None
        self._where = NOWHERE
        self._stored: Stored | None = None
        self._source: Volumes | None = None

    @property
    def volumes(self) -> Volumes:
        """Those up to the current one."""
        return Volumes(self._name, self._indices, self._read)

    def add(self, volume: Volume, where: Where) -> None:
        """Take the next volume, and let go of what is in the archive."""
        self._where, self._like = where, replace(volume, times={}, receipts=())
        self._indices.append(volume.index)
        self._places[volume.index] = where.place
        self._held[volume.index] = self._like
        for index in self._dispensable():
            del self._held[index]

    def _dispensable(self) -> list[int]:
        held = list(self._held)
        if self._where.file is None:
            return held[:-MOST_HELD]
        return [index for index in held[:-1] if index <= self._where.written]

    def _read(self, index: int) -> Volume:
        assert self._like is not None
        if index in self._held:
            return self._as_now(self._held[index])
        if self._where.file is not None:
            return self._as_now(self._archived(self._where.file, index))
        if self._where.source is not None:
            return self._as_now(self._replayed(self._where.source)[index])
        raise UsageFault(
            f"{self._name}: volume {index} is no longer in memory, which holds the latest {MOST_HELD}: run with --bids-dir"
        )

    def _archived(self, file: str, index: int) -> Volume:
        self._stored = self._stored or Stored(Path(file))
        assert self._like is not None
        return replace(self._like, data=self._stored.read(self._places[index]), index=index)

    def _replayed(self, file: str) -> Volumes:
        from rtbids.run.past import earlier_run

        if self._source is None:
            self._source = earlier_run.volumes_of(earlier_run.run_of(Path(file)))
        return self._source

    def _as_now(self, volume: Volume) -> Volume:
        """Return a volume with what is known of the run by now: the same wherever it was read."""
        like = self._like
        assert like is not None
        if volume.data.shape != like.data.shape or not np.array_equal(volume.affine, like.affine):
            raise BadData(f"{self._name}, volume {volume.index}: its file was changed during the run")
        return replace(like, data=volume.data, index=volume.index)
