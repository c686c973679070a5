"""Where units go: a tar that is safe, a pipe whose reader comes back, an end mark only on an orderly end."""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from streamed import read, run_of, same, units_of, written

from rtbids.errors import CannotWrite, ConnectionLost, StreamBroken
from rtbids.receipt import Receipt
from rtbids.stream import endpoints, fifo, sinks, wire
from rtbids.stream.standing import Standing
from rtbids.stream.units import Unit

PATIENCE = 20.0


def with_receipts(units: list[Unit], settled: list[int]) -> list[Unit]:
    def one(unit: Unit) -> Unit:
        receipt = Receipt(lambda: settled.append(unit.index))
        return Unit(unit.pieces, unit.run, unit.index, may_be_lost=unit.may_be_lost, receipts=(receipt,))

    return [one(unit) if unit.is_image else unit for unit in units]


def test_a_tar_is_what_the_items_are_written_as(tmp_path: Path):
    settled: list[int] = []
    file = endpoints.open_destination(str(tmp_path / "x.tar"))
    sinks.write_tar(iter(with_receipts(units_of(4), settled)), file, "x.tar")
    assert (tmp_path / "x.tar").read_bytes() == written(run_of(4))
    assert settled == [0, 1, 2, 3]


def test_a_volume_in_a_tar_is_safe_when_the_disk_has_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    settled: list[int] = []
    synced: list[int] = []
    monkeypatch.setattr(os, "fsync", lambda descriptor: synced.append(os.fstat(descriptor).st_size))

    def units() -> Iterator[Unit | None]:
        for unit in with_receipts(units_of(2), settled):
            yield unit
            if unit.index == 0:
                assert settled == []
                yield None
                assert settled == [0]

    sinks.write_tar(units(), endpoints.open_destination(str(tmp_path / "x.tar")), "x.tar")
    assert synced[-1] == (tmp_path / "x.tar").stat().st_size


def test_a_tar_whose_source_broke_has_no_end_mark(tmp_path: Path):
    def units() -> Iterator[Unit]:
        yield from units_of(2)
        raise StreamBroken("cut")

    with pytest.raises(StreamBroken, match="cut"):
        sinks.write_tar(units(), endpoints.open_destination(str(tmp_path / "x.tar")), "x.tar")
    assert not (tmp_path / "x.tar").read_bytes().endswith(wire.END)


@pytest.fixture
def pipe(tmp_path: Path) -> Path:
    os.mkfifo(tmp_path / "pipe", 0o600)
    return tmp_path / "pipe"


class Reader:
    """Reads members of a pipe; `leave` closes it in the middle."""

    def __init__(self, path: Path) -> None:
        self.file = fifo.open_reader(path, PATIENCE)
        self._members = wire.members(self.file, "the pipe")

    def take(self, count: int) -> list[wire.Member]:
        return [next(self._members) for _ in range(count)]

    def rest(self) -> bytes:
        with self.file:
            return b"".join(iter(lambda: self.file.read(1 << 16), b""))


def writing(
    units: Iterator[Unit | None], pipe: Path, timeout: float = PATIENCE
) -> tuple[threading.Thread, list[BaseException]]:
    raised: list[BaseException] = []

    def write() -> None:
        try:
            sinks.write_pipe(units, pipe, timeout)
        except BaseException as error:
            raised.append(error)

    thread = threading.Thread(target=write, daemon=True)
    thread.start()
    return thread, raised


@pytest.fixture
def noticed() -> Iterator[threading.Event]:
    """Set when it was said that a reader has gone."""
    event = threading.Event()
    handler = logging.Handler()
    handler.emit = lambda record: event.set() if "has gone" in record.getMessage() else None  # type: ignore[method-assign]
    logging.getLogger("rtbids").addHandler(handler)
    yield event
    logging.getLogger("rtbids").removeHandler(handler)


def test_a_reader_that_comes_back_has_what_it_needs_and_whole_volumes(pipe: Path, noticed: threading.Event):
    back = threading.Event()

    def units() -> Iterator[Unit | None]:
        for unit in units_of(6):
            if unit.index == 3:
                assert back.wait(PATIENCE)
            yield unit

    thread, raised = writing(units(), pipe)
    first = Reader(pipe)
    first.take(2 + 3 * 2)
    first.file.close()
    assert noticed.wait(PATIENCE)
    again: list[bytes] = []
    reading = threading.Thread(target=lambda: again.append(Reader(pipe).rest()), daemon=True)
    reading.start()
    back.set()
    thread.join(PATIENCE)
    reading.join(PATIENCE)
    assert raised == []
    assert same(read(again[0]), list(run_of(6))[3:])


def test_a_reader_that_leaves_in_the_middle_of_a_volume_and_comes_back_gets_it_whole(pipe: Path, noticed: threading.Event):
    units = units_of(2)
    large = wire.Piece(units[2].pieces[1].name, (units[2].pieces[1].content(), bytes(4 << 20)))
    units[2] = Unit((units[2].pieces[0], large), units[2].run, 0, may_be_lost=True)
    thread, raised = writing(iter(units), pipe)
    first = Reader(pipe)
    first.take(3)
    first.file.read(1000)
    first.file.close()
    assert noticed.wait(PATIENCE)
    second = Reader(pipe)
    found = second.take(4)
    assert [member.name for member in found] == [piece.name for unit in units[:3] for piece in unit.pieces]
    assert found[-1].content == large.content()
    second.rest()
    thread.join(PATIENCE)
    assert raised == []


def test_a_reader_that_never_comes_back_is_named(pipe: Path, noticed: threading.Event):

    def units() -> Iterator[Unit | None]:
        first, *rest = units_of(1)
        yield first
        assert noticed.wait(PATIENCE)
        yield from rest

    thread, raised = writing(units(), pipe, 0.2)
    reader = Reader(pipe)
    reader.take(1)
    reader.file.close()
    thread.join(PATIENCE)
    assert "waited 0.2 s for a reader" in str(raised[0])


def test_who_leaves_before_the_end_is_told_of(pipe: Path):
    gone = threading.Event()

    def units() -> Iterator[Unit | None]:
        yield from units_of(1)
        assert gone.wait(PATIENCE)

    thread, raised = writing(units(), pipe)
    reader = Reader(pipe)
    reader.take(5)
    reader.file.close()
    gone.set()
    thread.join(PATIENCE)
    assert isinstance(raised[0], StreamBroken)
    assert "before the end" in str(raised[0])


def test_a_second_writer_is_refused(pipe: Path):
    opened: list[object] = []
    reading = threading.Thread(target=lambda: opened.append(fifo.open_reader(pipe, PATIENCE)), daemon=True)
    reading.start()
    with fifo.open_writer(pipe, PATIENCE), pytest.raises(CannotWrite, match="has a writer already"):
        sinks.write_pipe(iter(units_of(1)), pipe, 1.0)
    reading.join(PATIENCE)


def test_a_pipe_that_stays_quiet_lets_its_next_reader_in_and_says_what_holds(pipe: Path, noticed: threading.Event):
    second_there = threading.Event()

    def units() -> Iterator[Unit | None]:
        yield from units_of(2)[:3]
        assert noticed.wait(PATIENCE)
        while not second_there.is_set():
            yield None
        yield from units_of(2)[3:]

    thread, raised = writing(units(), pipe)
    first = Reader(pipe)
    first.take(4)
    first.file.close()
    assert noticed.wait(PATIENCE)
    second = Reader(pipe)
    assert [member.name for member in second.take(2)] == [unit.name for unit in units_of(2)[:2]]
    second_there.set()
    second.rest()
    thread.join(PATIENCE)
    assert raised == []


def test_a_pipe_goes_from_one_writer_to_the_next_and_its_reader_sees_no_end_between(pipe: Path):
    units = units_of(6)
    found: list[bytes] = []
    reading = threading.Thread(target=lambda: found.append(Reader(pipe).rest()), daemon=True)
    reading.start()
    opened: list[int | None] = []
    standing = Standing()

    def first() -> Iterator[Unit]:
        yield from units[:4]
        opened.append(fifo.reach(pipe))
        raise ConnectionLost("this one is to end")

    with pytest.raises(ConnectionLost, match="is to end"):
        sinks.write_pipe(first(), pipe, PATIENCE, standing)
    sinks.write_pipe(iter(units[4:]), pipe, PATIENCE, standing, opened=opened[0])
    reading.join(PATIENCE)
    assert same(read(found[0]), run_of(6))
