"""Where files to be de-identified come from, and where they go: a folder, one file, or a tar stream at either end.

What is written is named by new values, and appears under its name only when it is whole.
"""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, Protocol

from rtbids.errors import BadData, CannotWrite, InputMissing, UsageFault, cannot_write
from rtbids.stream import endpoints, fifo, wire

_TAR_MARK, _TAR_MARK_AT = b"ustar", 257
_UNFINISHED = (".part", ".err")
LARGEST = 4 << 30  # bytes of a file, which is held in memory


@dataclass(frozen=True)
class Source:
    """One file to be read: its name there (which may identify), and its bytes or why it has none."""

    name: str
    content: bytes | memoryview | None
    fault: str = ""


def is_tar(source: str) -> bool:
    """Tell whether a source is a tar stream: standard input, a named pipe, or a tar file."""
    if source == endpoints.STANDARD or fifo.is_fifo(Path(source)):
        return True
    path = Path(source)
    if not path.is_file():
        return False
    with suppress(OSError), path.open("rb") as file:
        file.seek(_TAR_MARK_AT)
        return file.read(len(_TAR_MARK)) == _TAR_MARK
    return False


def in_folder(root: Path) -> list[Path]:
    """Return what lies in a folder and its subfolders, in order of the names; hidden and unfinished files are passed over.

    Links to files are followed, those to folders not: they may lead in a circle, or out of what was meant.
    """
    found = []
    for folder, folders, names in os.walk(root):
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
        return Source(name, None, "a link that leads nowhere" if path.is_symlink() else "it went away")
    except OSError as error:
        return Source(name, None, f"cannot be read: {error.strerror}")
    status = os.fstat(descriptor)
    if fault := _fault(status):
        os.close(descriptor)
        return Source(name, None, fault)
    with os.fdopen(descriptor, "rb") as file:
        try:
            return Source(name, file.read())
        except OSError as error:
            return Source(name, None, f"cannot be read: {error.strerror}")


def _fault(status: os.stat_result) -> str:
    """Say why something in a folder is not read, "" where it is."""
    if stat.S_ISDIR(status.st_mode):
        return "a link to a folder, which is not followed"
    if not stat.S_ISREG(status.st_mode):
        return "no regular file"
    return f"{status.st_size} bytes are more than {LARGEST}" if status.st_size > LARGEST else ""


def in_tar(file: BinaryIO, where: str) -> Iterator[Source]:
    """Give the files of a tar stream; StreamBroken where it was cut."""
    for member in wire.members(file, where):
        yield Source(member.name, member.content)


class Destination(Protocol):
    """Takes files that are de-identified."""

    def write(self, name: str, content: bytes) -> None: ...
    def finish(self) -> None: ...
    def drop(self) -> None: ...


@dataclass
class Folder:
    """A folder, made where there is none; one that holds something is taken with `overwrite` only."""

    root: Path
    overwrite: bool = False

    def __post_init__(self) -> None:
        try:
            self.root.mkdir(parents=True, exist_ok=True)
            taken = not self.overwrite and any(self.root.iterdir())
        except OSError as error:
            raise cannot_write(str(self.root), error) from None
        if taken:
            raise CannotWrite(f"{self.root} holds files already", "name a new folder, or allow it with --overwrite")

    def write(self, name: str, content: bytes) -> None:
        path = self.root / name
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            write_whole(path, content)
        except OSError as error:
            raise cannot_write(str(path), error) from None

    def finish(self) -> None: ...
    def drop(self) -> None: ...


@dataclass
class One:
    """A single file of a given name."""

    path: Path
    overwrite: bool = False

    def __post_init__(self) -> None:
        if self.path.exists() and not self.overwrite:
            raise CannotWrite(f"{self.path} is there already", "name another file, or allow it with --overwrite")

    def write(self, name: str, content: bytes) -> None:
        try:
            write_whole(self.path, content)
        except OSError as error:
            raise cannot_write(str(self.path), error) from None

    def finish(self) -> None: ...
    def drop(self) -> None: ...


@dataclass
class Tar:
    """A tar stream. A .tar file gets its name when it is whole; a pipe gets the mark of a clean end then."""

    endpoint: str
    overwrite: bool = False
    timeout: float = fifo.OPEN_TIMEOUT
    _part: Path | None = field(default=None, init=False)

    def __post_init__(self) -> None:
        target = self.endpoint
        path = Path(target)
        if target != endpoints.STANDARD and not fifo.is_fifo(path):
            if path.exists() and not self.overwrite:
                raise CannotWrite(f"{path} is there already", "name another file, or allow it with --overwrite")
            self._part = path.with_name(f".{path.stem}.{os.getpid()}.tar")
            target = str(self._part)
        self._file = endpoints.open_destination(target, self.timeout)
        self._writer = wire.Writer(self._file, "standard output" if self.endpoint == endpoints.STANDARD else self.endpoint)

    def write(self, name: str, content: bytes) -> None:
        self._writer.write(name, content)

    def finish(self) -> None:
        self._writer.close()
        if self._part is not None:
            try:
                os.fsync(self._file.fileno())
                os.replace(self._part, self.endpoint)
            except OSError as error:
                raise cannot_write(self.endpoint, error) from None
        self._file.close()

    def drop(self) -> None:
        """Leave no half of a file behind; a pipe ends without the mark of a clean end."""
        self._file.close()
        if self._part is not None:
            self._part.unlink(missing_ok=True)


def destination(endpoint: str, *, overwrite: bool, timeout: float = fifo.OPEN_TIMEOUT) -> Destination:
    """Return where files go: ``-``, a named pipe or a ``.tar`` file, a ``.dcm`` file, else a folder."""
    path = Path(endpoint)
    if endpoint == endpoints.STANDARD or fifo.is_fifo(path) or (path.suffix == ".tar" and not path.is_dir()):
        return Tar(endpoint, overwrite, timeout)
    if endpoints.scheme(endpoint):
        raise UsageFault(f"{endpoint}: expected a folder, a .tar file, a named pipe or -", "rtbids send sends to other places")
    if path.suffix == ".dcm" and not path.is_dir():
        return One(path, overwrite)
    if path.exists() and not path.is_dir():
        raise CannotWrite(f"{endpoint} is a file, and files need a folder", "name a folder, or a .tar file")
    return Folder(path, overwrite)


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


def write_whole(path: Path, content: bytes) -> None:
    """Write a file that has its name only when it is whole."""
    part = path.with_name(f".{path.name[:100]}.{os.getpid()}.part")
    try:
        part.write_bytes(content)
        os.replace(part, path)
    except BaseException:
        with suppress(OSError):
            part.unlink(missing_ok=True)
        raise


@dataclass
class Names:
    """The names that were written, so that no file takes another's place: copies are known, other contents refused."""

    _seen: dict[str, bytes] = field(default_factory=dict)

    def is_copy(self, name: str, content: bytes) -> bool:
        digest = hashlib.sha256(content).digest()
        if name not in self._seen:
            self._seen[name] = digest
            return False
        if self._seen[name] != digest:
            raise BadData("it has the SOP Instance UID of another file, and other contents")
        return True
