"""Room for a file's content."""

from __future__ import annotations

import mmap


def room(size: int) -> memoryview:
    """Return so many bytes. Nobody waits until they are cleared, as for those of a bytearray: the run's loop would too."""
    return memoryview(mmap.mmap(-1, size)) if size else memoryview(bytearray())
