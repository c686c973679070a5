"""Whether the place where raw files were found is there: a share that is away for a while brings its files back."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from rtbids.send.claims import Raw

GONE = "its file is gone"
AWAY = "the source cannot be reached: its images wait until it is back"
GRACE = 30.0  # seconds in which a folder that is not there may be found under another name
AGAIN = 5.0  # seconds until the next look for it
AWAY_LONGEST = 30.0  # seconds between two looks for a source that is away


@dataclass(frozen=True)
class Reach:
    """The folder that is watched, and the file system that it was on: where a share is away, its mount point may be there."""

    source: Path | None = None
    device: int | None = None

    @classmethod
    def of(cls, source: Path | None) -> Reach:
        """Look at a source as it is now."""
        return cls() if source is None else cls(source, _device(source))

    def has(self, raw: Raw) -> bool:
        """Say whether the place of a raw file can be reached, the file itself or not."""
        if self.source is None or not raw.root.is_relative_to(self.source):
            return _device(raw.root.parent) is not None
        return (found := _device(self.source)) is not None and self.device in (None, found)


def _device(folder: Path) -> int | None:
    try:
        return folder.stat().st_dev
    except OSError:
        return None
