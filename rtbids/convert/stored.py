"""The NIfTI file of a run, finished (``.nii.gz``) or growing (``.nii``): opened, read in order or at any place."""

from __future__ import annotations

import gzip
import zlib
from pathlib import Path
from typing import Any, BinaryIO, cast

import numpy as np
from numpy.typing import NDArray

from rtbids import nifti
from rtbids.errors import BadData, InputMissing

_NOT_READABLE = (EOFError, OSError, zlib.error)


class Stored:
    """The volumes of one file by their places in it, from 0; each is read when it is asked for.

    A ``.nii`` may grow meanwhile, and where it has become a ``.nii.gz`` since it was named, that is read. A compressed file is
    read from its beginning up to the place, and on from there: in order of place it is read once.
    """

    def __init__(self, file: Path) -> None:
        self.path, self._file = _opened_or_packed(file)
        self.header = header(self._file, self.path)

    @property
    def count(self) -> int:
        """How many volumes the file is known to hold."""
        return self.header.shape[3] if len(self.header.shape) > 3 else 1

    def read(self, place: int) -> NDArray[Any]:
        """Return the voxels (i, j, k), read-only, as stored; raise BadData where they are not there or cannot be read."""
        if place >= self.count:
            self._look_again()
        where = f"{self.path}, volume {place} of {self.count}"
        if not 0 <= place < self.count:
            raise BadData(f"{where}: it is not in the file")
        self._go_to(self.header.offset + place * self.header.volume_bytes, where)
        content = exactly(self._file, self.header.volume_bytes, where)
        return np.frombuffer(content, self.header.dtype).reshape(self.header.shape[:3], order="F")

    def _look_again(self) -> None:
        """Take note of what the file has grown by."""
        self._go_to(0, str(self.path))
        self.header = header(self._file, self.path)

    def _go_to(self, at: int, where: str) -> None:
        try:
            self._file.seek(at)
        except _NOT_READABLE as error:
            raise BadData(f"{where}: cannot be read ({error})") from error


def _opened_or_packed(file: Path) -> tuple[Path, BinaryIO]:
    packed = file.with_name(file.name + ".gz")
    try:
        return file, opened(file)
    except InputMissing:
        if file.suffix == ".gz" or not packed.exists():
            raise
        return packed, opened(packed)


def opened(file: Path) -> BinaryIO:
    """Open a file for reading. Nothing is read ahead of a plain one, so that what it grows by is seen."""
    try:
        return cast(BinaryIO, gzip.open(file, "rb") if file.suffix == ".gz" else file.open("rb", buffering=0))
    except OSError as error:
        raise InputMissing(f"cannot read {file}: {error.strerror or error}") from error


def header(file: BinaryIO, path: Path) -> nifti.Header:
    """Read the header, up to the first voxel."""
    first = exactly(file, 348, f"{path}, header")
    found = nifti.unpack(first, str(path))
    if found.offset > len(first):  # extensions, and the four bytes that announce them
        exactly(file, found.offset - len(first), f"{path}, header")
    return found


def exactly(file: BinaryIO, size: int, where: str) -> bytes:
    """Read `size` bytes; with a `size` of 0 look for more, so that a gzip file's checksum is compared at its end."""
    try:
        content = file.read(size) if size else file.read(1)[:0]
    except _NOT_READABLE as error:
        raise BadData(f"{where}: cannot be read ({error})") from error
    if len(content) < size:
        raise BadData(f"{where}: ended after {len(content)} of {size} bytes")
    return content
