"""A run in a terminal, and rtbids status --follow beside it."""

from __future__ import annotations

import json
import os
import pty
import select
import signal
import termios
import threading
import time
from collections.abc import Iterator

import pytest

pytestmark = pytest.mark.alone

INDEX = "def feedback(volume, run):\n    return volume.index\n"


class Terminal:
    """A terminal of 80 by 24 that keeps what is written to it."""

    def __init__(self) -> None:
        self._ours, self.end = pty.openpty()
        termios.tcsetwinsize(self.end, (24, 80))
        self.text = ""

    def until(self, word: str, seconds: float = 60.0) -> None:
        """Read on until `word` was written since the last call."""
        start, give_up = len(self.text), time.monotonic() + seconds
        while word not in self.text[start:]:
            ready, _, _ = select.select([self._ours], [], [], max(0.0, give_up - time.monotonic()))
            assert ready, self.text[-2000:]
            self.text += os.read(self._ours, 1 << 16).decode(errors="replace")

    def close(self) -> None:
        os.close(self._ours)
        os.close(self.end)


@pytest.fixture
def terminal() -> Iterator[Terminal]:
    made = Terminal()
    yield made
    made.close()


@pytest.fixture
def held(small, call, tmp_path):
    """A stream of which half has come, and what gives the rest."""
    stream, content = tmp_path / "volumes", call("replay", small.root, "--speed", "max").out
    os.mkfifo(stream)
    half: list[object] = []

    def give() -> None:
        source = stream.open("wb", buffering=0)
        half.append(source)
        source.write(content[: len(content) // 2])

    threading.Thread(target=give, daemon=True).start()

    def rest() -> None:
        half[0].write(content[len(content) // 2 :])
        half[0].close()

    return stream, rest


def settings(**more: str) -> dict[str, str]:
    return {**os.environ, "TERM": "xterm-256color", **more}


def test_a_terminal_shows_one_screen_and_leaves_nothing_of_it(held, script, start, terminal, tmp_path):
    stream, rest = held
    run = start(
        "run", script(INDEX), stream, "--feedback", tmp_path / "f.jsonl", stderr=terminal.end, env=settings(NO_COLOR="1")
    )
    terminal.until("answers")
    terminal.until("machine")
    rest()
    terminal.until("30 volumes")
    assert run.wait(30) == 0
    assert "\x1b[3" not in terminal.text.replace("\x1b[31m", "")  # no colour
    assert "▁" in terminal.text
    assert run.stdout.read() == b""


def test_the_first_interrupt_is_said_on_the_screen(held, script, start, terminal, tmp_path):
    stream, _ = held
    run = start("run", script(INDEX), stream, "--feedback", tmp_path / "f.jsonl", stderr=terminal.end, env=settings())
    terminal.until("answers")
    run.send_signal(signal.SIGINT)
    terminal.until("once more to stop at once")
    assert run.wait(30) == 130


@pytest.mark.parametrize("words", [("-q",), ()], ids=["-q", "its feedback is there"])
def test_there_is_no_screen_where_none_is_wanted_or_feedback_has_the_terminal(small, script, start, terminal, tmp_path, words):
    feedback = ("--feedback", tmp_path / "f.jsonl") if words else ()
    arguments = ("run", script(INDEX), small.root, "--speed", 5, *feedback, *words)
    run = start(*arguments, stdout=terminal.end, stderr=terminal.end, env=settings())
    threading.Thread(target=lambda: (run.wait(60), os.write(terminal.end, b"over")), daemon=True).start()
    terminal.until("over")
    assert run.returncode == 0
    assert "machine" not in terminal.text
    assert terminal.text.count('"volume"') == (0 if words else 30)


def test_follow_gives_a_line_a_second_and_ends_by_an_interrupt(held, script, start, tmp_path):
    stream, rest = held
    run = start("run", script(INDEX), stream, "--feedback", tmp_path / "f.jsonl")
    while not (tmp_path / "f.jsonl").exists() or not (tmp_path / "f.jsonl").stat().st_size:
        select.select([run.stderr], [], [], 0.05)
    follow = start("status", "--follow", "--json", "--process", run.pid)
    first, second = (json.loads(follow.stdout.readline()) for _ in range(2))
    assert first["process"] == second["process"] == run.pid
    assert second["experiments"][0]["recent"]["value"][:2] == [0, 1]
    follow.send_signal(signal.SIGINT)
    assert follow.wait(30) == 130
    rest()
    assert run.wait(60) == 0, run.stderr.read()


def test_follow_draws_the_same_screen_in_a_terminal(held, script, start, terminal, tmp_path):
    stream, rest = held
    run = start("run", script(INDEX), stream, "--feedback", tmp_path / "f.jsonl")
    follow = start("status", "--follow", stdout=terminal.end, env=settings())
    terminal.until("answers")
    rest()
    assert run.wait(60) == 0, run.stderr.read()
    terminal.until("no run is in progress")
    follow.send_signal(signal.SIGINT)
    assert follow.wait(30) == 130


def test_follow_goes_with_no_command(call):
    outcome = call("status", "--follow", "--end")
    assert outcome.code == 64
    assert "--follow goes with no command" in outcome.err
