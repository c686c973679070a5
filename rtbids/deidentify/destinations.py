"""Where files that are de-identified go: a folder, one file, or a tar stream.

What is written appears under its name only when it is whole and on the disk.
"""

from __future__ import annotations

import os
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from rtbids.deidentify import names, tar_parts
from rtbids.errors import CannotWrite, UsageFault, cannot_write
from rtbids.stream import endpoints, fifo, wire

_PACKED = (".gz", ".tgz", ".bz2", ".xz", ".zst", ".zip")
_AT_ONCE = 16  # files on their way to the disk, which takes many as fast as one


class Destination(Protocol):
    """Takes files that are de-identified."""

    def write(self, name: str, content: bytes) -> None: ...
    def finish(self) -> None: ...
    def drop(self) -> None: ...


@dataclass
class Folder:
    """A folder, made where there is none; one that holds something is taken with `overwrite` only.

    Files have their names a little after they are written, all of them at `finish` or `drop`.
    """

    root: Path
    overwrite: bool = False
    _folders: set[Path] = field(default_factory=set, init=False)
    _coming: deque[tuple[Path, Future[None]]] = field(default_factory=deque, init=False)
    _pool: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(_AT_ONCE), init=False)

    def __post_init__(self) -> None:
        self._is_new = not self.root.exists()
        try:
            self.root.mkdir(parents=True, exist_ok=True)
            taken = not self.overwrite and any(self.root.iterdir())
        except OSError as error:
            raise cannot_write(str(self.root), error) from None
        if taken:
            raise CannotWrite(f"{self.root} holds files already", "name a new folder, or allow it with --overwrite")

    def write(self, name: str, content: bytes) -> None:
        """Write a file; raise BadData for a name that leads out of the folder, CannotWrite where a link does."""
        names.check(name)
        path = self.root / name
        try:
            self._make(path.parent)
            part = _begun(path, content)
        except OSError as error:
            raise cannot_write(path, error) from None
        self._coming.append((path, self._pool.submit(_named, part, path)))
        self._settle(_AT_ONCE * 2)

    def _settle(self, left: int) -> None:
        """Wait until all but some of the files have their names."""
        while len(self._coming) > left:
            path, named = self._coming.popleft()
            try:
                named.result()
            except OSError as error:
                raise cannot_write(path, error) from None

    def _make(self, folder: Path) -> None:
        """Make a folder within ours."""
        if folder in self._folders:
            return
        root = os.path.realpath(self.root)
        if os.path.commonpath((root, os.path.realpath(folder))) != root:
            raise CannotWrite(f"a link in {self.root} leads out of it", "name a new folder")
        folder.mkdir(parents=True, exist_ok=True)
        self._folders.add(folder)

    def finish(self) -> None:
        """See that the names of the files are on the disk, as their contents are."""
        self._settle(0)
        for folder in {self.root, *self._folders, *(made.parent for made in self._folders)}:
            _sync_names(folder)

    def drop(self) -> None:
        """Let what is written already have its name; a folder made for nothing goes."""
        with suppress(CannotWrite):
            self._settle(0)
        self._pool.shutdown()
        if self._is_new and not self._folders:
            with suppress(OSError):
                self.root.rmdir()


@dataclass
class One:
    """A single file of a given name."""

    path: Path
    overwrite: bool = False

    def __post_init__(self) -> None:
        if self.path.exists() and not self.overwrite:
            raise CannotWrite(f"{self.path} is there already", "name another file, or allow it with --overwrite")

    def write(self, name: str, content: bytes) -> None:
        write_whole(self.path, content)

    def finish(self) -> None:
        _sync_names(self.path.absolute().parent)

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
            self._part, self._file = tar_parts.begun(path)
        else:
            self._file = endpoints.open_destination(target, self.timeout)
        self._writer = wire.Writer(self._file, "standard output" if self.endpoint == endpoints.STANDARD else self.endpoint)

    def write(self, name: str, content: bytes) -> None:
        names.check(name)
        try:
            self._writer.write(name, content)
        except CannotWrite as error:
            hint = "free some space and start again; a .tar that is not whole is not kept" if self._part else error.hint
            raise CannotWrite(str(error), hint) from None

    def finish(self) -> None:
        self._writer.close()
        if self._part is not None:
            try:
                os.fsync(self._file.fileno())
                os.replace(self._part, self.endpoint)
            except OSError as error:
                raise cannot_write(self.endpoint, error) from None
            _sync_names(self._part.absolute().parent)
        self._file.close()

    def drop(self) -> None:
        """Leave no half of a file behind; a pipe ends without the mark of a clean end."""
        self._file.close()
        if self._part is not None:
            self._part.unlink(missing_ok=True)


def destination(endpoint: str, *, overwrite: bool, timeout: float = fifo.OPEN_TIMEOUT) -> Destination:
    """Return where files go: ``-``, a named pipe or a ``.tar`` file, a ``.dcm`` file, else a folder."""
    path = Path(endpoint)
    if endpoint == endpoints.STANDARD or fifo.is_fifo(path) or is_tar_file(path):
        return Tar(endpoint, overwrite, timeout)
    if endpoints.scheme(endpoint):
        raise UsageFault(f"{endpoint}: expected a folder, a .tar file, a named pipe or -", "rtbids send sends to other places")
    if path.name.endswith(_PACKED) and not path.is_dir():
        hint = f"name a .tar file, or compress on the way: rtbids deidentify SOURCE - | gzip > {path.name}"
        raise UsageFault(f"{endpoint}: archives are written uncompressed", hint)
    if is_one(endpoint):
        return One(path, overwrite)
    if path.exists() and not path.is_dir():
        raise CannotWrite(f"{endpoint} is a file, and files need a folder", "name a folder, or a .tar file")
    return Folder(path, overwrite)


def is_tar_file(path: Path) -> bool:
    """Tell whether a destination is a tar file, which there is only when it is whole."""
    return path.suffix == ".tar" and not path.is_dir() and not fifo.is_fifo(path)


def is_one(endpoint: str) -> bool:
    """Tell whether a destination is a single DICOM file."""
    path = Path(endpoint)
    return path.suffix == ".dcm" and not path.is_dir() and not fifo.is_fifo(path)


def check_place(path: Path) -> None:
    """Raise CannotWrite, before any work, where a file could not be written there in the end."""
    folder = path.absolute().parent
    if not folder.is_dir():
        raise CannotWrite(f"cannot write {path}: no such folder")
    if path.is_dir():
        raise CannotWrite(f"cannot write {path}: it is a folder")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise CannotWrite(f"cannot write {path}: nothing can be written into its folder")


def write_whole(path: Path, content: bytes) -> None:
    """Write a file that has its name only when it is whole and on the disk."""
    try:
        part = _begun(path, content)
        _named(part, path)
    except OSError as error:
        raise cannot_write(path, error) from None


def _begun(path: Path, content: bytes) -> Path:
    """Write what is to be `path` under another name."""
    part = path.with_name(f".{path.name[:100]}.{os.getpid()}.part")
    try:
        descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, 0o666)
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
    except BaseException:
        _forget(part)
        raise
    return part


def _named(part: Path, path: Path) -> None:
    """Give a file its name when it is on the disk."""
    try:
        _sync(part)
        os.replace(part, path)
    except BaseException:
        _forget(part)
        raise


def _forget(part: Path) -> None:
    with suppress(OSError):
        part.unlink(missing_ok=True)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _sync_names(folder: Path) -> None:
    """Have a folder's names on the disk; some network file systems know no such thing."""
    with suppress(OSError):
        _sync(folder)
