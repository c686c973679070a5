"""Compress what is sent where the link is slower than the data: a member at a time, its name says so.

With a link of T bytes/s, a compressor of C bytes/s that leaves a share r, a member of n bytes takes n/T as it is and
n/C + n·r/T compressed (one after the other): it pays where C·(1 - r) > T. T is measured when a connection begins (`probe`),
C and r by compressing the first members of a link that is slow enough to come into question.
"""

from __future__ import annotations

import time
import zlib
from collections.abc import Callable, Sequence

from rtbids.errors import StreamBroken

SMALLEST, LARGEST = 4096, 256 << 20  # bytes of a member that is compressed; a bomb unpacks to no more than these either
FASTEST = 100e6  # bytes/s; on a faster link no compressor of this level pays
MARK = ".link.gz"
GZIP = "gzip"
_TRIAL = 128 << 10  # bytes that are compressed before C and r count
_WINDOW = 31  # zlib's window with gzip's header, so that gunzip unpacks it
_LEVEL, _AS_IT_IS = 1, 0

Compress = Callable[[Sequence[memoryview], int], bytes]


def compress(parts: Sequence[memoryview], level: int = _LEVEL) -> bytes:
    compressor = zlib.compressobj(level, zlib.DEFLATED, _WINDOW)
    return b"".join([*(compressor.compress(part) for part in parts), compressor.flush()])


def decompress(content: memoryview, largest: int) -> bytes | None:
    """Return the content; None where it is longer than `largest`, or damaged."""
    decompressor = zlib.decompressobj(_WINDOW)
    try:
        plain = decompressor.decompress(content, largest + 1)
    except zlib.error:
        return None
    return plain if decompressor.eof and not decompressor.unused_data and len(plain) <= largest else None


def unpack(name: str, content: memoryview, largest: int, where: str) -> tuple[str, memoryview]:
    """Return name and content of a member as the application sent it."""
    if not name.endswith(MARK):
        return name, content
    plain = decompress(content, min(largest, max(LARGEST, len(content))))
    if plain is None:
        raise StreamBroken(f"{where}: {name[:80]} cannot be unpacked")
    return name.removesuffix(MARK), memoryview(plain)


class Packer:
    """Decides for one link whether members are compressed, and does it. `clock` gives seconds."""

    def __init__(self, compress: Compress = compress, clock: Callable[[], float] = time.perf_counter) -> None:
        self._compress = compress
        self._clock = clock
        self._bandwidth: float | None = None
        self._begin_trial()

    def measured(self, bandwidth: float) -> None:
        """Be told how fast the link is, in bytes/s."""
        self._bandwidth = bandwidth
        self._begin_trial()

    @property
    def codec(self) -> str:
        """What members are compressed with; nothing where they are not."""
        return GZIP if self._pays() else ""

    def pack(self, name: str, parts: Sequence[memoryview], size: int) -> tuple[str, Sequence[memoryview]]:
        """Return name and content as they go on the wire.

        A name that ends as a compressed member's does gets another such end, or its content would be unpacked over there.
        """
        if name.endswith(MARK):
            return name + MARK, [memoryview(self._compress(parts, _AS_IT_IS))]
        if not SMALLEST <= size <= LARGEST or not self._pays():
            return name, parts
        begin = self._clock()
        packed = self._compress(parts, _LEVEL)
        self._count(size, len(packed), self._clock() - begin)
        return (name + MARK, [memoryview(packed)]) if len(packed) < size else (name, parts)

    def _pays(self) -> bool:
        bandwidth = self._bandwidth
        if bandwidth is None or bandwidth >= FASTEST:
            return False
        size, left, seconds = self._trial  # another thread may begin a new one
        return size < _TRIAL or (size - left) / max(seconds, 1e-9) > bandwidth

    def _begin_trial(self) -> None:
        self._trial = 0, 0, 0.0  # bytes as they were, bytes packed, seconds

    def _count(self, size: int, left: int, seconds: float) -> None:
        before = self._trial
        share = 1 if before[0] < 64 * _TRIAL else 2  # what is long past counts less and less
        self._trial = before[0] // share + size, before[1] // share + left, before[2] / share + seconds
