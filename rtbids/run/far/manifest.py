"""What an experiment needs of files, as both ends speak of it: each by the name that it has there, and by its content."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from rtbids.errors import StreamBroken
from rtbids.stream.wire import is_confined

MOST_FILES = 2000
MOST_BYTES = 512 << 20
_SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class Entry:
    """One file; the hash is of its first `size` bytes, so that one may grow while it is copied."""

    name: str
    sha256: str
    size: int
    is_executable: bool


def checked(fields: Iterable[Any]) -> list[Entry]:
    """Return the files of a manifest; raise StreamBroken for what leads anywhere else, or is too much."""
    found = [_entry(each) for each in fields]
    if len(found) > MOST_FILES or sum(each.size for each in found) > MOST_BYTES:
        raise StreamBroken(f"more than {MOST_FILES} files, or {MOST_BYTES >> 20} MB of them")
    return found


def _entry(fields: Any) -> Entry:
    match fields:
        case {"name": str(name), "sha256": str(sha256), "size": int(size), "is_executable": bool(is_executable)}:
            if is_confined(name) and _SHA256.fullmatch(sha256) and size >= 0:
                return Entry(name, sha256, size, is_executable)
    raise StreamBroken(f"expected a file's name, hash and size, found {str(fields)[:120]!r}")
