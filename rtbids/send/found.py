"""One finished batch, as those who watch hand it over."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Found:
    """The files of one folder or series that is finished.

    ``label`` is the folder's name or what the series is called; it may identify, is kept only until the batch is DONE, and
    never logged. ``spooled`` files are ours: they lie in the outbox's own folder and go when they have been received.
    ``broken`` are files that will never be an image (incomplete beyond the time-out, foreign), each with the reason.
    """

    label: str
    root: Path
    files: tuple[Path, ...]
    spooled: bool = False
    broken: tuple[tuple[Path, str], ...] = ()
    renamed_from: Path | None = None  # the folder that it was when it was taken in before
