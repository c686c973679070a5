"""What waits until the script is free: the voxels of the latest volumes are held, older ones are read back from the archive.

Where there is none, they are held in memory, then on disk, as far as there is room.
"""

from __future__ import annotations

import logging
from collections import deque
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias

from rtbids.run.process.host import Heard, Past
from rtbids.run.process.overflow import OnDisk, Overflow
from rtbids.run.process.shared import Shared
from rtbids.volume import Entities

MOST_WAITING = 32  # volumes whose voxels are held for a script that is behind; older ones are read back from the archive
Item: TypeAlias = Shared | Past | Heard | Entities  # the latter of a run that is to end

logger = logging.getLogger("rtbids")


@dataclass(frozen=True)
class Room:
    """What may wait for one script of volumes that are archived nowhere: bytes of memory, then of disk, in `folder`.

    When that is full the source is held (``block``), or the oldest are dropped.
    """

    memory: int = 512 * 2**20
    disk: int = 0
    folder: Path | None = None
    when_full: Literal["block", "drop"] = "drop"


ROOM = Room()


class Waiting(deque[Item]):
    """What waits for the experiment `name`, in order."""

    def __init__(self, name: str, room: Room) -> None:
        super().__init__()
        self._name = name
        self._room = room
        self._overflow = Overflow(room.disk, room.folder)
        self._held = 0  # bytes in memory of volumes that are archived nowhere
        self._lost = 0

    @property
    def has_volumes(self) -> bool:
        """Whether there is a volume whose voxels are held."""
        return any(isinstance(item, Shared) for item in self)

    @property
    def is_full(self) -> bool:
        """Whether no more may come."""
        return self._room.when_full == "block" and self._held > self._room.memory

    def add(self, shared: Shared) -> None:
        """Let a volume wait."""
        self.append(shared)
        self._held += _in_memory(shared)

    def let_go(self) -> None:
        """Let go of the voxels of what still waits: of a volume that is not among the latest any more, and of too many."""
        place = len(self) - MOST_WAITING - 1
        held = self[place] if place >= 0 else None
        if isinstance(held, Shared) and held.where.file is not None:
            self[place] = Past(held.volume.entities, held.volume.index, ask=held.ask)
        while self._held > self._room.memory and (self._is_on_disk() or self._drops()):
            pass

    def next(self) -> Item | None:
        """Take what is first; None for a volume that cannot be read any more."""
        item = self.popleft()
        if isinstance(item, OnDisk):
            return self._overflow.back(item)
        self._held -= _in_memory(item)
        return item

    def all(self) -> list[Item]:
        """Take all there is, volumes without their voxels."""
        items = list(self)
        for item in items:
            if isinstance(item, OnDisk):
                self._overflow.forget(item)
        self.clear()
        self._held = 0
        return items

    def close(self) -> None:
        """Say how many volumes were lost."""
        if self._lost > 1:
            logger.warning("%s: its analysis lacks %d volumes", self._name, self._lost)

    def _is_on_disk(self) -> bool:
        """Bring the latest to disk; say whether that was possible."""
        latest = self[-1]
        if not _in_memory(latest) or not isinstance(latest, Shared) or (there := self._overflow.put(latest)) is None:
            return False
        self[-1] = there
        self._held -= there.volume.data.nbytes
        return True

    def _drops(self) -> bool:
        """Drop the oldest of several; say whether there were any, and they may be dropped."""
        kept_nowhere = [item for item in self if isinstance(item, Shared) and item.where.file is None]
        if self._room.when_full == "block" or len(kept_nowhere) < 2:
            return False
        oldest = kept_nowhere[0]
        self.remove(oldest)
        self._held -= _in_memory(oldest)
        if isinstance(oldest, OnDisk):
            self._overflow.forget(oldest)
        self._lost += 1
        if self._lost == 1:
            logger.warning(
                "%s is so far behind that its analysis lacks volume %d and more: with --bids-dir or --spool-disk it would not",
                self._name,
                oldest.volume.index,
            )
        return True


def _in_memory(item: Item) -> int:
    """Return the bytes of a volume that is held in memory alone."""
    if not isinstance(item, Shared) or isinstance(item, OnDisk) or item.where.file is not None:
        return 0
    return item.volume.data.nbytes
