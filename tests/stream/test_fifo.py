"""Named pipes and the other ends of a stream: who waits for whom, how long, and what is said."""

from __future__ import annotations

import os
import threading

import pytest

from rtbids.errors import CannotWrite, InputMissing, StreamBroken, UsageFault
from rtbids.stream import endpoints, fifo


@pytest.fixture
def pipe(tmp_path):
    os.mkfifo(tmp_path / "pipe", 0o600)
    return tmp_path / "pipe"


def opened_for_reading(pipe):
    """Open the reading end in a thread, as the other process would."""
    ends = []
    thread = threading.Thread(target=lambda: ends.append(fifo.open_reader(pipe, 10)))
    thread.start()
    return ends, thread


def test_what_one_side_writes_the_other_reads(pipe):
    ends, thread = opened_for_reading(pipe)
    with fifo.open_writer(pipe, 10) as writer:
        thread.join()
        writer.write(b"volume")
    with ends[0] as reader:
        assert reader.read() == b"volume"


def test_a_writer_says_that_nobody_reads(pipe):
    with pytest.raises(StreamBroken, match=r"nobody reads .*pipe: waited 0.1 s for a reader"):
        fifo.open_writer(pipe, 0.1)


def test_a_reader_says_that_nobody_writes(pipe):
    with pytest.raises(StreamBroken, match=r"nobody writes .*pipe: waited 0.1 s for a writer"):
        fifo.open_reader(pipe, 0.1)


def test_a_second_writer_is_refused(pipe):
    ends, thread = opened_for_reading(pipe)
    with fifo.open_writer(pipe, 10):
        thread.join()
        with pytest.raises(CannotWrite, match="has a writer already"):
            fifo.open_writer(pipe, 10)
    ends[0].close()


def test_a_second_reader_is_refused_and_takes_nothing(pipe):
    ends, thread = opened_for_reading(pipe)
    with fifo.open_writer(pipe, 10) as writer:
        thread.join()
        with pytest.raises(InputMissing, match="has a reader already"):
            fifo.open_reader(pipe, 10)
        writer.write(b"volume")
    with ends[0] as reader:
        assert reader.read() == b"volume"


def test_a_reader_that_gave_up_does_not_come_back_as_a_ghost(pipe):
    before = threading.active_count()
    with pytest.raises(StreamBroken, match="nobody writes"):
        fifo.open_reader(pipe, 0.01)
    for thread in threading.enumerate():
        if thread.name == "opening":
            thread.join(10)
    assert threading.active_count() == before
    assert fifo.reach(pipe) is None


def test_a_writer_hears_at_once_that_its_reader_has_gone(pipe):
    ends, thread = opened_for_reading(pipe)
    with fifo.open_writer(pipe, 10) as writer:
        thread.join()
        gone = threading.Event()
        fifo.watch_reader(writer, gone.set)
        assert not gone.is_set()
        ends[0].close()
        assert gone.wait(10)


def test_a_file_has_no_reader_to_watch(tmp_path):
    before = threading.active_count()
    with (tmp_path / "x.tar").open("wb") as file:
        fifo.watch_reader(file, lambda: None)
    assert threading.active_count() == before


def test_a_tar_file_is_begun_anew_and_read_back(tmp_path):
    path = tmp_path / "run.tar"
    path.write_bytes(b"old and longer")
    with endpoints.open_destination(str(path)) as file:
        file.write(b"new")
    with endpoints.open_source(str(path)) as file:
        assert file.read() == b"new"


def test_a_pipe_that_was_not_made_yet_is_no_file_to_create(tmp_path):
    with pytest.raises(UsageFault, match="named pipe") as caught:
        endpoints.open_destination(str(tmp_path / "pipe"))
    assert "mkfifo" in caught.value.hint
    assert not (tmp_path / "pipe").exists()


def test_a_source_that_is_not_there_is_named(tmp_path):
    with pytest.raises(InputMissing, match=r"nothing\.tar"):
        endpoints.open_source(str(tmp_path / "nothing.tar"))


@pytest.mark.parametrize(
    ("endpoint", "scheme"), [("ssh://host/x", "ssh"), ("dicomweb+https://h", "dicomweb+https"), ("a/b", None), ("-", None)]
)
def test_the_scheme_of_an_endpoint(endpoint, scheme):
    assert endpoints.scheme(endpoint) == scheme


def test_a_pipe_that_cannot_be_opened_is_said_at_once(tmp_path):
    with pytest.raises(InputMissing, match="nothing_here: cannot be read"):
        fifo.open_reader(tmp_path / "nothing_here", 10)


def test_a_stream_in_a_file_is_for_its_owner_only(tmp_path):
    before = os.umask(0)
    try:
        endpoints.open_destination(str(tmp_path / "run.tar")).close()
    finally:
        os.umask(before)
    assert (tmp_path / "run.tar").stat().st_mode & 0o777 == 0o600
