"""What became of the files of a de-identification, and what is said of it at the end."""

from __future__ import annotations

from dataclasses import dataclass, field

from rtbids.cli import console
from rtbids.errors import BadData, InputMissing
from rtbids.plural import counted

_ABOVE = "why is said above, file by file"


@dataclass
class Tally:
    """What became of the files."""

    written: int = 0
    copies: int = 0
    refused: int = 0
    skipped: int = 0
    survived: int = 0
    unreadable: int = 0
    bad: int = 0
    faults: int = 0  # of ours, among the bad
    folders: int = 0  # that cannot be listed: nobody knows what is in them
    remarks: set[str] = field(default_factory=set)

    @property
    def seen(self) -> int:
        return self.written + self.copies + self.refused + self.skipped + self.survived + self.unreadable + self.bad

    @property
    def is_good(self) -> bool:
        """Tell whether something was written, or nothing was to be."""
        return bool(self.written) or 0 < self.seen == self.skipped


def sum_up(tally: Tally, source: str) -> None:
    """Say how many files there were of each kind; raise where not all that was asked for is there."""
    if not (tally.seen or tally.folders):
        raise InputMissing(f"{source}: there are no files in it")
    if tally.written or tally.skipped:
        console.conclude(_line(tally))
    if tally.is_good and not tally.written:
        console.say("the recipe skips every file; nothing was written")
    of_all = f"of {counted(tally.seen, 'file')}"
    if tally.faults:
        raise BadData(f"{tally.faults} {of_all} {_were(tally.faults)} left out by a fault of rtbids itself", _ABOVE)
    if tally.survived:
        raise BadData(f"{tally.survived} {of_all} still held a removed value and {_were(tally.survived)} not written", _ABOVE)
    if not (tally.is_good or tally.folders):
        raise BadData(f"none {of_all} could be de-identified" if tally.seen > 1 else "it could not be de-identified", _ABOVE)
    if unread := _unread(tally):
        raise BadData(f"not all was read: {unread}", "allow this account to read them, and start again with --overwrite")


def _were(count: int) -> str:
    return "was" if count == 1 else "were"


def _unread(tally: Tally) -> str:
    parts = [f"{counted(tally.folders, 'folder')} cannot be listed"] if tally.folders else []
    parts += [f"{counted(tally.unreadable, 'file')} cannot be read"] if tally.unreadable else []
    return ", ".join(parts)


def _line(tally: Tally) -> str:
    words = [f"{counted(tally.written, 'file')} de-identified"]
    words += [f"{tally.skipped} skipped by the recipe"] if tally.skipped else []
    words += [f"{tally.refused} refused"] if tally.refused else []
    words += [f"{tally.unreadable} left out that cannot be read"] if tally.unreadable else []
    words += [f"{tally.bad} left out, damaged or no DICOM image"] if tally.bad else []
    words += [f"{counted(tally.copies, 'copy', 'copies')} left out"] if tally.copies else []
    return ", ".join(words)
