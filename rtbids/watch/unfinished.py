"""The folders of a watch that do not finish: kept in mind with the reason, and told when they have been so for too long."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Mapping, Sequence

from rtbids.watch import finished
from rtbids.watch.finished import Held, Pending

logger = logging.getLogger("rtbids")


class Unfinished:
    """What holds up folders below `root`; `on_held` is told of them whenever they are others than before."""

    def __init__(self, root: str, on_held: Callable[[Sequence[Held]], None]) -> None:
        self._root, self._on_held = root, on_held
        self._named: dict[str, tuple[float, str]] = {}  # by their names, or because they cannot be listed
        self._said: tuple[Held, ...] = ()

    def is_wanted(self, path: str, now: float) -> bool:
        """Say whether the name of a folder tells that it is finished; else keep in mind since when it is not."""
        name = os.path.basename(path)
        if not finished.is_unfinished(name):
            return True
        if not name.startswith(".") and not name.endswith(finished.SET_ASIDE) and path not in self._named:
            self._named[path] = now, "its name says that it is being written"
        return False

    def refuse(self, folder: str, why: str, now: float) -> None:
        """Keep in mind, and say, that a folder cannot be listed."""
        if folder not in self._named:
            name = "the watched folder itself" if folder == self._root else "a folder in it"
            logger.warning("%s: cannot be listed (%s)", name, why)
            self._named[folder] = now, f"it cannot be listed ({why})"

    def forget(self, folder: str) -> None:
        self._named.pop(folder, None)

    def forget_gone(self) -> None:
        for folder in [folder for folder in self._named if not os.path.isdir(folder)]:
            del self._named[folder]

    def tell(self, pending: Mapping[str, Pending], since: float) -> None:
        """Name the folders, these and those that are pending, that have been unfinished since then, or longer."""
        held = [Held(self._label(path), each.reason, each.first) for path, each in pending.items()]
        held += [Held(self._label(path), reason, first) for path, (first, reason) in self._named.items()]
        told = tuple(sorted((one for one in held if one.since <= since), key=_order))
        if told != self._said:
            self._said = told
            self._on_held(told)

    def _label(self, folder: str) -> str:
        return os.path.relpath(folder, self._root)


def _order(held: Held) -> tuple[float, str]:
    return held.since, held.label
