"""The order of files that were all there at once: that of acquisition, as their headers tell it, never that of their names."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from pydicom.filereader import read_partial
from pydicom.tag import BaseTag

from rtbids.convert.dicom import ELEMENT_FIRST, sort_key

_TAGS: list[BaseTag | int] = [0x0020000E, 0x00200011, 0x00200012, 0x00200013]  # series UID and number, acquisition, instance


def in_order(paths: Iterable[str]) -> Iterator[str]:
    """Sort by header, series by series; what has no header that can be read comes last. Holds headers' numbers only."""
    keyed = [(_key(path), path) for path in paths]
    keyed.sort(key=lambda pair: (pair[0] is None, pair[0] or (), pair[1]))
    return (path for _, path in keyed)


def _key(path: str) -> tuple[object, ...] | None:
    try:
        with open(path, "rb") as file:
            bare = file.read(2) in ELEMENT_FIRST  # DICOM without a preamble
            file.seek(0)
            return sort_key(read_partial(file, _is_past, force=bare, specific_tags=_TAGS))
    except Exception:  # pydicom raises what its parsing stumbles over; the reader proper will say what is wrong
        return None


def _is_past(tag: BaseTag, vr: str | None, length: int) -> bool:
    """Say where to stop reading: before the long private elements, and the sequences of enhanced images."""
    return int(tag) > _TAGS[-1]
