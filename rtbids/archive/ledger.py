"""What was copied into a data set, and from which one: by this, what somebody else put or changed there is told apart."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from rtbids.archive import notes
from rtbids.archive.origin import Look


@dataclass(frozen=True)
class Made:
    """A file that was copied here: of which data set it is, and what is in it when it looks like this."""

    origin: str
    contents: list[str]  # more than one while one takes another's place: after a kill in the middle, each is ours
    look: Look | None


class Ledger:
    """The ledger at `path`, in which the files of `origin` are ours; written while the data set is locked."""

    def __init__(self, path: Path, origin: str) -> None:
        self._path = path
        self._origin = origin

    def read(self) -> dict[str, Made]:
        found = notes.read(self._path).items()
        return {name: Made(*fields) for name, fields in found if isinstance(fields, list) and len(fields) == 3}

    def is_ours(self, made: Made | None, content: str) -> bool:
        return made is not None and made.origin == self._origin and content in made.contents

    def intend(self, contents: Mapping[str, str]) -> None:
        """Note what is about to be made, by name, beside what is there of ours."""
        ours = {name: made.contents for name, made in self.read().items() if made.origin == self._origin}
        self._add({name: Made(self._origin, [content, *ours.get(name, [])], None) for name, content in contents.items()})

    def note(self, contents: Mapping[str, str], looks: Mapping[str, Look | None]) -> None:
        """Note what has been made."""
        self._add({name: Made(self._origin, [content], looks[name]) for name, content in contents.items()})

    def _add(self, new: Mapping[str, Made]) -> None:
        if new:
            made = {**self.read(), **new}
            notes.write(self._path, {name: (one.origin, one.contents, one.look) for name, one in made.items()})
