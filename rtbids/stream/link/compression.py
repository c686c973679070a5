"""Compress what is sent where the link is slower than the data: a member at a time, its name says so.

With a link of T bytes/s, a compressor of C bytes/s that leaves a share r, a member of n bytes takes n/T as it is and
n/C + n·r/T compressed (one after the other): it pays where C·(1 - r) > T. T is measured when a connection begins (`probe`),
C and r by compressing the first members of a link that is slow enough to come into question.
"""

from __future__ import annotations

import importlib
import time
import zlib
from collections.abc import Callable, Sequence
from typing import Any, Protocol

from rtbids.errors import StreamBroken

SMALLEST = 4096  # bytes of a member that is compressed
FASTEST = 100e6  # bytes/s; on a faster link no compressor of this level pays
_TRIAL = 128 << 10  # bytes that are compressed before C and r count
_MARK = ".link"
_GZIP = 31  # zlib's window with gzip's header, so that gunzip unpacks it
_LEVEL = 1
GZIP, ZSTD = "gzip", "zstd"
SUFFIX = {GZIP: f"{_MARK}.gz", ZSTD: f"{_MARK}.zst"}


class Codec(Protocol):
    def compress(self, parts: Sequence[memoryview]) -> bytes: ...

    def decompress(self, content: memoryview, largest: int) -> bytes | None:
        """Return the content; None where it is longer than `largest`, or damaged."""
        ...


class Gzip:
    def compress(self, parts: Sequence[memoryview]) -> bytes:
        compressor = zlib.compressobj(_LEVEL, zlib.DEFLATED, _GZIP)
        return b"".join([*(compressor.compress(part) for part in parts), compressor.flush()])

    def decompress(self, content: memoryview, largest: int) -> bytes | None:
        decompressor = zlib.decompressobj(_GZIP)
        try:
            plain = decompressor.decompress(content, largest + 1)
        except zlib.error:
            return None
        return plain if decompressor.eof and not decompressor.unused_data and len(plain) <= largest else None


class Zstd:
    def __init__(self, zstandard: Any) -> None:
        self._zstandard = zstandard

    def compress(self, parts: Sequence[memoryview]) -> bytes:
        compressor = self._zstandard.ZstdCompressor(level=_LEVEL).compressobj()
        return b"".join([*(compressor.compress(part) for part in parts), compressor.flush()])

    def decompress(self, content: memoryview, largest: int) -> bytes | None:
        try:
            with self._zstandard.ZstdDecompressor().stream_reader(bytes(content)) as plain:
                found: bytes = plain.read(largest + 1)
        except self._zstandard.ZstdError:
            return None
        return found if len(found) <= largest else None


def codecs() -> dict[str, Codec]:
    """Return what can be packed and unpacked here, the best first."""
    try:
        zstandard = importlib.import_module("zstandard")
    except ImportError:
        return {GZIP: Gzip()}
    return {ZSTD: Zstd(zstandard), GZIP: Gzip()}


def unpack(name: str, content: memoryview, known: dict[str, Codec], largest: int, where: str) -> tuple[str, memoryview]:
    """Return name and content of a member as the application sent it."""
    codec = next((codec for codec, suffix in SUFFIX.items() if name.endswith(suffix)), None)
    if codec is None:
        return name, content
    plain = known[codec].decompress(content, largest) if codec in known else None
    if plain is None:
        raise StreamBroken(f"{where}: {name[:80]} cannot be unpacked")
    return name.removesuffix(SUFFIX[codec]), memoryview(plain)


class Packer:
    """Decides for one link whether members are compressed, and does it. `clock` gives seconds."""

    def __init__(self, known: dict[str, Codec] | None = None, clock: Callable[[], float] = time.perf_counter) -> None:
        self.known = codecs() if known is None else known
        self._clock = clock
        self._codec = GZIP
        self._bandwidth: float | None = None
        self._begin_trial()

    def agree(self, theirs: Sequence[str]) -> None:
        """Take the best that both sides can."""
        codec = next((codec for codec in self.known if codec in theirs), "")
        if codec != self._codec:
            self._begin_trial()
        self._codec = codec

    def measured(self, bandwidth: float) -> None:
        """Be told how fast the link is, in bytes/s."""
        self._bandwidth = bandwidth
        self._begin_trial()

    @property
    def codec(self) -> str:
        """What members are compressed with; nothing where they are not."""
        return self._codec if self._pays() else ""

    def pack(self, name: str, parts: Sequence[memoryview], size: int) -> tuple[str, Sequence[memoryview]]:
        """Return name and content as they go on the wire.

        A name that ends as a compressed member's does is compressed whatever is decided, or it would be unpacked over there.
        """
        is_odd = name.endswith(tuple(SUFFIX.values()))
        if not is_odd and (size < SMALLEST or not self._pays()):
            return name, parts
        codec = self._codec or GZIP
        begin = self._clock()
        packed = self.known[codec].compress(parts)
        self._count(size, len(packed), self._clock() - begin)
        return (name + SUFFIX[codec], [memoryview(packed)]) if is_odd or len(packed) < size else (name, parts)

    def _pays(self) -> bool:
        bandwidth = self._bandwidth
        if not self._codec or bandwidth is None or bandwidth >= FASTEST:
            return False
        size, left, seconds = self._trial  # another thread may begin a new one
        return size < _TRIAL or (size - left) / max(seconds, 1e-9) > bandwidth

    def _begin_trial(self) -> None:
        self._trial = 0, 0, 0.0  # bytes as they were, bytes packed, seconds

    def _count(self, size: int, left: int, seconds: float) -> None:
        before = self._trial
        share = 1 if before[0] < 64 * _TRIAL else 2  # what is long past counts less and less
        self._trial = before[0] // share + size, before[1] // share + left, before[2] / share + seconds
