"""Where files to be de-identified come from: a folder, one file, or a tar stream."""

from __future__ import annotations

import os
import stat
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from rtbids.errors import BadData, InputMissing, UsageFault
from rtbids.stream import endpoints, fifo, wire

_TAR_MARK, _TAR_MARK_AT = b"ustar", 257
_UNFINISHED = (".part", ".err")
LARGEST = 4 << 30  # bytes of a file, which is held in memory


class Unreadable(BadData):
    """What may well be an image, and cannot be read."""


@dataclass(frozen=True)
class Source:
    """One file to be read: its name there (which may identify), and its bytes or why it has none."""

    name: str
    content: bytes | memoryview | None
    fault: BadData | None = None

    def read(self) -> bytes:
        """Return the bytes; raise why there are none."""
        if self.content is None:
            raise self.fault or BadData("it is empty")
        return bytes(self.content)


def is_tar(source: str) -> bool:
    """Tell whether a source is a tar stream: standard input, a named pipe, or a tar file, also one to be unpacked first."""
    if source == endpoints.STANDARD or fifo.is_fifo(Path(source)):
        return True
    path = Path(source)
    if not path.is_file():
        return False
    with suppress(OSError), path.open("rb") as file:
        head = file.read(wire.BLOCK)
        return head[_TAR_MARK_AT:].startswith(_TAR_MARK) or wire.compression(head) is not None or wire.is_old(head)
    return False


def in_folder(root: Path, refuse: Callable[[str, str], None]) -> list[Path]:
    """Return what lies in a folder and its subfolders, in order of the names; hidden and unfinished files are passed over.

    Links to files are followed, those to folders not: they may lead in a circle, or out of what was meant. `refuse` is called
    with the name of each subfolder that cannot be listed, and why.

    Raises
    ------
    InputMissing
        The folder itself cannot be listed.
    """

    def note(error: OSError) -> None:
        folder, why = Path(error.filename), error.strerror or str(error)
        if folder == root:
            raise InputMissing(f"{root}: cannot be listed ({why})")
        refuse(folder.relative_to(root).as_posix(), why)

    found = []
    for folder, folders, names in os.walk(root, onerror=note):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        found += [Path(folder, name) for name in sorted(names) if not (name.startswith(".") or name.endswith(_UNFINISHED))]
        found += [path for name in folders if (path := Path(folder, name)).is_symlink()]
    return found


def read(path: Path, root: Path) -> Source:
    """Read one file of a folder; what is no file, or cannot be read, has a fault in place of bytes."""
    name = path.relative_to(root).as_posix() if path != root else path.name
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)  # a named pipe must not hold us up
    except FileNotFoundError:
        return Source(name, None, BadData("a link that leads nowhere" if path.is_symlink() else "it went away"))
    except OSError as error:
        return _unreadable(name, error)
    status = os.fstat(descriptor)
    if fault := _fault(status):
        os.close(descriptor)
        return Source(name, None, BadData(fault))
    with os.fdopen(descriptor, "rb") as file:
        try:
            return Source(name, file.read())
        except OSError as error:
            return _unreadable(name, error)


def _unreadable(name: str, error: OSError) -> Source:
    return Source(name, None, Unreadable(f"cannot be read: {error.strerror}"))


def _fault(status: os.stat_result) -> str:
    """Say why something in a folder is not read, "" where it is."""
    if stat.S_ISDIR(status.st_mode):
        return "a link to a folder, which is not followed"
    if not stat.S_ISREG(status.st_mode):
        return "no regular file"
    return f"{status.st_size} bytes are more than {LARGEST}" if status.st_size > LARGEST else ""


def in_tar(file: BinaryIO, where: str) -> Iterator[Source]:
    """Give the files of a tar stream; StreamBroken where it was cut. What is no file has a fault in place of bytes."""
    others: deque[Source] = deque()
    no_file = BadData("a link or a device, no file")
    for member in wire.members(file, where, lambda name: others.append(Source(name, None, no_file))):
        yield from _taken(others)
        yield Source(member.name, member.content)
    yield from _taken(others)


def _taken(sources: deque[Source]) -> Iterator[Source]:
    while sources:
        yield sources.popleft()


def check_apart(source: str, dest: str) -> None:
    """Refuse a destination in which the source lies, or that lies in it: what is clean must not lie among what is not."""
    if endpoints.STANDARD in (source, dest):
        return
    ends = os.path.realpath(source), os.path.realpath(dest)
    if os.path.commonpath(ends) in ends and (os.path.isdir(ends[0]) or ends[0] == ends[1]):
        raise UsageFault(f"{dest} and {source} lie in each other", "name a DEST beside SOURCE")


def check_source(source: str) -> None:
    """Raise InputMissing where there is no such source."""
    if endpoints.scheme(source):
        raise UsageFault(f"{source}: expected a folder, a file, a tar stream or -")
    if source != endpoints.STANDARD and not Path(source).exists():
        raise InputMissing(f"{source}: no such file or folder")
