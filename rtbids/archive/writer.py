"""One 4-D NIfTI file that grows in place by whole volumes."""

from __future__ import annotations

import os
import struct
import threading
from dataclasses import replace
from pathlib import Path

from rtbids import nifti
from rtbids.archive import locks
from rtbids.errors import BadData, cannot_write
from rtbids.volume import Volume, voxels

MOST_VOLUMES = nifti.LARGEST


class GrowingFile:
    """A ``.nii`` to which volumes are appended at a cost that does not depend on how many there are.

    The voxels are written at the end of the file first and the count in the header last, so that the file is readable at every
    instant and holds each volume whose `append` has returned. `append` hands the bytes to the operating system, which keeps
    them if this process is killed; `sync` puts them on the disk, which keeps them if the power goes. It is locked until it is
    closed (`locks.wait`).
    """

    def __init__(self, path: Path, first: Volume) -> None:
        """Make `path` with the volume `first` in it; at a failure nothing is left behind."""
        self.path = path
        self.header = replace(first.header(), shape=(*first.shape, 1))
        self.count = 1
        self._closing = threading.Lock()
        try:
            self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o666)
        except OSError as error:
            raise cannot_write(path, error) from error
        locks.hold(self._descriptor)
        try:
            _write_all(self._descriptor, memoryview(nifti.pack(self.header)), 0)
            _write_all(self._descriptor, voxels(first), nifti.HEADER)
        except OSError as error:
            self.close()
            path.unlink()
            raise cannot_write(path, error) from error

    @classmethod
    def reopened(cls, path: Path) -> GrowingFile:
        """Go on with a file whose writer was killed, after `settle`."""
        self = cls.__new__(cls)
        self.path = path
        self._closing = threading.Lock()
        try:
            self._descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        except OSError as error:
            raise cannot_write(path, error) from error
        locks.hold(self._descriptor)
        self.header = nifti.unpack(os.pread(self._descriptor, nifti.HEADER, 0), path.name)
        self.count = self.header.shape[3]
        return self

    def move(self, path: Path) -> None:
        """Rename the file; its descriptor stays good."""
        os.rename(self.path, path)
        self.path = path

    def append(self, content: memoryview) -> None:
        """Add the voxels of one volume; where there is no room, the file stays as it was and CannotWrite says so."""
        if self.count >= MOST_VOLUMES:
            raise BadData(f"{self.path.name}: NIfTI-1 holds up to {MOST_VOLUMES} volumes")
        end = nifti.HEADER + self.count * self.header.volume_bytes
        try:
            _write_all(self._descriptor, content, end)
            os.pwrite(self._descriptor, struct.pack("<h", self.count + 1), nifti.COUNT_OFFSET)
        except OSError as error:
            os.ftruncate(self._descriptor, end)
            raise cannot_write(self.path, error) from error
        self.count += 1

    def sync(self) -> None:
        """Return when what was appended is on the disk; may be called from another thread than `append`."""
        with self._closing:
            if self._descriptor >= 0:
                os.fdatasync(self._descriptor)

    def close(self) -> None:
        with self._closing:
            os.close(self._descriptor)
            self._descriptor = -1


def _write_all(descriptor: int, content: memoryview, at: int) -> None:
    """Write `content` whole: a disk that fills up takes a part of it without a word."""
    while content:
        written = os.pwrite(descriptor, content, at)
        content, at = content[written:], at + written


def settle(path: Path) -> int:
    """Cut off what follows the last counted volume of a file whose writer was killed; return the count."""
    with path.open("r+b") as file:
        header = nifti.unpack(file.read(nifti.HEADER), path.name)
        count = header.shape[3] if len(header.shape) > 3 else 1
        file.truncate(header.offset + count * header.volume_bytes)
    return count


def sync(path: Path) -> None:
    """Return when a file, or the names in a folder, are on the disk."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
