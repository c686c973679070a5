"""How an outbox is worked on."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from rtbids.errors import UsageFault


@dataclass(frozen=True)
class Settings:
    """What the workers may do.

    ``rules`` is a digest of what decides how images are de-identified: the profile, the recipe and the key. What was made by
    other rules and has not left is made anew from the raw file. ``key`` is the fingerprint of the site's key: an outbox
    that began with one takes no other.

    ``raw`` says what becomes of raw files when every image of their batch has been received: they stay where they are, are
    deleted, or are moved to the folder ``archive``. Files that were spooled in the outbox are always deleted or moved.
    ``mark_failed`` renames a folder of which no image could be used to ``NAME.err``. ``watermark`` is the number of free bytes
    below which no new batch is taken in. An image that a destination does not take is given up after ``attempts`` tries that
    span ``age`` seconds at the least; a destination that is down does not count as a try. ``patience`` is how many seconds are
    waited, once the last batch was taken in, for destinations that do not answer (None: as long as it takes).
    """

    rules: str = ""
    key: str = ""
    raw: Literal["keep", "delete", "move"] = "keep"
    archive: Path | None = None
    mark_failed: bool = False
    workers: int = 2  # that de-identify
    processes: bool = False  # whether each of them is a process of its own
    group: int = 32  # images of one step
    attempts: int = 10
    age: float = 86400.0
    patience: float | None = None
    watermark: int = 1 << 30
    room: float | None = None  # seconds that room on the disk is waited for; None: as long as it takes
    metrics: int | None = None  # port on loopback; 0: any
    source: Path | None = None  # the folder that is watched, without links

    @property
    def ends(self) -> bool:
        """Whether the work ends with its source, and waits for nothing without end."""
        return self.room is not None

    def __post_init__(self) -> None:
        if self.raw == "move" and self.archive is None:
            raise UsageFault("raw files are to be moved, and it is not said where to")
