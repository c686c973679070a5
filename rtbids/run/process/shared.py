"""Voxels that several processes read from the same pages.

They lie in an unnamed memory file whose descriptor travels with a line of a channel; they are freed when the last array over
them is gone.
"""

from __future__ import annotations

import mmap
import os
import tempfile
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rtbids.run.past.where import NOWHERE, Where
from rtbids.volume import Volume, voxels


class Shared:
    """A volume and, from the first time that it is asked for, its voxels in a memory file for all who read them.

    With ``ask=False`` it is for the analysis alone. `where` says where it is to be found again; with ``is_stored`` whoever
    wants its voxels reads them there, and those of `volume` are another's of its run.
    """

    def __init__(self, volume: Volume, *, ask: bool = True, where: Where = NOWHERE, is_stored: bool = False) -> None:
        self.volume = volume
        self.ask = ask
        self.where = where
        self.is_stored = is_stored

    @cached_property
    def descriptor(self) -> int:
        """The memory file, which is closed with this object."""
        return kept(voxels(self.volume))

    def __del__(self) -> None:
        if "descriptor" in self.__dict__:
            os.close(self.descriptor)


def kept(view: memoryview) -> int:
    """Copy bytes into an unnamed memory file and return its descriptor, which the caller closes."""
    descriptor = _memory_file()
    written = 0
    while written < len(view):
        written += os.write(descriptor, view[written:])
    return descriptor


def mapped(descriptor: int, dtype: str, shape: tuple[int, ...]) -> NDArray[Any]:
    """Return the voxels behind `descriptor` as a read-only array (i, j, k), and close the descriptor."""
    try:
        size = int(np.prod(shape)) * np.dtype(dtype).itemsize
        pages = mmap.mmap(descriptor, size, prot=mmap.PROT_READ)
    finally:
        os.close(descriptor)
    return np.frombuffer(pages, np.dtype(dtype)).reshape(shape, order="F")


def _memory_file() -> int:
    if hasattr(os, "memfd_create"):
        return os.memfd_create("rtbids-volume", os.MFD_CLOEXEC)
    with tempfile.TemporaryFile() as file:
        return os.dup(file.fileno())
