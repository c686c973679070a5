"""Members are compressed where the link is slower than the data, and only there."""

from __future__ import annotations

import gzip
import io
import os
import subprocess
import threading
from collections.abc import Sequence
from typing import BinaryIO, cast

import pytest
from link_ends import PATIENCE, Keeper, ends, take, wait_for

from rtbids.errors import StreamBroken
from rtbids.stream import wire
from rtbids.stream.link import Descriptors, Terms, Transport
from rtbids.stream.link.compression import FASTEST, GZIP, LARGEST, SMALLEST, Packer, compress, decompress, unpack
from rtbids.stream.link.probe import BLOCKS, DURATION, SIZE, SLOW, Probe

VOXELS = bytes(range(64)) * 4096  # 256 KiB that compress well
NOISE = os.urandom(256 << 10)
PROBED = Terms(delay=lambda failures: 0.001)


class Timed:
    """A codec that leaves half and takes as long as is said, on a clock of its own."""

    def __init__(self, speed: float) -> None:
        self.now = 0.0
        self._speed = speed

    def compress(self, parts: Sequence[memoryview], level: int) -> bytes:
        size = sum(len(part) for part in parts)
        self.now += size / self._speed
        return bytes(size // 2)


def packer(speed: float, bandwidth: float | None) -> Packer:
    codec = Timed(speed)
    made = Packer(codec.compress, lambda: codec.now)
    if bandwidth is not None:
        made.measured(bandwidth)
    return made


def packed(packer: Packer, content: bytes, name: str = "m.nii") -> tuple[str, bytes]:
    found, parts = packer.pack(name, [memoryview(content)], len(content))
    return found, b"".join(parts)


@pytest.mark.parametrize(
    ("speed", "bandwidth", "codec"),
    [
        (50e6, 2.5e6, GZIP),  # 20 Mbit/s
        (50e6, 24e6, GZIP),  # half of the speed is gained, so a link of 25 MB/s is the limit
        (50e6, 26e6, ""),
        (4e6, 2.5e6, ""),  # a machine that compresses more slowly than the link carries
        (1e12, FASTEST, ""),
        (50e6, None, ""),  # nothing is known yet
    ],
)
def test_a_link_compresses_where_that_is_faster(speed: float, bandwidth: float | None, codec: str) -> None:
    one = packer(speed, bandwidth)
    for _ in range(4):
        packed(one, VOXELS)
    assert one.codec == codec
    assert packed(one, VOXELS)[0] == ("m.nii.link.gz" if codec else "m.nii")


def test_what_was_decided_is_decided_anew_when_the_link_is_measured_again() -> None:
    one = packer(50e6, 2e6)
    assert packed(one, VOXELS)[0] == "m.nii.link.gz"
    one.measured(FASTEST)
    assert packed(one, VOXELS)[0] == "m.nii"
    one.measured(2e6)
    assert packed(one, VOXELS)[0] == "m.nii.link.gz"


def test_small_members_and_noise_go_as_they_are() -> None:
    one = Packer()
    one.measured(1e3)
    small = bytes(SMALLEST - 1)
    assert packed(one, small) == ("m.nii", small)
    assert packed(one, small + b"x")[0] == "m.nii.link.gz"
    assert packed(one, NOISE) == ("m.nii", NOISE)


def test_gunzip_unpacks_what_a_plain_tar_shows() -> None:
    content = compress([memoryview(VOXELS[:1000]), memoryview(VOXELS[1000:])])
    assert gzip.decompress(content) == VOXELS
    assert subprocess.run(["gunzip", "-c"], input=content, capture_output=True, check=True).stdout == VOXELS


def test_what_was_packed_comes_back_and_no_more_than_allowed() -> None:
    content = memoryview(compress([memoryview(VOXELS)]))
    assert decompress(content, len(VOXELS)) == VOXELS
    assert decompress(content, len(VOXELS) - 1) is None
    assert decompress(memoryview(b"\x1f\x8bnonsense"), 100) is None


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(gzip.compress(bytes(100 << 20)), id="a bomb"),
        pytest.param(gzip.compress(VOXELS)[:-9], id="cut"),
        pytest.param(gzip.compress(VOXELS) + b"more", id="more after it"),
        pytest.param(b"", id="nothing"),
    ],
)
def test_what_does_not_unpack_is_refused(content: bytes) -> None:
    with pytest.raises(StreamBroken, match=r"far: m\.link\.gz cannot be unpacked"):
        unpack("m.link.gz", memoryview(content), 1 << 20, "far")


def test_a_bomb_is_refused_where_members_may_be_larger_than_it() -> None:
    bomb = compress([memoryview(bytes(1 << 20))] * ((LARGEST >> 20) + 1))
    with pytest.raises(StreamBroken, match=r"far: m\.link\.gz cannot be unpacked"):
        unpack("m.link.gz", memoryview(bomb), 4 << 30, "far")


def test_members_beyond_what_is_unpacked_are_not_compressed() -> None:
    assert packer(50e6, 1e3).pack("m", [memoryview(b"")], LARGEST + 1)[0] == "m"


@pytest.mark.parametrize("name", ["a.nii.gz", "a.link.gz", "a.link.gz.link.gz"])
def test_members_that_are_named_like_compressed_ones_arrive_as_they_were(name: str) -> None:
    with ends() as (near, road):
        near.send(name, b"as it is")
        assert take(road.keeper.link(), 1) == [(0, name, b"as it is")]


def probe(speed: float, round_trip: float = 0.0) -> tuple[Probe, int]:
    """A probe of a connection of so many bytes/s; and how many blocks it sent."""
    now = [0.0]
    one, sent = Probe(lambda: now[0]), 0
    while one.is_due:
        one.sent()
        sent += 1
        now[0] += SIZE / speed + round_trip
        one.answered(round_trip)
    assert one.is_over
    return one, sent


@pytest.mark.parametrize(("speed", "blocks"), [(1e9, BLOCKS), (50e6, BLOCKS), (0.9 * SLOW, 2), (1e4, 1)])
def test_a_probe_finds_the_throughput_with_few_blocks(speed: float, blocks: int) -> None:
    one, sent = probe(speed)
    assert (one.throughput, sent) == (pytest.approx(speed, rel=0.01), blocks)


def test_a_probe_takes_the_round_trip_off() -> None:
    assert probe(5e6, 0.01)[0].throughput == pytest.approx(5e6, rel=0.01)


def test_the_fastest_block_counts_and_a_second_is_enough() -> None:
    now = [0.0]
    one = Probe(lambda: now[0])
    for seconds in (0.01, 0.001, DURATION):
        one.sent()
        now[0] += seconds
        one.answered(0.0)
    assert one.throughput == pytest.approx(SIZE / 0.001, rel=0.01)
    assert one.is_over


def test_one_block_that_met_a_busy_machine_makes_no_slow_connection() -> None:
    now = [0.0]
    one = Probe(lambda: now[0])
    for seconds in (0.2, 0.001):
        assert one.is_due
        one.sent()
        now[0] += seconds
        one.answered(0.0)
    assert one.throughput == pytest.approx(SIZE / 0.001, rel=0.01)


class Slow:
    """A transport that takes a while for every block: the time is waited for, as it is on the way."""

    def __init__(self, inner: Descriptors, speed: float) -> None:
        self.reader = inner.reader
        self.writer = cast(BinaryIO, _SlowWriting(inner, speed))
        self.close = inner.close


class _SlowWriting(io.RawIOBase):
    def __init__(self, inner: Descriptors, speed: float) -> None:
        self._inner = inner
        self._speed = speed

    def write(self, view: memoryview) -> int:  # type: ignore[override]
        block = view[:8192]
        threading.Event().wait(len(block) / self._speed)
        return self._inner.writev([block])


def test_a_slow_link_compresses_after_its_first_second_and_says_so() -> None:
    def slow(near: Descriptors, far: Descriptors) -> tuple[Transport, Transport]:
        return Slow(near, 1e6), far

    with ends(terms=PROBED, keeper=Keeper(terms=PROBED)) as (near, road):
        far = road.keeper.link()
        near.wait_up(PATIENCE)
        road.shape = slow
        road.cut()
        wait_for(near, lambda: near.state.cuts == 1 and near._shared.connection is not None)
        wait_for(near, lambda: near._shared.connection is not None and near._shared.connection.probe.is_over)
        before = near.state.bytes_out
        near.send("m.nii", VOXELS)
        assert take(far, 1) == [(0, "m.nii", VOXELS)]
        assert near.state.compression == GZIP
        assert near.state.throughput is not None
        assert near.state.throughput < 2e6  # less where the machine lets waits be longer; the round trip's share is taken off
        assert near.state.bytes_out - before < len(VOXELS) / 4
        road.shape = lambda near, far: (near, far)
        road.cut()
        wait_for(near, lambda: (near.state.throughput or 0.0) > 2e6)  # measured anew when it was made again


def test_members_that_were_compressed_are_marked_on_the_wire() -> None:
    one = packer(50e6, 1e3)
    file = io.BytesIO()
    name, parts = one.pack("sub-01_bold.nii", [memoryview(VOXELS)], len(VOXELS))
    wire.Writer(file).write(name, *parts)
    wire.Writer(file).close()
    shown = subprocess.run(["tar", "t"], input=file.getvalue(), capture_output=True, check=True).stdout
    assert shown == b"sub-01_bold.nii.link.gz\n"
