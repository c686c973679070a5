"""What is logged in an experiment's process is logged by the run: with its name, in few words, and not too often."""

from __future__ import annotations

import logging
import socket
import threading
from collections.abc import Iterator

import pytest
from run.sessions import Lines, lane, session, unpaced

from rtbids.clock import ManualClock
from rtbids.pipeline import Inbox
from rtbids.run.one_line import LONGEST
from rtbids.run.process import worker_log
from rtbids.run.process.channel import Channel
from rtbids.run.process.worker_log import MOST, RATE, ToTheRun

SPEAKS = """
import logging

def feedback(volume, run):
    logging.getLogger("rtbids").warning("volume %d is odd", volume.index)
    logging.getLogger("rtbids").info("and told")
    logging.getLogger("mine").warning("of my own")
    return 1
"""
FLOODS = """
import logging

def feedback(volume, run):
    for n in range(20_000):
        logging.getLogger("rtbids").warning("%s", "x" * 10_000)
    return 1
"""


@pytest.fixture
def both() -> Iterator[tuple[Channel, Channel]]:
    ends = [Channel(end) for end in socket.socketpair()]
    yield ends[0], ends[1]
    for end in ends:
        end.close()


def said(end: Channel) -> list[str]:
    """Return what has come; the last thing is said to be the last."""
    texts = []
    while (message := end.receive())["say"] != "over":
        texts.append(message["text"])
    return texts


def record(text: str, level: int = logging.WARNING) -> logging.LogRecord:
    return logging.LogRecord("rtbids", level, __file__, 1, text, (), None)


def test_what_rtbids_logs_in_there_the_run_logs_with_the_experiments_name(tmp_path, caplog, capfd):
    with caplog.at_level(logging.INFO, "rtbids"):
        session([lane(tmp_path / "mine", SPEAKS, Lines())]).run(Inbox(unpaced(index) for index in range(2)))
    found = [(record.levelname, record.getMessage()) for record in caplog.records if record.getMessage().startswith("mine: ")]
    assert found == [
        ("WARNING", "mine: volume 0 is odd"),
        ("INFO", "mine: and told"),
        ("WARNING", "mine: volume 1 is odd"),
        ("INFO", "mine: and told"),
    ]
    _, stderr = capfd.readouterr()
    assert "is odd" not in stderr
    assert stderr.count("of my own") == 2


def test_what_nobody_wants_to_know_is_not_told(tmp_path, caplog):
    with caplog.at_level(logging.WARNING, "rtbids"):
        session([lane(tmp_path / "mine", SPEAKS, Lines())]).run(Inbox([unpaced(0)]))
        caplog.set_level(logging.INFO, "rtbids")
    assert "mine: volume 0 is odd" in caplog.messages
    assert "and told" not in caplog.text


def test_a_script_that_floods_the_log_is_cut_short_and_counted(tmp_path, caplog):
    kept = Lines()
    session([lane(tmp_path / "mine", FLOODS, kept)]).run(Inbox(unpaced(index) for index in range(2)))
    own = [message for message in caplog.messages if message.startswith("mine: ")]
    dropped = [int(message.split()[1]) for message in own if "were dropped" in message]
    assert [row["status"] for row in kept.of("mine")] == ["ok", "ok"]
    assert MOST <= len(own) < 1000
    assert sum(dropped) == 2 * 20_000 - (len(own) - len(dropped))
    assert max(map(len, own)) == len("mine: ") + LONGEST
    assert own[0].endswith("x…")


def test_warnings_are_told_though_there_is_too_much_else(both):
    handler = ToTheRun(both[0], ManualClock(0.0).now)
    for n in range(MOST + 10):
        handler.handle(record(f"small {n}", logging.INFO))
    handler.handle(record("great"))
    both[0].send({"say": "over"})
    texts = said(both[1])
    assert texts[MOST - 1] == f"small {MOST - 1}"
    assert texts[MOST:] == ["10 messages were dropped: there were too many at a time", "great"]


def test_after_a_while_there_is_room_again(both):
    clock = ManualClock(0.0)
    handler = ToTheRun(both[0], clock.now)
    for n in range(MOST + 3):
        handler.handle(record(str(n)))
    clock.advance(2 / RATE)
    for n in range(3):
        handler.handle(record(f"later {n}"))
    handler.settle()
    handler.settle()
    both[0].send({"say": "over"})
    three, one = (f"{many} dropped: there were too many at a time" for many in ("3 messages were", "1 message was"))
    assert said(both[1])[MOST:] == [three, "later 0", "later 1", one]


def test_once_the_run_is_gone_nobody_is_told_and_nothing_breaks(both):
    both[1].close()
    ToTheRun(both[0]).handle(record("who is there?"))


def test_threads_that_speak_at_a_time_do_not_break_each_others_lines(both):
    text = "x" * 5_000_000  # more than the socket holds
    threads = [threading.Thread(target=both[0].send, args=({"say": "log", "text": text},)) for _ in range(3)]
    for thread in threads:
        thread.start()
    assert [both[1].receive()["text"] == text for _ in threads] == [True] * 3
    for thread in threads:
        thread.join()


def test_only_the_run_is_told(both):
    logger = logging.getLogger("rtbids")
    before = [*logger.handlers], logger.level, logger.propagate
    try:
        worker_log.tell(both[0], logging.INFO)
        logger.info("told")
        logger.debug("not told")
        both[0].send({"say": "over"})
        assert said(both[1]) == ["told"]
        assert not logger.propagate
    finally:
        logger.handlers[:], logger.level, logger.propagate = before
        logger.setLevel(before[1])
