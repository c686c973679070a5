"""Sources that are all there, a folder that is read once or a tar in a file: looked through before the first image is taken."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import partial
from io import BytesIO
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
                header = beforehand.header(BytesIO(member.content), partial(_content, file, place))
            except beforehand.Unknown:
                header, unknown = None, unknown + 1
            found.append((header, place))
    except StreamBroken as error:
        broken = error
    known = [header for header, _ in found if header]
    found.sort(key=lambda pair: (pair[0] is None, pair[0].order if pair[0] else ()))
    foreseen = beforehand.foreseen(known, is_complete=not unknown)
    return Recording(file, foreseen, broken, [place for _, place in found])


def _content(file: BinaryIO, place: _Place) -> bytearray:
    content = bytearray(place.size)
    filled = 0
    while filled < place.size:  # one call reads no more than 2 GiB
        read = os.preadv(file.fileno(), [memoryview(content)[filled:]], place.start + filled)
        if not read:
            raise StreamBroken(f"the file became shorter: expected {place.size} bytes of a member, found {filled}")
        filled += read
    return content


def folder(source: Path, pattern: str, is_stopped: Callable[[], bool]) -> Foreseen:
    """Look through the headers of the files that a watch of the same folder takes."""
    from rtbids.convert import beforehand

    headers: list[Header] = []
    unknown = 0
    for path in _files(source, pattern):
        if is_stopped():
            break
        try:
            with path.open("rb") as file:
                header = beforehand.header(file, path.read_bytes)
        except (OSError, beforehand.Unknown):
            header, unknown = None, unknown + 1
        if header is not None:
            headers.append(header)
    return beforehand.foreseen(headers, is_complete=not unknown)


def _files(source: Path, pattern: str) -> Iterator[Path]:
    from rtbids.watch import looks

    if source.is_file():
        yield source
        return
    root = os.path.realpath(source)
    for path, look in looks.walk(root, lambda folder: None, lambda folder, error: None):
        if look is not None and looks.is_wanted(path, root, pattern):
            yield Path(path)
