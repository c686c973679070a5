"""Which files of which folders were handed on: a number each, for there may be a million."""

from __future__ import annotations

import os
from array import array
from collections.abc import Callable, Sequence
from pathlib import Path

from rtbids.watch.finished import Listing
from rtbids.watch.looks import Look

Known = Callable[[Sequence[Path]], bool]


class Handed:
    """The files that are no news, for as long as this process lives.

    Parameters
    ----------
    known
        Says of files whether an earlier process has handed on all of them; asked once for each folder.
    """

    def __init__(self, known: Known | None) -> None:
        self._known = known
        self._marks: dict[str, array[int]] = {}

    def add(self, folder: str, listing: Listing) -> None:
        self._marks[folder] = array("Q", {*self._marks.get(folder, ()), *map(_mark, listing.items())})

    def news(self, folder: str, listing: Listing) -> Listing:
        """Return those files that were not handed on as they are now."""
        if folder not in self._marks:
            self._marks[folder] = array("Q", map(_mark, listing.items()) if self._is_known(folder, listing) else ())
        marks = self._marks[folder]
        if not marks:
            return listing
        old = set(marks)
        if len(old) > 2 * len(listing) + 100:  # most were removed meanwhile
            self._marks[folder] = array("Q", old & set(map(_mark, listing.items())))
        return {name: look for name, look in listing.items() if _mark((name, look)) not in old}

    def has(self, folder: str) -> bool:
        """Say whether anything of a folder was handed on."""
        return bool(self._marks.get(folder))

    def forget_gone(self) -> None:
        for folder in [folder for folder in self._marks if not os.path.isdir(folder)]:
            del self._marks[folder]

    def _is_known(self, folder: str, listing: Listing) -> bool:
        return bool(listing) and self._known is not None and self._known([Path(folder, name) for name in listing])


def _mark(file: tuple[str, Look | None]) -> int:
    """Return what tells one file as it is from another, and from itself when it is written to."""
    name, look = file
    return hash((name, look.content if look else None)) & (1 << 64) - 1
