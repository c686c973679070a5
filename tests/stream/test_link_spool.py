"""What waits to be safe: memory first, then disk, then waiting or dropping, and never more than was allowed."""

from __future__ import annotations

import errno
import gc
import logging
import os
import stat
import sys
import threading
from collections.abc import Sequence
from itertools import islice
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from link_ends import AT_ONCE, PATIENCE, ends, take, wait_for

from rtbids.errors import ConnectionLost, UsageFault
from rtbids.stream.link import Spool, Transport, dial
from rtbids.stream.link.disk import GRAIN, Disk, Extents
from rtbids.stream.link.spool import IN_MEMORY, entry_of

KB = 1 << 10


def put(spool: Spool, content: bytes, droppable: bool = False) -> int | None:
    """Put a member as a link does; None where there is no room."""
    entry = entry_of("m", [memoryview(content)], 0.0, droppable)
    place = spool.room(entry.size)
    if place is None:
        return None
    entry.place = place
    if place != IN_MEMORY and not spool.write(entry):
        spool.give_back(entry)
        return None
    return spool.put(entry)


def content(spool: Spool, number: int) -> bytes:
    entry = spool.get(number)
    assert entry is not None
    return b"".join(spool.content(entry))


def test_what_memory_does_not_hold_goes_to_disk_and_comes_back_as_it_was(tmp_path: Path) -> None:
    spool = Spool(10 * KB, 100 * KB, tmp_path / "spool")
    written = [os.urandom(4 * KB) for _ in range(20)]
    assert [put(spool, one) for one in written] == list(range(20))
    assert [content(spool, number) for number in range(20)] == written
    assert (spool.in_memory, spool.on_disk) == (8 * KB, 72 * KB)
    spool.close()


def test_nothing_goes_beyond_memory_and_disk(tmp_path: Path) -> None:
    spool = Spool(10 * KB, 100 * KB, tmp_path)
    count = sum(put(spool, bytes(4 * KB)) is not None for _ in range(100))
    assert count == 2 + 25
    spool.forget(27)
    assert (spool.waiting_bytes, spool.is_empty) == (0, True)
    assert put(spool, b"x") == 27
    spool.close()


def test_a_member_that_is_larger_than_the_spool_is_taken_when_nothing_else_waits() -> None:
    spool = Spool(KB)
    assert put(spool, bytes(5 * KB)) == 0
    assert put(spool, b"x") is None


def test_the_count_of_small_members_is_bounded_too() -> None:
    spool = Spool(100 * KB)
    assert sum(put(spool, b"") is not None for _ in range(1000)) == 100


def test_the_file_is_the_owners_and_has_no_name(tmp_path: Path) -> None:
    folder = tmp_path / "spool"
    disk = Disk(folder)
    disk.write(0, [memoryview(b"voxels")])
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert list(folder.iterdir()) == []
    files = [os.fstat(int(name)) for name in os.listdir("/proc/self/fd") if _is_open(int(name))]
    assert [stat.S_IMODE(found.st_mode) for found in files if found.st_size == 6 and found.st_nlink == 0] == [0o600]
    disk.close()


def _is_open(descriptor: int) -> bool:
    try:
        os.fstat(descriptor)
    except OSError:
        return False
    return True


def test_space_on_disk_is_given_back_when_nothing_waits(tmp_path: Path) -> None:
    disk = Disk(tmp_path)
    disk.write(0, [memoryview(bytes(100 * KB))])
    disk.empty()
    with pytest.raises(OSError, match="ended after 0 of 1 bytes"):
        disk.read(0, 1)
    disk.close()


@given(st.lists(st.tuples(st.integers(1, 40 * KB), st.booleans()), max_size=80))
def test_places_on_disk_never_overlap_and_all_come_back(steps: list[tuple[int, bool]]) -> None:
    size = 256 * KB
    extents = Extents(size)
    held: list[tuple[int, int]] = []
    for length, give_back in steps:
        if give_back and held:
            extents.give_back(*held.pop(length % len(held)))
        elif (place := extents.take(length)) is not None:
            assert place + length <= size
            assert all(place + length <= begin or begin + other <= place for begin, other in held)
            held.append((place, length))
    for place, length in held:
        extents.give_back(place, length)
    assert extents.taken == 0
    assert extents.take(size) == 0


def test_extents_smaller_than_a_grain_hold_nothing() -> None:
    assert Extents(GRAIN - 1).take(1) is None


def test_a_full_spool_holds_up_the_sender_until_something_is_safe() -> None:
    with ends(Spool(10 * KB)) as (near, road):
        for _ in range(2):
            near.send("m", bytes(4 * KB))
        blocked = threading.Thread(target=near.send, args=("m", bytes(4 * KB)))
        blocked.start()
        blocked.join(0.1)
        assert blocked.is_alive()
        assert near.state.waiting_bytes == 8 * KB
        assert [number for number, _, _ in take(road.keeper.link(), 3)] == [0, 1, 2]
        blocked.join(PATIENCE)
        assert not blocked.is_alive()


def test_a_sender_that_waits_for_room_learns_that_the_link_has_ended() -> None:
    refused = threading.Event()

    def connect() -> Transport:
        refused.wait(PATIENCE)
        raise UsageFault("no such host")

    link = dial(connect, "test", spool=Spool(KB), terms=AT_ONCE)
    link.send("m", bytes(KB))
    threading.Timer(0.05, refused.set).start()
    with pytest.raises(UsageFault, match="no such host"):
        link.send("m", bytes(KB))
    link.close()


def test_the_oldest_that_may_be_dropped_are_and_their_numbers_are_kept() -> None:
    with ends(Spool(10 * KB, when_full="drop")) as (near, road):
        near.wait_up(PATIENCE)
        road.is_blocked.set()
        road.cut()
        wait_for(near, lambda: near.state.attempts > 0)
        first = near.state.sent
        for place in range(20):
            near.send(f"m{place}", bytes([place]) * 2 * KB, droppable=place % 5 != 0)
        assert near.state.dropped > 10
        assert near.state.waiting_bytes <= 10 * KB
        road.is_blocked.clear()
        found: list[tuple[int, str, int]] = []
        for arrived in road.keeper.link().members():
            found.append((arrived.number, arrived.member.name, arrived.dropped))
            if arrived.number == first + 19:
                break
    whole = [int(name[1:]) for _, name, dropped in found if not dropped]
    assert {0, 5, 10, 15, 19} <= set(whole)
    assert sum(dropped for _, _, dropped in found) == 20 - len(whole) == near.state.dropped
    expected = first
    for number, name, dropped in found:
        expected += dropped or 1
        assert number == expected - 1
        assert dropped or name == f"m{number - first}"


def test_what_is_on_the_wire_is_not_dropped() -> None:
    spool = Spool(10 * KB, when_full="drop")
    for _ in range(5):
        put(spool, bytes(2 * KB), droppable=True)
    spool.on_wire = 3
    assert [spool.drop(), spool.drop(), spool.drop()] == [True, True, False]
    assert [entry.dropped for number in range(4) if (entry := spool.get(number))] == [0, 0, 0, 2]
    assert spool.marked == 2
    spool.forget(5)
    assert (spool.marked, spool.dropped) == (0, 2)


def test_a_member_that_may_be_dropped_is_itself_where_nothing_else_may() -> None:
    with ends(Spool(4 * KB, when_full="drop")) as (near, road):
        near.send("kept", bytes(4 * KB))
        assert [near.send("m", bytes(KB), droppable=True) for _ in range(3)] == [1, 2, 3]
        assert near.state.dropped == 3
        members, found = road.keeper.link().members(), []
        while not found or found[-1].number < 3:
            found.append(next(members))
        with pytest.raises(ConnectionLost, match="1 members are not known to be safe there"):
            near.finish(0.01)
    assert found[0].member.name == "kept"
    assert sum(arrived.dropped for arrived in found) == 3


def test_a_disk_that_refuses_counts_as_full_and_is_said_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    no_folder = tmp_path / "file"
    no_folder.write_bytes(b"")
    with caplog.at_level(logging.WARNING, "rtbids"), ends(Spool(4 * KB, 100 * KB, no_folder, "drop")) as (near, road):
        near.wait_up(PATIENCE)
        road.is_blocked.set()
        road.cut()
        wait_for(near, lambda: near.state.attempts > 0)
        for _ in range(10):
            near.send("m", bytes(3 * KB), droppable=True)
        assert near.state.dropped == 9
        assert (near.state.waiting_bytes, near.state.disk_bytes) == (3 * KB, 0)
    said = [one.message for one in caplog.records if "spool" in one.message]
    assert said == ["the spool's disk takes no more (File exists): it counts as full"]


class FullDisk(Disk):
    """A file system of so many bytes."""

    left = 8 * KB

    def write(self, place: int, parts: Sequence[memoryview]) -> None:
        if sum(len(part) for part in parts) > self.left:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        super().write(place, parts)
        self.left -= sum(len(part) for part in parts)


def test_a_disk_that_has_space_again_is_used_again(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    spool = Spool(4 * KB, 100 * KB, tmp_path)
    disk = spool._disk = FullDisk(tmp_path)
    with caplog.at_level(logging.WARNING, "rtbids"):
        assert [put(spool, bytes(4 * KB)) for _ in range(5)] == [0, 1, 2, None, None]
    assert [one.message for one in caplog.records] == [
        "the spool's disk takes no more (No space left on device): it counts as full"
    ]
    assert spool.on_disk == 8 * KB
    disk.left = 4 * KB
    assert put(spool, bytes(4 * KB)) == 3
    spool.close()


@pytest.mark.slow
def test_memory_stays_flat_over_20000_members() -> None:
    content = bytes(2 * KB)
    with ends() as (near, road):
        far = road.keeper.link()

        def take_all(count: int) -> None:
            for arrived in islice(far.members(), count):
                far.settle(arrived.number)

        def pass_on(count: int) -> int:
            taking = threading.Thread(target=take_all, args=(count,))
            taking.start()
            for _ in range(count):
                near.send("m", content)
            taking.join(3 * PATIENCE)
            wait_for(near, lambda: near.state.waiting_members == 0)
            gc.collect()
            return sys.getallocatedblocks()

        before = pass_on(2_000)
        assert pass_on(18_000) - before < 2_000  # one block a member would be 18,000
