"""Where objects lie: what a store of them can do, and what an object is."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Protocol

PART = 50 << 20  # bytes of a part of an object that goes in several
WHOLE = 2 * PART  # bytes up to which an object goes as one


@dataclass(frozen=True)
class Object:
    """A file, and the name that it gets."""

    name: str  # POSIX, relative
    path: Path
    size: int
    sha256: str  # in hexadecimal

    @cached_property
    def md5(self) -> bytes:
        """MD5 of the whole: what most services compute, and no secret."""
        digest = hashlib.md5(usedforsecurity=False)
        for piece in pieces(self.path, 1 << 20):
            digest.update(piece)
        return digest.digest()

    @cached_property
    def md5_of_parts(self) -> tuple[bytes, int]:
        """MD5 of the parts' MD5, and how many parts there are."""
        parts = [hashlib.md5(piece, usedforsecurity=False).digest() for piece in pieces(self.path, PART)]
        return hashlib.md5(b"".join(parts), usedforsecurity=False).digest(), len(parts)


class Store(Protocol):
    """A bucket or a folder. Its errors are those of its clients: `refusal` says what they mean."""

    def ready(self) -> None:
        """Raise where there is no such place, as far as that is to be known without writing."""
        ...

    def holds(self, wanted: Object) -> bool | None:
        """Whether what has this name is this object; None where nothing has it."""
        ...

    def read(self, name: str) -> bytes | None:
        """Return the content of a small object; None where there is none."""
        ...

    def put(self, new: Object) -> None:
        """Store an object: whole under its name, or not at all."""
        ...


def pieces(path: Path, size: int) -> Iterator[bytes]:
    """Give a file in pieces."""
    with path.open("rb") as file:
        while piece := file.read(size):
            yield piece


def is_plain(name: str) -> bool:
    """Whether a name leads nowhere but down."""
    parts = name.split("/")
    return all(part not in ("", ".", "..") and part.isprintable() and "\\" not in part for part in parts) and len(name) < 1000
