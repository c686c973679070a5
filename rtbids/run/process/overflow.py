"""Volumes that wait for a script and are kept nowhere else: their voxels on disk, where memory is full.

They are written as the system's cache takes them and never flushed: nobody waits for the disk itself.
"""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path

import numpy as np

from rtbids.run.process.shared import Shared
from rtbids.stream.link.disk import Disk, Extents
from rtbids.volume import voxels

logger = logging.getLogger("rtbids")


class OnDisk(Shared):
    """A volume whose voxels are at `place`; those that it has meanwhile are zeros that take no memory."""

    def __init__(self, shared: Shared, place: int) -> None:
        data = shared.volume.data
        zeros = np.broadcast_to(np.zeros((), data.dtype), data.shape)
        super().__init__(replace(shared.volume, data=zeros), ask=shared.ask, where=shared.where)
        self.place = place


class Overflow:
    """At most `most` bytes, in a file without a name in `folder`, which is made 0700 where it is not there."""

    def __init__(self, most: int, folder: Path | None) -> None:
        self._extents = Extents(most if folder else 0)
        self._disk = Disk(folder) if folder else None

    def put(self, shared: Shared) -> OnDisk | None:
        """Return a volume as it is on disk; None where there is no room, or the disk refuses."""
        place = self._extents.take(shared.volume.data.nbytes)
        if place is None or self._disk is None:
            return None
        try:
            self._disk.write(place, [voxels(shared.volume)])
        except OSError as error:
            self._extents.give_back(place, shared.volume.data.nbytes)
            logger.warning("the disk for what waits for a script takes no more: %s", error.strerror or error)
            return None
        return OnDisk(shared, place)

    def back(self, there: OnDisk) -> Shared | None:
        """Return a volume as it was; None where its voxels cannot be read."""
        volume = there.volume
        assert self._disk is not None, "it was put there"
        try:
            content = self._disk.read(there.place, volume.data.nbytes)
        except OSError as error:
            logger.warning("volume %d, which waited for a script on disk, cannot be read: %s", volume.index, error)
            return None
        finally:
            self.forget(there)
        data = np.frombuffer(content.toreadonly(), volume.data.dtype).reshape(volume.data.shape, order="F")
        return Shared(replace(volume, data=data), ask=there.ask, where=there.where)

    def forget(self, there: OnDisk) -> None:
        self._extents.give_back(there.place, there.volume.data.nbytes)
