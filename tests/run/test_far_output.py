"""What scripts on another machine print: on standard error here, bounded, and in nobody's way."""

from __future__ import annotations

import io
import os
import re
import threading
from contextlib import closing

import pytest
from run.far_lanes import far_lane, rows
from run.sessions import Lines, lane, session, volume

from rtbids.pipeline import Inbox
from rtbids.run.far import output_here, output_there
from rtbids.run.far.output_there import Allowance

SPEAKS = """
import logging
import os
import sys
import warnings

def feedback(volume, run):
    print("printed", volume.index)
    print("åtgärd", file=sys.stderr)
    warnings.warn("warned", stacklevel=1)
    logging.warning("logged")
    os.system("echo echoed")
    return volume.index

def end(run):
    print("at the end")
"""
FLOODS = """
def feedback(volume, run):
    for line in range(100_000):
        print("x" * 100)
    return volume.index
"""
NEVER_ENDS = """
import time

def feedback(volume, run):
    return volume.index

def end(run):
    until = time.monotonic() + 20
    while time.monotonic() < until:
        print("x" * 100)
"""


def test_what_a_script_there_prints_is_on_standard_error_here(tmp_path, far_side, capfd):
    session([lane(tmp_path / "here", SPEAKS, Lines())]).run(Inbox(volume(index) for index in range(2)))
    here = capfd.readouterr()
    with far_side() as (launcher, _, _):
        session([far_lane(launcher, tmp_path / "there", SPEAKS, Lines())]).run(Inbox(volume(index) for index in range(2)))
    there = capfd.readouterr()
    assert (here.out, there.out) == ("", "")
    assert [_without_path(line) for line in there.err.splitlines()] == [_without_path(line) for line in here.err.splitlines()]
    for word in ("printed 1", "åtgärd", "UserWarning: warned", "WARNING:root:logged", "echoed", "at the end"):
        assert word in there.err


def _without_path(line: str) -> str:
    return line.rpartition("/")[2]


def test_an_end_that_prints_on_and_on_is_broken_off(tmp_path, far_side, monkeypatch, caplog):
    monkeypatch.setattr("rtbids.run.process.patience.LAST_WORDS", 1.0)
    with far_side() as (launcher, _, _):
        session([far_lane(launcher, tmp_path / "one", NEVER_ENDS, Lines())]).run(Inbox(iter([volume(0)])))
    assert "end() was broken off" in caplog.text


def test_a_script_that_floods_costs_no_answer_and_little_of_the_link(tmp_path, far_side, capfd):
    kept = Lines()
    with far_side() as (launcher, _, link):
        session([far_lane(launcher, tmp_path / "one", FLOODS, kept)]).run(Inbox(iter([volume(0), volume(1)])))
        assert link.state.bytes_in < 2e6  # of 20 MB
    assert rows(kept) == [(0, "ok", 0), (1, "ok", 1)]
    shown, *counts = re.split(r"\n\[(\d+) bytes of .*\]\n", capfd.readouterr().err)
    assert "x" * 100 in shown
    told = len(shown) + sum(map(len, counts[1::2])) + sum(map(int, counts[::2]))
    assert told == 2 * 100_000 * 101  # all of it is shown or counted


def test_after_too_much_at_once_half_of_it_must_be_back():
    allowance = Allowance(at_once=1000, rate=100)
    wanted = ((600, 0.0), (600, 0.0), (10, 4.0), (10, 6.0), (5000, 100.0))
    assert [allowance.take(count, now) for count, now in wanted] == [600, 400, 0, 10, 1000]


def test_what_was_left_out_is_said_and_the_pipe_is_read_all_the_same():
    moments = iter([0.0, 0.0, 100.0])
    with closing(output_there.Output(clock=lambda: next(moments))) as output:
        found = []
        for content, has_room in ((b"one\n", True), (b"x" * 50_000, False), (b"y" * 65_536, True), (b"two\n", True)):
            os.write(output.end, content)
            found.append(output.read(has_room=has_room))
        assert output.read() == b""
    allowed = output_there.AT_ONCE - 4
    assert found[0] == b"one\n"
    assert found[1] == b""
    assert found[2] == output_there.left_out(50_000) + b"y" * allowed
    assert found[3] == output_there.left_out(65_536 - allowed) + b"two\n"


def test_a_terminal_that_stands_still_holds_nobody_up(monkeypatch):
    goes_on, is_through = threading.Event(), threading.Event()

    class Still(io.StringIO):
        def write(self, text: str) -> int:
            goes_on.wait(20)
            count = super().write(text)
            if self.getvalue().count("piece") >= output_here.MOST:
                is_through.set()
            return count

    written = Still()
    monkeypatch.setattr("sys.stderr", written)
    with closing(output_here.Output()) as output:
        for _ in range(output_here.MOST + 10):
            output.put(b"piece\n")
        goes_on.set()
        assert is_through.wait(20)
        output.put(b"last\n")
    assert "are left out" in written.getvalue()
    assert written.getvalue().endswith("last\n")


@pytest.mark.parametrize("cut", range(1, 3))
def test_a_character_in_two_pieces_is_one(capsys, cut):
    content = "å→".encode()
    with closing(output_here.Output()) as output:
        output.put(content[:cut])
        output.put(content[cut:])
    assert capsys.readouterr().err == "å→"
