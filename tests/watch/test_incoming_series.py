"""Series that come image by image: each a batch when it is over, on the disk before anybody is told so."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from reception import send

from rtbids.clock import ManualClock
from rtbids.dicomnet import Address
from rtbids.errors import BadData, StreamBroken
from rtbids.replay.scanner import Phantom, dicoms
from rtbids.stream import wire
from rtbids.wakeup import Wakeup
from rtbids.watch import series_scp, series_streams
from rtbids.watch.finished import Finished
from rtbids.watch.incoming import Incoming, NoRoom

pytestmark = pytest.mark.alone

LONG = 20.0
PHANTOM = Phantom(shape=(16, 16, 9), voxel=(12.0, 12.0, 14.0), volumes=4)
SEVEN, EIGHT = list(dicoms(PHANTOM, number=7)), list(dicoms(PHANTOM, number=8))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "incoming"


def contents(batch: Finished) -> list[bytes]:
    return [path.read_bytes() for path in batch.files]


def test_a_series_is_a_batch_when_it_has_been_quiet(folder: Path) -> None:
    clock = ManualClock(100.0)
    incoming = Incoming(folder, quiet=5.0, clock=clock)
    incoming.keep(SEVEN[0])
    clock.advance(3.0)
    incoming.keep(SEVEN[1])
    incoming.keep(EIGHT[0])
    clock.advance(3.0)
    incoming.keep(EIGHT[1])
    assert list(incoming.finished()) == []
    assert incoming.due == 108.0
    clock.advance(2.0)
    (batch,) = incoming.finished()
    assert (batch.label, batch.spooled, batch.broken) == ("series 7", True, ())
    assert contents(batch) == SEVEN[:2]
    clock.advance(3.0)
    (batch,) = incoming.finished()
    assert contents(batch) == EIGHT[:2]


def test_what_comes_after_the_end_of_a_series_is_one_more_batch(folder: Path) -> None:
    incoming = Incoming(folder, quiet=0.0)
    incoming.keep(SEVEN[0])
    (first,) = incoming.finished()
    incoming.keep(SEVEN[1])
    (second,) = incoming.finished()
    assert contents(first) + contents(second) == SEVEN[:2]
    assert first.root != second.root


def test_files_are_their_owners_only(folder: Path) -> None:
    incoming = Incoming(folder, quiet=0.0)
    incoming.keep(SEVEN[0])
    (batch,) = incoming.finished()
    assert [path.stat().st_mode & 0o777 for path in (batch.files[0], batch.root, batch.root.parent)] == [0o600, 0o700, 0o700]


def test_what_a_killed_process_has_left_is_taken_up_and_what_it_never_finished_is_not(folder: Path) -> None:
    process = os.fork()
    if not process:
        incoming = Incoming(folder)
        incoming.keep(SEVEN[0])
        incoming.keep(EIGHT[0])
        (next(folder.iterdir()) / "000001" / ".000002.dcm.part").write_bytes(SEVEN[1][:1000])
        os._exit(0)
    os.waitpid(process, 0)
    incoming = Incoming(folder)
    assert [contents(batch) for batch in incoming.leftovers()] == [[SEVEN[0]], [EIGHT[0]]]
    assert not list(folder.rglob("*.part"))


def test_the_folder_of_a_process_that_lives_is_let_alone(folder: Path) -> None:
    alive = Incoming(folder)
    alive.keep(SEVEN[0])
    assert list(Incoming(folder).leftovers()) == []
    alive.close()
    assert len(list(Incoming(folder).leftovers())) == 1


def test_nothing_is_left_of_a_process_that_kept_nothing(folder: Path) -> None:
    Incoming(folder).close()
    assert list(folder.iterdir()) == []


def test_a_folder_whose_files_were_sent_goes(folder: Path) -> None:
    incoming = Incoming(folder, quiet=0.0)
    incoming.keep(SEVEN[0])
    (batch,) = incoming.finished()
    batch.files[0].unlink()
    incoming.close()
    assert list(folder.iterdir()) == []


def test_no_two_processes_ever_have_the_same_folder(folder: Path) -> None:
    places = set()
    for _ in range(3):
        incoming = Incoming(folder, clock=ManualClock(100.0))
        incoming.keep(SEVEN[0])
        (batch,) = incoming.finished(everything=True)
        places.add(batch.root)
        batch.files[0].unlink()
        incoming.close()
    assert len(places) == 3


def test_a_full_disk_is_said_and_no_batch_comes_of_it(folder: Path) -> None:
    incoming = Incoming(folder, quiet=0.0, room=1 << 60)
    with pytest.raises(NoRoom):
        incoming.keep(SEVEN[0])
    assert list(incoming.finished()) == []


def test_a_disk_that_takes_no_more_makes_no_batch_of_nothing(folder: Path) -> None:
    incoming = Incoming(folder, quiet=0.0)
    incoming.keep(SEVEN[0])
    list(incoming.finished())
    place = next(folder.iterdir()) / "000002"
    place.mkdir()  # as a full disk does: the folder cannot be made
    with pytest.raises(FileExistsError):
        incoming.keep(SEVEN[1])
    assert list(incoming.finished()) == []


class Stream:
    """A tar stream that grows."""

    def __init__(self) -> None:
        reading, writing = os.pipe()
        self.file, self._writing = os.fdopen(reading, "rb", buffering=0), os.fdopen(writing, "wb", buffering=0)
        self._writer = wire.Writer(self._writing)

    def write(self, *files: bytes) -> None:
        for number, content in enumerate(files):
            self._writer.write(f"{number}.dcm", content)

    def end(self) -> None:
        self._writer.close()
        self._writing.close()

    def cut(self) -> None:
        self._writing.close()


def from_thread(write: Any) -> threading.Thread:
    thread = threading.Thread(target=write, daemon=True)
    thread.start()
    return thread


def test_a_stream_gives_each_series_as_a_batch_at_its_end(folder: Path) -> None:
    stream = Stream()
    from_thread(lambda: (stream.write(*SEVEN, *EIGHT), stream.end()))
    batches = list(series_streams.batches(stream.file, "standard input", Incoming(folder)))
    assert [contents(batch) for batch in batches] == [SEVEN, EIGHT]


def test_a_series_of_a_stream_that_stands_still_is_over_when_it_is_quiet(folder: Path) -> None:
    stream = Stream()
    from_thread(lambda: stream.write(*SEVEN))
    batches = series_streams.batches(stream.file, "standard input", Incoming(folder, quiet=0.3))
    assert contents(next(batches)) == SEVEN
    from_thread(lambda: (stream.write(*EIGHT), stream.end()))
    assert [contents(batch) for batch in batches] == [EIGHT]


def test_a_stream_that_is_cut_off_gives_what_has_come_and_says_so(folder: Path) -> None:
    stream = Stream()
    from_thread(lambda: (stream.write(*SEVEN[:2]), stream.cut()))
    batches = series_streams.batches(stream.file, "standard input", Incoming(folder))
    assert contents(next(batches)) == SEVEN[:2]
    with pytest.raises(StreamBroken, match="standard input ended before its end mark"):
        next(batches)


def test_files_of_a_stream_that_are_no_images_are_kept_with_the_reason(folder: Path) -> None:
    stream = Stream()
    from_thread(lambda: (stream.write(SEVEN[0], b"of another kind" * 20, SEVEN[1][:-100]), stream.end()))
    good, bad = series_streams.batches(stream.file, "standard input", Incoming(folder))
    assert contents(good) == [SEVEN[0]]
    assert bad.files == ()
    assert ["not a DICOM file" in reason for _, reason in bad.broken] == [True, False]
    assert ["pixel data end after" in reason for _, reason in bad.broken] == [False, True]


class Listening:
    """A receiver of series on a port of its own."""

    def __init__(self, folder: Path, **options: Any) -> None:
        self.batches: list[Finished] = []
        self._stop, ready, modes = Wakeup(), threading.Event(), list[str]()
        self._changed = threading.Condition()
        incoming = Incoming(folder, **options)
        on_mode = lambda mode: (modes.append(mode), ready.set())  # noqa: E731
        source = series_scp.batches(Address("RTBIDS", "127.0.0.1", 0), incoming, stop=self._stop, on_mode=on_mode)
        self._thread = threading.Thread(target=self._run, args=(source,), daemon=True)
        self._thread.start()
        assert ready.wait(LONG)
        self.address = Address("RTBIDS", "127.0.0.1", int(modes[0].rpartition(":")[2]))

    def _run(self, source: Iterator[Finished]) -> None:
        for batch in source:
            with self._changed:
                self.batches.append(batch)
                self._changed.notify_all()

    def came(self, count: int) -> list[Finished]:
        with self._changed:
            assert self._changed.wait_for(lambda: len(self.batches) >= count, LONG)
        return self.batches

    def stop(self) -> None:
        self._stop.set()
        self._thread.join(LONG)
        assert not self._thread.is_alive()


@pytest.fixture
def listening(folder: Path) -> Iterator[Listening]:
    receiver = Listening(folder, quiet=0.3)
    yield receiver
    receiver.stop()


def pixels(content: bytes) -> bytes:
    return content[-4000:]


def test_series_that_are_sent_come_as_batches_and_a_change_of_association_ends_none(listening: Listening) -> None:
    send(SEVEN[:2], listening.address)
    send(SEVEN[2:], listening.address)
    (batch,) = listening.came(1)
    assert [pixels(content) for content in contents(batch)] == list(map(pixels, SEVEN))
    assert batch.label == "series 7"


def test_what_was_acknowledged_is_handed_on_at_a_stop(folder: Path) -> None:
    receiver = Listening(folder, quiet=3600.0)
    send(SEVEN, receiver.address)
    receiver.stop()
    assert len(receiver.batches[0].files) == 4


def test_a_broken_image_is_refused(folder: Path) -> None:
    with pytest.raises(BadData):
        Incoming(folder).keep(SEVEN[0][:-100])
    assert not list(folder.rglob("*.dcm"))
