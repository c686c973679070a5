"""Sources that are all there, a folder that is read once or a tar in a file: looked through before the first image is taken."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from rtbids.errors import StreamBroken
from rtbids.stream import wire

if TYPE_CHECKING:
    from rtbids.convert.beforehand import Foreseen, Header


@dataclass(frozen=True)
class _Place:
    """A member of a tar in a file: where its content stands."""

    name: str
    modified: float
    start: int
    size: int


@dataclass
class Recording:
    """The members of a tar in a file, in the order of acquisition; `broken` is what it ended with, if not its end mark."""

    file: BinaryIO
    foreseen: Foreseen
    broken: StreamBroken | None
    _places: list[_Place] = field(default_factory=list)

    def members(self) -> Iterator[wire.Member]:
        """Give the members."""
        for place in self._places:
            yield wire.Member(place.name, memoryview(_content(self.file, place)), place.modified)


def recording(members: Iterable[wire.Member], file: BinaryIO, is_stopped: Callable[[], bool]) -> Recording:
    """Look through the members of `file`, whose content is read one at a time and not kept."""
    from rtbids.convert import beforehand

    found: list[tuple[Header | None, _Place]] = []
    unknown, broken = 0, None
    try:
        for member in members:
            if is_stopped():
                break
            size = len(member.content)
            place = _Place(member.name, member.modified, file.tell() - size - (-size % wire.BLOCK), size)
            try:
                header = beforehand.header(member.content, partial(_content, file, place))
            except beforehand.Unknown:
                header, unknown = None, unknown + 1
            found.append((header, place))
    except StreamBroken as error:
        broken = error
    known = [header for header, _ in found if header]
    found.sort(key=lambda pair: (pair[0] is None, pair[0].order if pair[0] else ()))
    foreseen = beforehand.foreseen(known, is_complete=not unknown)
    return Recording(file, foreseen, broken, [place for _, place in found])


def _content(file: BinaryIO, place: _Place) -> bytes:
    return os.pread(file.fileno(), place.size, place.start)


def folder(source: Path, is_stopped: Callable[[], bool]) -> Foreseen:
    """Look through the headers of a folder's files, hidden ones left out."""
    from rtbids.convert import beforehand

    headers: list[Header] = []
    unknown = 0
    for path in _files(source):
        if is_stopped():
            break
        try:
            header = beforehand.header(path.read_bytes(), path.read_bytes)
        except (OSError, beforehand.Unknown):
            header, unknown = None, unknown + 1
        if header is not None:
            headers.append(header)
    return beforehand.foreseen(headers, is_complete=not unknown)


def _files(source: Path) -> Iterator[Path]:
    if source.is_file():
        yield source
    for here, folders, files in os.walk(source):
        folders[:] = [name for name in folders if not name.startswith(".")]
        yield from (Path(here, name) for name in files if not name.startswith("."))
