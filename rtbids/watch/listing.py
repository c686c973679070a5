"""One folder of a watched tree as it is on the disk: its files, the folders below it, and which of the files are whole."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from rtbids.convert.dicom import Incomplete, shown
from rtbids.errors import BadData
from rtbids.plural import counted
from rtbids.watch import complete, finished
from rtbids.watch.finished import Listing
from rtbids.watch.looks import Look, look_at


class Gone(Exception):
    """A file or folder that was listed is there no more, or not under this name."""


@dataclass
class Verdict:
    """The names of the files that are whole, of those that will never be, and why the others may still become so.

    `notes` are files that are no images and were hardly meant to be.
    """

    whole: list[str] = field(default_factory=list)
    broken: list[tuple[str, str]] = field(default_factory=list)
    notes: list[tuple[str, str]] = field(default_factory=list)
    held: str = ""


def listed(folder: str) -> tuple[Listing, float]:
    """Return the files of a folder and when (POSIX seconds) the last change in it was; raise OSError where that fails."""
    listing: dict[str, Look | None] = {}
    newest = os.stat(folder).st_ctime
    with os.scandir(folder) as entries:
        for entry in entries:
            if finished.is_litter(entry.name) or entry.is_dir():
                continue
            try:
                status = entry.stat()
            except OSError:
                listing[entry.name] = None  # a link to nothing, or gone by now
                continue
            if stat.S_ISREG(status.st_mode):
                listing[entry.name] = look_at(status)
                newest = max(newest, status.st_ctime)
    return listing, newest


def below(folder: str) -> list[str]:
    """Return the folders in a folder, in the order of their names; links are not followed."""
    try:
        with os.scandir(folder) as entries:
            return sorted(entry.path for entry in entries if entry.is_dir(follow_symlinks=False))
    except OSError:
        return []  # said where its files are listed


def judge(folder: str, root: str, listing: Listing, stop: Callable[[], bool], *, patient: bool) -> Verdict:
    """Say which files are whole; where we are `patient`, the first that is not is reason enough to hold the folder back.

    Raises
    ------
    Gone
        The folder has changed, or has another name by now.
    """
    verdict = Verdict()
    unfinished = finished.unfinished(listing)
    if unfinished and patient:
        verdict.held = f"{len(unfinished)} of its files have names that say that they are being written"
        return verdict
    verdict.broken = [(name, "its name says that it is unfinished") for name in sorted(unfinished)]
    for name in sorted(listing.keys() - set(unfinished)):
        if stop() or verdict.held:
            break
        _judge(verdict, folder, root, name, listing, patient)
    return verdict


def left_out(notes: Sequence[object]) -> str:
    """Say that there are files beside images that are none; their names may identify."""
    return f"{counted(len(notes), 'file')} beside images (.txt, .json or the like) left out"


def no_batch(notes: Sequence[object]) -> str:
    """Say that there are such files in a folder without an image."""
    return f"{counted(len(notes), 'file')} left out (.txt, .json, .nii.gz or the like) in a folder that holds no image"


def _judge(verdict: Verdict, folder: str, root: str, name: str, listing: Listing, patient: bool) -> None:
    try:
        complete.check(_confined(folder, root, name))
    except FileNotFoundError:
        if listing[name] is not None:
            raise Gone from None
        verdict.broken.append((name, "a link to nothing"))
    except (Incomplete, OSError) as error:
        reason = f"cannot be read ({error.strerror or error})" if isinstance(error, OSError) else str(error)
        if patient:
            verdict.held = reason
        verdict.broken.append((name, _of_it(reason, name)))
    except BadData as error:
        (verdict.notes if finished.is_note(name) else verdict.broken).append((name, _of_it(str(error), name)))
    else:
        verdict.whole.append(name)


def _of_it(reason: str, name: str) -> str:
    """Return a reason without the file that it is of: it stands beside it."""
    return reason.removeprefix(f"{shown(name)}: ")


def _confined(folder: str, root: str, name: str) -> str:
    """Return the path of a file; a link must not lead out of what is watched."""
    path = os.path.join(folder, name)
    if os.path.islink(path) and os.path.commonpath([root, os.path.realpath(path)]) != root:
        raise BadData("a link that leads out of the watched folder")
    return path


def every(top: str, enter: Callable[[str], None], wanted: Callable[[str], bool]) -> Iterator[str]:
    """Give `top` and the wanted folders below it; each is told to `enter` before it is given, so that nothing falls between."""
    folders = [top]
    while folders:
        here = folders.pop()
        enter(here)
        yield here
        folders.extend(path for path in reversed(below(here)) if wanted(path))
