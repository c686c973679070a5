"""When a folder of files is finished: one rule, whichever way it was heard of. Pure: a listing and the time in, a verdict out.

A folder is finished when neither its name nor one in it says otherwise, it holds a file, every file is whole, and nothing in it
has changed for a while; where it was renamed into place it need not be quiet. What stays unfinished holds it back for a time.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeAlias

from rtbids.watch.looks import Look

QUIET, TIME_OUT = 5.0, 600.0  # seconds
SET_ASIDE = ".err"  # ends the name of a folder that nothing could be made of
_ENDINGS = (".part", ".partial", SET_ASIDE)
_NO_IMAGES = frozenset(
    ("dicomdir", "lockfile", "version", "thumbs.db", "desktop.ini", ".ds_store", ".directory", ".localized", ".lock")
)
_TEXTS = (".txt", ".json", ".xml", ".csv", ".tsv", ".log", ".ini", ".md", ".html", ".pdf")
_CONVERTED = (".nii", ".nii.gz", ".bval", ".bvec")
_UNSEEN = 0
Listing: TypeAlias = Mapping[str, Look | None]  # name → look; None where it is there by name only


@dataclass(frozen=True)
class Finished:
    """The files of one folder or series that is finished, each once.

    `label` names it and may identify: the name of the folder, ``.`` for the watched one. They lie in `root`; `broken` are files
    that will never be an image, each with the reason; `spooled` ones are our own copies. Where the folder was handed on before
    under another name, it was `renamed_from` that.
    """

    label: str
    root: Path
    files: tuple[Path, ...]
    broken: tuple[tuple[Path, str], ...] = ()
    spooled: bool = False
    renamed_from: Path | None = None


@dataclass(frozen=True)
class Held:
    """A folder that has been unfinished for longer than the time-out; `label` may identify, `reason` does not."""

    label: str
    reason: str
    since: float  # POSIX seconds


@dataclass(frozen=True)
class Rule:
    """Seconds; `by_times` where the times of change in the file system are told by this machine's clock."""

    quiet: float = QUIET
    time_out: float = TIME_OUT
    by_times: bool = True


@dataclass(frozen=True)
class Pending:
    """A folder with files that were not handed on yet.

    Since when (POSIX seconds) it looks as it does and since when it is waited for; whether it was renamed into place and not
    changed after that, and why it was `held` back when it was quiet.
    """

    looks: int
    since: float
    first: float
    in_place: bool = False
    held: str = ""

    def due(self, rule: Rule) -> float:
        """Return when it is to be looked at again if nothing happens."""
        if self.held:
            return self.gives_up(rule)
        return self.since if self.in_place else self.since + rule.quiet

    def gives_up(self, rule: Rule) -> float:
        """Return from when on what is unfinished in it is not waited for."""
        return self.since + rule.time_out

    @property
    def reason(self) -> str:
        return self.held or "it still changes"


def heard(before: Pending | None, now: float, *, in_place: bool = False) -> Pending:
    """Return what is known of a folder when something in it was written, or the whole of it renamed into place."""
    return Pending(_UNSEEN, now, before.first if before else now, in_place)


def seen(before: Pending | None, listing: Listing, newest: float, now: float, rule: Rule) -> Pending:
    """Return what is known of a folder with these files, the last of which changed at `newest`, after one more look."""
    looks = hash(frozenset(listing.items())) or 1
    if before is not None and before.looks == looks:
        return before
    since = min(newest, now) if rule.by_times else now
    if before is None:
        return Pending(looks, since, since)
    if before.in_place and before.looks == _UNSEEN:
        return replace(before, looks=looks)
    return Pending(looks, since, before.first)


def is_unfinished(name: str) -> bool:
    """Say whether a name tells that its writer has not finished, or that it was set aside.

    Examples
    --------
    >>> [is_unfinished(name) for name in ("X.tmp2343", "a.dcm.part", ".hidden", "X.err", "tmp", "1.2.840")]
    [True, True, True, True, False, False]
    """
    ending = os.path.splitext(name)[1].lower()
    return name.startswith(".") or ending.startswith(".tmp") or ending in _ENDINGS


def unfinished(names: Iterable[str]) -> list[str]:
    return [name for name in names if is_unfinished(name)]


def is_litter(name: str) -> bool:
    """Say whether a file is one that nobody means to send: an index, or what a file browser leaves behind."""
    return name.lower() in _NO_IMAGES or name.startswith(("._", ".nfs", ".fuse_hidden"))


def is_note(name: str) -> bool:
    """Say whether a file that is no image was hardly meant to be one: what is written about images, or made of them."""
    return name.lower().endswith(_TEXTS + _CONVERTED)
