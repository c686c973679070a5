"""The order of files that were all there at once: that of acquisition, as their headers tell it, never that of their names."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from pydicom import dcmread

from rtbids.convert.dicom import sort_key
from rtbids.watch.intake import ELEMENT_FIRST

_TAGS = ["SeriesInstanceUID", "SeriesNumber", "AcquisitionNumber", "InstanceNumber"]


def in_order(paths: Iterable[str]) -> Iterator[str]:
    """Sort by header, series by series; what has no header that can be read comes last. Holds headers' numbers only."""
    keyed = [(_key(path), path) for path in paths]
    keyed.sort(key=lambda pair: (pair[0] is None, pair[0] or (), pair[1]))
    return (path for _, path in keyed)


def _key(path: str) -> tuple[object, ...] | None:
    try:
        return sort_key(dcmread(path, stop_before_pixels=True, specific_tags=_TAGS, force=_has_no_preamble(path)))
    except (
        Exception
    ):  # pydicom raises what its parsing stumbles over; when the file's turn comes, its reader says what is wrong
        return None


def _has_no_preamble(path: str) -> bool:
    """Say whether a file begins with a DICOM element rather than with a preamble of 128 bytes."""
    with open(path, "rb", buffering=0) as file:
        return file.read(2) in ELEMENT_FIRST
