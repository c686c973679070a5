"""What a script was given in the runs that are open, to be given again after a restart."""

from __future__ import annotations

from typing import TypeAlias

from rtbids.run.process.host import Heard, Past
from rtbids.volume import Entities, run_key

_Key: TypeAlias = tuple[tuple[str, str], ...]


class Given:
    """Volumes and responses, by run, and the lines that told of feedback which has left."""

    def __init__(self) -> None:
        self._items: dict[_Key, list[Past | Heard]] = {}
        self._lines: dict[_Key, list[bytes]] = {}

    def add(self, item: Past | Heard) -> None:
        self._items.setdefault(run_key(item.entities), []).append(item)

    def told(self, entities: Entities, line: bytes) -> None:
        """Note a line that told of feedback."""
        self._lines.setdefault(run_key(entities), []).append(line)

    def forget(self, entities: Entities) -> None:
        """Forget a run that has ended."""
        self._items.pop(run_key(entities), None)
        self._lines.pop(run_key(entities), None)

    def taken(self) -> list[Past | Heard]:
        """Return the volumes and responses, in order, and forget them: they are noted anew when they are given again."""
        items = [item for of_run in self._items.values() for item in of_run]
        self._items.clear()
        return items

    @property
    def lines(self) -> list[bytes]:
        """The lines that told of feedback."""
        return [line for of_run in self._lines.values() for line in of_run]
