"""A folder, on this machine or mounted, that objects are put into."""

from __future__ import annotations

import hashlib
import os
import secrets
from contextlib import suppress
from pathlib import Path

from rtbids.send.folder import sync
from rtbids.send.stores import Object, pieces

_PIECE = 1 << 20


class Directory:
    """A folder that exists: one that is not mounted is not made in its place."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def ready(self) -> None:
        if not self._root.is_dir():
            raise ConnectionError("no such folder: make it, or mount it")

    def holds(self, wanted: Object) -> bool | None:
        """Read what is there, to its end."""
        digest = hashlib.sha256()
        try:
            for piece in pieces(self._place(wanted.name), _PIECE):
                digest.update(piece)
        except (FileNotFoundError, NotADirectoryError):
            return None
        return digest.hexdigest() == wanted.sha256

    def read(self, name: str) -> bytes | None:
        try:
            return self._place(name).read_bytes()
        except (FileNotFoundError, NotADirectoryError):
            return None

    def put(self, new: Object) -> None:
        """Write under another name, and rename when it is safe on the disk."""
        place = self._place(new.name)
        self._make(place.parent)
        part = place.with_name(f".{place.name[:200]}.{secrets.token_hex(4)}.part")
        try:
            _copy(new, part)
            os.replace(part, place)
        except BaseException:
            with suppress(OSError):
                part.unlink()
            raise
        _safe(place.parent)

    def _place(self, name: str) -> Path:
        """Return where an object lies; it is within the folder, whatever links are in it."""
        self.ready()
        place = self._root / name
        root = os.path.realpath(self._root)
        if os.path.commonpath([root, os.path.realpath(place.parent)]) != root:
            raise PermissionError("a link leads out of the folder")
        return place

    def _make(self, folder: Path) -> None:
        if folder.is_dir():
            return
        self._make(folder.parent)
        folder.mkdir(exist_ok=True)
        _safe(folder.parent)


def _copy(new: Object, part: Path) -> None:
    digest = hashlib.sha256()
    with part.open("xb") as file:
        for piece in pieces(new.path, _PIECE):
            digest.update(piece)
            file.write(piece)
        file.flush()
        os.fsync(file.fileno())
    if digest.hexdigest() != new.sha256:
        raise ValueError


def _safe(folder: Path) -> None:
    """Have what a folder lists survive a loss of power; some mounted ones cannot."""
    with suppress(OSError):
        sync(folder)
