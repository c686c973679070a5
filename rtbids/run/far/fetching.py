"""The contents that are asked for piece by piece, few at a time: whatever else crosses waits for no more than these."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from rtbids.errors import StreamBroken
from rtbids.run.far.manifest import Entry
from rtbids.run.far.store import Content, Store

PIECE = 64 << 10  # bytes
AHEAD = 4  # pieces that are on their way: 256 kB are 0.1 s at 20 Mbit/s


@dataclass(frozen=True)
class Piece:
    """Bytes `at` to `end` of a file."""

    file: Entry
    at: int
    end: int

    @property
    def fields(self) -> dict[str, Any]:
        """Name it to the other end."""
        return {"sha256": self.file.sha256, "at": self.at, "end": self.end}


class Fetching:
    """Fetches what is `lacking` of one experiment's files; pieces come in the order in which they are asked for.

    Parameters
    ----------
    ask
        Called for each piece.
    on_end
        Called once all are in the store.
    """

    def __init__(
        self, store: Store, owner: int, lacking: Iterable[Entry], ask: Callable[[Piece], None], on_end: Callable[[], None]
    ) -> None:
        self._store, self._owner, self._ask, self._on_end = store, owner, ask, on_end
        self._pieces = _pieces(lacking)
        self._awaited: deque[Piece] = deque()
        self._content: Content | None = None
        for _ in range(AHEAD):
            self._ask_next()
        self._look()

    def take(self, fields: Mapping[str, Any], content: memoryview) -> None:
        """Take the next piece; raise NotAsNamed with the last of a file that is not what it was."""
        piece = self._awaited.popleft() if self._awaited else None
        if piece is None or not piece.fields.items() <= fields.items() or len(content) != piece.end - piece.at:
            raise StreamBroken("a piece of a file came that was not asked for")
        if self._content is None:
            self._content = self._store.begin(piece.file, self._owner)
        self._content.add(content)
        if piece.end == piece.file.size:
            self._content.finish()
            self._content = None
        self._ask_next()
        self._look()

    def stop(self) -> None:
        """Ask for no more."""
        self._awaited.clear()
        self._pieces = iter(())
        if self._content is not None:
            self._content.drop()
            self._content = None

    def _look(self) -> None:
        if not self._awaited:
            self._on_end()

    def _ask_next(self) -> None:
        if (piece := next(self._pieces, None)) is not None:
            self._awaited.append(piece)
            self._ask(piece)


def _pieces(files: Iterable[Entry]) -> Iterator[Piece]:
    for file in files:
        for at in range(0, max(file.size, 1), PIECE):
            yield Piece(file, at, min(at + PIECE, file.size))
