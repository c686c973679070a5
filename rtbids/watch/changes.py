"""How a folder tells that something changed: by events, or only when it is looked at."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import Protocol

LOOK_SECONDS = 0.2  # between two looks where looking is all there is
SAFETY_SECONDS = 2.0  # between two looks where events tell, for those that got lost


class Kind(enum.Enum):
    WHOLE = "a file was closed after writing or renamed into place"
    NAMED = "a name appeared with content: a link, or a file that is being written and has got so far"
    TOUCHED = "a file was made or written to, and nothing tells when it is closed"
    FOLDER = "a folder appeared"
    MOVED = "a folder was renamed or moved into place, with all that is in it"
    LOST = "events were lost: look at everything again"


@dataclass(frozen=True)
class Change:
    """One event; `source` is the old name where a file or folder was renamed inside the folder."""

    kind: Kind
    path: str
    source: str | None = None


class Changes(Protocol):
    """The changes of one folder and all below it.

    Attributes
    ----------
    mode
        How they are learnt, in words.
    interval
        Seconds between two looks of the caller's own.
    """

    mode: str
    interval: float

    def fileno(self) -> int | None:
        """Return what a ``select`` can wait for, None where nothing tells."""
        ...

    def enter(self, folder: str) -> None:
        """Take in `folder`, before it is listed, so that nothing falls in between. Entering it again does nothing."""
        ...

    def read(self) -> list[Change]:
        """Return the changes since the last call, in order, without waiting."""
        ...

    def close(self) -> None: ...


class Looking:
    """No events at all: the caller's looks are what finds the files."""

    interval = LOOK_SECONDS

    def __init__(self, reason: str) -> None:
        self.mode = f"polling every {self.interval:g} s ({reason})"

    def fileno(self) -> int | None:
        return None

    def enter(self, folder: str) -> None:
        pass

    def read(self) -> list[Change]:
        return []

    def close(self) -> None:
        pass
