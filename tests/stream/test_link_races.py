"""What threads of an application, several connections and several far sides may do to a link at once."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, BinaryIO, cast

import pytest
from link_ends import AT_ONCE, PATIENCE, Keeper, ends, numbered, pair, send, take, wait_for

from rtbids.errors import BadData, ConnectionLost
from rtbids.stream.link import Descriptors, Hello, Spool, Transport, dial, hear, protocol, serve
from rtbids.stream.link.connection import Connection
from rtbids.stream.link.disk import Disk

SESSION = "0" * 32
KB = 1 << 10


class SlowDisk(Disk):
    """A disk whose every write waits for the test, once the content is half there."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.is_writing, self.may_go_on = threading.Event(), threading.Event()

    def write(self, place: int, parts: Sequence[memoryview]) -> None:
        super().write(place, [*parts[:-1], _Waiting(parts[-1], self)])  # type: ignore[list-item]


class _Waiting:
    """A part of which the first half is on disk before the second is asked for."""

    def __init__(self, part: memoryview, disk: SlowDisk) -> None:
        self._part, self._disk = part, disk

    def __len__(self) -> int:
        return len(self._part)

    def __getitem__(self, which: slice) -> memoryview:
        if which.start:
            self._disk.is_writing.set()
            assert self._disk.may_go_on.wait(PATIENCE)
            return self._part[which]
        return self._part[: len(self._part) // 2]


def slow_spool(folder: Path) -> tuple[Spool, SlowDisk]:
    spool = Spool(KB, 1 << 20, folder)
    disk = spool._disk = SlowDisk(folder)
    return spool, disk


def in_background(act: Callable[[], object]) -> tuple[threading.Thread, list[object]]:
    """Return the thread, and where what it returned or raised will be."""
    found: list[object] = []

    def run() -> None:
        try:
            found.append(act())
        except BaseException as error:  # told to the test
            found.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    return thread, found


def test_what_is_spooled_while_another_thread_finishes_is_refused_not_lost(tmp_path: Path) -> None:
    spool, disk = slow_spool(tmp_path)
    with ends(spool) as (near, road):
        near.send("m", bytes(KB))
        sending, found = in_background(lambda: near.send("late", bytes(4 * KB)))
        assert disk.is_writing.wait(PATIENCE)
        far = road.keeper.link()
        assert len(take(far, 1)) == 1
        near.finish(PATIENCE)
        assert list(far.members()) == []
        disk.may_go_on.set()
        sending.join(PATIENCE)
        assert isinstance(found[0], ValueError)
        assert near.state.sent == 1


def test_what_is_spooled_while_the_link_is_closed_lands_in_no_other_file(tmp_path: Path) -> None:
    spool, disk = slow_spool(tmp_path / "spool")
    with ends(spool) as (near, _):
        near.wait_up(PATIENCE)
        near.send("m", bytes(KB))
        sending, found = in_background(lambda: near.send("voxels", b"A" * 8 * KB))
        assert disk.is_writing.wait(PATIENCE)
        near.close()
        others = [(tmp_path / f"{number}").open("w+b") for number in range(40)]  # one of them gets a number that is free
        disk.may_go_on.set()
        sending.join(PATIENCE)
        assert isinstance(found[0], ConnectionLost)
        assert [os.fstat(file.fileno()).st_size for file in others] == [0] * 40
        for file in others:
            file.close()


def test_a_disk_that_was_closed_is_not_opened_again(tmp_path: Path) -> None:
    disk = Disk(tmp_path)
    disk.close()
    with pytest.raises(OSError, match="closed here"):
        disk.write(0, [memoryview(b"voxels")])


@pytest.mark.parametrize("modified", [float("nan"), float("inf"), -float("inf")])
def test_a_time_that_is_none_is_refused_in_the_thread_that_sends(modified: float) -> None:
    with ends() as (near, road):
        with pytest.raises(ValueError, match="cannot be of time"):
            near.send("m", b"x", modified=modified)
        send(near, numbered(1))
        assert take(road.keeper.link(), 1) == numbered(1)


@pytest.mark.parametrize("name", ["sub-\udcff.nii", "m" * 4095])
def test_names_that_would_arrive_as_others_or_not_at_all_are_refused(name: str) -> None:
    with ends() as (near, _), pytest.raises(ValueError, match="cannot be named"):
        near.send(name, b"x")


class Broken(Spool):
    def content(self, entry: object) -> Sequence[memoryview]:
        raise MemoryError("no memory for a member")


def test_whatever_fails_while_writing_ends_the_link_and_is_raised_to_the_application() -> None:
    with ends(Broken()) as (near, _):
        near.send("m", b"x")
        with pytest.raises(MemoryError):
            near.finish(PATIENCE)
        wait_for(near, lambda: not near.state.is_up)


def test_a_far_side_from_before_another_took_over_is_refused_and_loses_nothing() -> None:
    first, second = Keeper(), Keeper()
    with ends(keeper=first) as (near, road):
        send(first.link(), numbered(3))
        assert take(near, 3) == numbered(3)
        wait_for(first.link(), lambda: first.link().state.waiting_members == 0)
        road.keeper = second
        road.cut()
        assert second.link().send("m3", b"333") == 3
        assert take(near, 1) == numbered(1, 3)
        road.keeper = first
        assert first.link().send("another m3", b"?") == 3
        road.cut()
        wait_for(near, lambda: near.state.attempts > 2)
        assert "went on elsewhere" in near.state.problem
        assert first.link().state.waiting_members == 1
        road.keeper = second
        send(second.link(), numbered(1, 4))
        assert take(near, 1) == numbered(1, 4)
    first.close()


class Stuck:
    """A transport that takes nothing and gives nothing until it is closed."""

    def __init__(self) -> None:
        self.closed, self.is_used = threading.Event(), threading.Event()
        self.reader = self.writer = cast(Any, self)

    def write(self, view: memoryview) -> int:
        self.is_used.set()
        assert self.closed.wait(PATIENCE)
        raise ConnectionResetError("closed here")

    readinto = write

    def close(self) -> None:
        self.closed.set()


def test_a_new_connection_does_not_wait_for_one_that_is_stuck_in_its_hello() -> None:
    hello, stuck = Hello(SESSION, "test"), Stuck()
    link = serve(hello, terms=AT_ONCE)
    link.attach(stuck, hello)
    assert stuck.is_used.wait(PATIENCE)
    near, far = pair()
    link.attach(far, hello)
    assert stuck.closed.is_set()
    assert next(Connection(near, "far", AT_ONCE).members()).name == protocol.HELLO
    near.close()
    link.close()


def test_a_connection_that_comes_as_the_link_ends_is_told_so() -> None:
    hello, (near, far) = Hello(SESSION, "test"), pair()
    link = serve(hello, terms=AT_ONCE)
    with link._shared.changed:  # the thread that reads finds both at once
        link.attach(far, hello)
        link._shared.end(BadData("no such volume"))
    assert next(Connection(near, "far", AT_ONCE).members()).name == protocol.REFUSED
    near.close()
    link.close()


def short_lived() -> Transport:
    """A far side that is killed as soon as it has answered, every time."""
    near, far = pair()

    def live() -> None:
        hello = hear(far)
        link = serve(hello, terms=AT_ONCE)
        link.attach(far, hello)
        wait_for(link, lambda: link.state.is_up)
        far.close()
        link.close()

    threading.Thread(target=live, daemon=True).start()
    return near


def test_a_far_side_that_begins_anew_each_time_is_dialled_ever_more_slowly() -> None:
    asked: list[int] = []
    enough = threading.Event()

    def delay(failures: int) -> float:
        asked.append(failures)
        if len(asked) == 6:
            enough.set()
        return 0.001

    link = dial(short_lived, "test", terms=replace(AT_ONCE, delay=delay))
    assert enough.wait(PATIENCE)
    link.close()
    assert asked[:6] == [1, 2, 3, 4, 5, 6]


def test_a_far_side_that_goes_on_is_dialled_at_once_after_every_cut() -> None:
    asked: list[int] = []

    def delay(failures: int) -> float:
        asked.append(failures)
        return 0.001

    with ends(terms=replace(AT_ONCE, delay=delay)) as (near, road):
        near.wait_up(PATIENCE)
        for cut in range(5):
            road.cut()
            wait_for(near, lambda cut=cut: near.state.cuts == cut + 1 and near.state.is_up)  # type: ignore[misc]
    assert asked[1:5] == [1, 1, 1, 1]


def test_the_end_of_a_far_side_is_not_that_of_the_one_that_comes_after_it() -> None:
    with ends() as (near, road):
        far = road.keeper.link()
        send(near, numbered(1))  # which is never safe there, so that nothing is in order
        ending, _ = in_background(lambda: far.finish(PATIENCE))
        assert list(near.members()) == []
        road.keeper.lose()
        road.cut()
        anew = road.keeper.link()
        assert take(anew, 1) == numbered(1)
        send(anew, numbered(1))
        assert take(near, 1) == numbered(1)
        far.close()
        ending.join(PATIENCE)


def test_members_end_with_the_error_that_the_link_is_closed_with_even_where_the_connection_ends_first() -> None:
    with ends() as (near, road):
        far = road.keeper.link()
        near.wait_up(PATIENCE)
        wait_for(far, lambda: far.state.is_up)
        with far._shared.changed:  # the first half of a close, at which its thread is held up
            far._shared.outgoing.is_closing, far._shared.outgoing.fault = True, BadData("stopped")
            far._shared.due.notify_all()
        wait_for(far, lambda: far.is_over)
        with pytest.raises(BadData, match="stopped"):
            list(far.members())


class Held:
    """A transport whose first write waits for the test."""

    def __init__(self, inner: Descriptors) -> None:
        self.is_writing, self.may_go_on = threading.Event(), threading.Event()
        self.reader, self.writer, self.close = inner.reader, cast(BinaryIO, self), inner.close
        self._inner = inner.writer

    def write(self, view: memoryview) -> int:
        self.is_writing.set()
        assert self.may_go_on.wait(PATIENCE)
        return self._inner.write(view)


def test_who_is_being_answered_while_the_link_is_closed_hears_why_on_that_connection() -> None:
    held: list[Held] = []

    def shape(near: Descriptors, far: Descriptors) -> tuple[Transport, Transport]:
        held.append(Held(far))
        return near, held[-1]

    with ends(shape=shape) as (near, road):
        far = road.keeper.link()
        assert held[0].is_writing.wait(PATIENCE)
        closing, _ = in_background(lambda: far.close(BadData("stopped")))
        wait_for(far, lambda: far._shared.outgoing.is_closing)
        held[0].may_go_on.set()
        with pytest.raises(BadData, match="stopped"):
            list(near.members())
        closing.join(PATIENCE)
    assert len(held) == 1
