"""What a look at a folder sees: its files, and enough of each to tell whether it changed."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator
from fnmatch import fnmatchcase
from typing import NamedTuple, TypeAlias

UNFINISHED = (".tmp", ".part", ".partial")  # endings of names that a writer will change when the file is whole
Content: TypeAlias = tuple[int, int, int]


class Look(NamedTuple):
    """inode, bytes, and the times (ns) at which content and status last changed."""

    inode: int
    size: int
    modified: int
    changed: int

    @property
    def content(self) -> Content:
        """What stays when a file gets another name, other rights or another link."""
        return self.inode, self.size, self.modified


def visible(path: str, folder: str) -> bool:
    """Say whether neither the name nor that of a folder above it, up to `folder`, begins with a dot."""
    return os.sep + "." not in path[len(folder) :]


def is_wanted(path: str, folder: str, pattern: str) -> bool:
    """Say whether the name is that of a finished file which is asked for in `folder` or below."""
    name = os.path.basename(path)
    return visible(path, folder) and not name.lower().endswith(UNFINISHED) and fnmatchcase(name, pattern)


def look_at(status: os.stat_result) -> Look:
    return Look(status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)


def walk(
    folder: str, enter: Callable[[str], None], refuse: Callable[[str, OSError], None]
) -> Iterator[tuple[str, Look | None]]:
    """List the files in `folder` and below, in no order; None is the look of one that is there only by name.

    Each folder is told to `enter` before it is listed, each that cannot be listed to `refuse`. Hidden folders and what is
    neither file nor folder are left out; links to folders are not followed.
    """
    folders = [folder]
    while folders:
        here = folders.pop()
        enter(here)
        try:
            with os.scandir(here) as entries:
                for entry in entries:
                    if entry.is_dir(follow_symlinks=False):
                        folders.extend(() if entry.name.startswith(".") else (entry.path,))
                    else:
                        yield from _file(entry)
        except OSError as error:
            refuse(here, error)


def _file(entry: os.DirEntry[str]) -> Iterator[tuple[str, Look | None]]:
    try:
        status = entry.stat()
    except OSError:
        yield entry.path, None
    else:
        if stat.S_ISREG(status.st_mode):
            yield entry.path, look_at(status)
