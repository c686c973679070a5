"""What waits until the script is free: the voxels of the latest volumes are held, older ones are read back."""

from __future__ import annotations

import logging
from collections import deque
from typing import TypeAlias

from rtbids.run.process.host import Heard, Past
from rtbids.run.process.shared import Shared
from rtbids.volume import Entities

MOST_WAITING = 32  # volumes whose voxels are held for a script that is behind; older ones are read back from the archive
MOST_HELD = 512 * 2**20  # bytes of voxels that are held where there is no archive
Item: TypeAlias = Shared | Past | Heard | Entities  # the latter of a run that is to end

logger = logging.getLogger("rtbids")


class Waiting(deque[Item]):
    """What waits for the experiment `name`, in order."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self._name = name
        self._lost = 0

    @property
    def has_volumes(self) -> bool:
        """Whether there is a volume whose voxels are held."""
        return any(isinstance(item, Shared) for item in self)

    def let_go(self) -> None:
        """Let go of the voxels of a volume that has waited for long. One that is archived nowhere stays while that goes."""
        place = len(self) - MOST_WAITING - 1
        held = self[place] if place >= 0 else None
        if not isinstance(held, Shared):
            return
        if held.where.file is not None:
            self[place] = Past(held.volume.entities, held.volume.index, ask=held.ask)
        elif (place + 1) * held.volume.data.nbytes > MOST_HELD:
            self._lose(next(item for item in self if isinstance(item, Shared)))

    def _lose(self, oldest: Shared) -> None:
        self.remove(oldest)
        self._lost += 1
        if self._lost == 1:
            logger.warning(
                "%s is so far behind that its analysis lacks volume %d and more: with --bids-dir it would not",
                self._name,
                oldest.volume.index,
            )
