"""The control socket: for its owner only, and no client costs the run anything."""

from __future__ import annotations

import contextlib
import json
import os
import select
import socket
import stat
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from rtbids import private
from rtbids.errors import ConnectionLost, UsageFault
from rtbids.run.control import status
from rtbids.run.control.control import MOST_CLIENTS, MOST_LINE, MOST_REPLY, Control, Reply

LONG = "x" * 1000


def take(request: Mapping[str, Any], reply: Callable[[Reply], None]) -> None:
    if request.get("do") == "refuse":
        raise UsageFault("not now", "later")
    if request.get("do") == "fail":
        raise KeyError("nobody thought of it")
    if request.get("do") != "wait":
        reply({"ok": True, "echo": request})


@pytest.fixture
def run(tmp_path, monkeypatch, runtime_folder) -> Iterator[Control]:
    listener, path = private.listening()
    made = Control(listener, path, take)
    yield made
    made.close()


def client() -> socket.socket:
    (path,) = status.sockets()
    end = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    end.connect(str(path))
    return end


def turn(run: Control, times: int = 1) -> None:
    """Let the run's loop go round, without waiting for anybody."""
    for _ in range(times):
        ready, takes, _ = select.select(run.readers, run.writers, [], 0)
        run.step(ready, takes)


def reply(end: socket.socket) -> dict[str, Any]:
    end.settimeout(5)
    with end.makefile("rb") as lines:
        found: dict[str, Any] = json.loads(lines.readline())
    return found


def test_nobody_but_its_owner_can_open_it(run):
    (path,) = status.sockets()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


def test_a_folder_that_others_could_read_is_closed_to_them(runtime_folder):
    runtime_folder.mkdir(exist_ok=True)
    runtime_folder.chmod(0o755)
    listener, path = private.listening()
    assert stat.S_IMODE(runtime_folder.stat().st_mode) == 0o700
    listener.close()
    path.unlink()


def test_a_path_too_long_for_a_socket_gives_way_to_the_next_folder(tmp_path, monkeypatch, runtime_folder):
    monkeypatch.setenv("XDG_STATE_HOME", str(runtime_folder.parent))
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path / LONG[:200]))
    listener, path = private.listening()
    assert path.parent == runtime_folder.parent / "rtbids" / "run"
    listener.close()
    path.unlink()


def test_a_request_has_its_reply(run):
    with client() as end:
        end.sendall(b'{"do": "x"}\n')
        turn(run, 2)
        assert reply(end) == {"ok": True, "echo": {"do": "x"}}


@pytest.mark.parametrize(
    ("line", "error"),
    [
        (b"{\n", "expected one JSON object"),
        (b"[1]\n", "expected one JSON object"),
        (b"\xff\n", "expected one JSON object"),
        (b"[" * 60_000 + b"\n", "expected one JSON object"),
        (b'{"do":1' + b"1" * 5000 + b"}\n", "expected one JSON object"),
        (b'{"do": "refuse"}\n', "not now"),
        (b'{"do": "fail"}\n', "KeyError: 'nobody thought of it'"),
    ],
    ids=["no json", "no object", "no text", "nested", "a long number", "refused", "unforeseen"],
)
def test_what_is_not_done_is_said(run, line, error):
    with client() as end:
        end.sendall(line)
        turn(run, 2)
        found = reply(end)
    assert found["ok"] is False
    assert error in found["error"]


def test_what_the_loop_is_to_do_and_cannot_does_not_end_it(run, caplog):
    run.later(lambda: {}["nobody thought of it"])
    done = []
    run.later(lambda: done.append(True))
    turn(run)
    assert done
    assert "a command was not done" in caplog.text


def test_half_a_line_waits_for_its_rest(run):
    with client() as end:
        end.sendall(b'{"do":')
        turn(run, 3)
        end.sendall(b' "x"}\n')
        turn(run)
        assert reply(end)["ok"]


def test_a_line_without_end_costs_the_connection(run):
    with client() as end:
        end.setblocking(False)
        sent = 0
        while sent <= MOST_LINE:
            sent += end.send(b"x" * (MOST_LINE + 1 - sent))
            turn(run, 2)
        turn(run, 2)
        end.setblocking(True)
        assert end.recv(10) == b""


def test_who_does_not_read_is_served_no_more_and_nobody_waits_for_him(run):
    with client() as end:
        turn(run)
        end.setblocking(False)
        line = json.dumps({"do": LONG * 50}).encode() + b"\n"
        for _ in range(2 * MOST_REPLY // len(line)):
            rest = line
            while rest and run.readers[2:]:
                with contextlib.suppress(BlockingIOError, BrokenPipeError, ConnectionResetError):
                    rest = rest[end.send(rest) :]
                turn(run)  # returns at once, or this test would stand still
        assert run.readers[2:] == []


def test_the_second_request_of_a_client_waits_for_the_reply_to_the_first(run):
    with client() as end:
        end.sendall(b'{"do": "wait"}\n{"do": "x"}\n')
        turn(run, 4)
        end.settimeout(0.05)
        with pytest.raises(TimeoutError):
            end.recv(1)


def test_one_client_more_than_there_may_be_takes_the_place_of_the_oldest(run):
    ends = [client() for _ in range(MOST_CLIENTS + 1)]
    turn(run, MOST_CLIENTS + 2)
    assert ends[0].recv(1) == b""
    ends[-1].sendall(b'{"do": "x"}\n')
    turn(run, 2)
    assert reply(ends[-1])["ok"]
    for end in ends:
        end.close()


def test_the_socket_that_a_killed_run_left_is_removed(runtime_folder):
    listener, path = private.listening()
    listener.close()
    assert list(status.runs()) == []
    assert not path.exists()


def test_a_run_that_is_starting_is_not_taken_for_dead(runtime_folder):
    there = []

    def look(frame: object, event: str, called: object) -> None:
        if event == "c_return" and getattr(called, "__name__", "") in ("bind", "chmod", "listen", "rename"):
            there.extend(private.is_alive(path) for path in status.sockets())

    sys.setprofile(look)  # what a client would see between any two steps
    try:
        listener, path = private.listening()
    finally:
        sys.setprofile(None)
    listener.close()
    path.unlink()
    assert there == [True]


def test_a_run_with_the_same_number_in_another_container_keeps_its_socket(runtime_folder):
    first, second = private.listening(), private.listening()
    assert first[1] != second[1]
    assert [fields["process"] for _, fields in _asked([first, second])] == [os.getpid()] * 2
    for listener, path in (first, second):
        listener.close()
        path.unlink()
    assert private.listening()[1] == first[1]


def _asked(listening: list[tuple[socket.socket, Path]]) -> list[tuple[Path, status.Fields]]:
    """Return what the runs of this user reply, whose end here does not."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(status.ask, "__defaults__", (0.05,))
        return [(path, fields) for path, fields in status.runs() if path in [place for _, place in listening]]


def test_a_run_that_does_not_reply_is_named(runtime_folder, monkeypatch):
    monkeypatch.setattr(status.ask, "__defaults__", (0.05,))
    listener, path = private.listening()
    ((_, fields),) = status.runs()
    listener.close()
    path.unlink()
    assert "does not reply" in fields["error"]


def test_asking_a_run_that_is_over_says_so(tmp_path):
    with pytest.raises(ConnectionLost, match="is over"):
        status.ask(Path(tmp_path / "1.sock"), {"do": "status"})
