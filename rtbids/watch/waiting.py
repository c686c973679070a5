"""A file that is waited for: as it was found, since when, and what it holds where only its zeros speak against it."""

from __future__ import annotations

from dataclasses import dataclass

from rtbids.convert import functional
from rtbids.convert.dicom import Instance
from rtbids.convert.stack import MALFORMED
from rtbids.watch.faults import Fault
from rtbids.watch.looks import Look
from rtbids.watch.zeros import Ending

_PART = 0.8  # of the patience with a file: a held image leaves before its run is over for lack of it


@dataclass(frozen=True, eq=False)
class Held:
    """An image as it was read, and how it ends."""

    instance: Instance
    end: Ending

    @property
    def is_half_volume(self) -> bool:
        """Say whether this is a volume of a functional series of which slices at the end are all zero."""
        try:
            return not self.end.alone and functional.is_functional(self.instance.dataset)
        except MALFORMED:
            return True


@dataclass(frozen=True)
class Waiting:
    """A file that is not whole yet, as it was `since` (POSIX seconds), and what is said of it if it stays so."""

    look: Look | None
    since: float
    fault: Fault
    text: str
    held: Held | None = None

    def until(self, patience: float) -> float:
        """Return when patience (seconds) with it ends."""
        return self.since + patience * (_PART if self.may_be_whole else 1.0)

    @property
    def may_be_whole(self) -> bool:
        return self.held is not None and not self.held.is_half_volume
