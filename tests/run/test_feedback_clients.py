"""The files for the stimulus computer: they show what a run serves, in order, and their button presses come in."""

from __future__ import annotations

import importlib.util
import json
import os
import select
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import pytest

from rtbids.errors import CannotWrite
from rtbids.run.feedback import client_files, destinations
from rtbids.run.feedback.feedback import Destination
from rtbids.run.responses.listeners import Responses, listening

PATIENCE = 60.0  # seconds: no test waits so long unless it fails; Octave takes some to start


class Run:
    """The ends of a run: feedback leaves and responses come in by one address."""

    def __init__(self, feedback: Destination, responses: Responses, address: str) -> None:
        self.feedback = feedback
        self.responses = responses
        self.address = address

    @property
    def port(self) -> str:
        return self.address.rpartition(":")[2]

    def send(self, volume: int, value: object) -> None:
        self.feedback.send({"experiment": "mine", "run": "r", "volume": volume, "value": value, "status": "ok"})

    def pressed(self) -> tuple[str, str]:
        """Wait for a response and return its name and value."""
        assert select.select([self.responses.inbound], [], [], PATIENCE)[0], "no response came"
        response = self.responses.inbound.take()[0]
        assert response.sender_time is not None
        assert abs(response.sender_time - response.arrived) < 5.0  # one machine, one clock
        return response.name, response.value


@pytest.fixture
def run() -> Iterator[Run]:
    said: list[str] = []
    with ExitStack() as stack:
        responses = stack.enter_context(listening(["tcp://127.0.0.1:0"], 1.0, said.append))
        (feedback,) = destinations.open_all(["tcp://127.0.0.1:0"], servers=responses.servers)
        stack.callback(feedback.close)
        yield Run(feedback, responses, said[0].removeprefix("responses at "))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    client_files.put(tmp_path / "task")
    return tmp_path / "task"


@pytest.fixture
def module(folder: Path) -> Any:
    spec = importlib.util.spec_from_file_location("rtbids_client", folder / "rtbids_client.py")
    assert spec is not None
    assert spec.loader is not None
    loaded = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(loaded)
    return loaded


def shown(process: subprocess.Popen[str], count: int) -> list[tuple[int, str]]:
    """Return volume and value of the next lines that a task shows."""
    assert process.stdout is not None
    lines = [process.stdout.readline() for _ in range(count)]
    assert all(lines), process.communicate()
    return [(int(line.split("|")[0]), line.split("|")[2].split("(")[0].strip()) for line in lines]


def test_the_python_client_needs_only_the_standard_library(folder: Path):
    # -S, -I: nothing of what is installed here can be imported
    command = [sys.executable, "-S", "-I", "-c", f"import sys; sys.path.insert(0, {str(folder)!r}); import rtbids_thermometer"]
    subprocess.run(command, check=True, timeout=PATIENCE)


def test_the_thermometer_shows_every_line_and_sends_what_is_typed(run: Run, folder: Path):
    run.send(0, 0.25)
    command = [sys.executable, "rtbids_thermometer.py", run.address, "--text", "--once"]
    task = subprocess.Popen(command, cwd=folder, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert shown(task, 1) == [(0, "0.25")]
    for volume, value in enumerate([-5.0, None, {"left": 0.5}], start=1):
        run.send(volume, value)
    assert shown(task, 3) == [(1, "-5.0"), (2, "None"), (3, "{'left': 0.5}")]
    assert task.stdin is not None
    task.stdin.write("2\n")
    task.stdin.flush()
    assert run.pressed() == ("button", "2")
    run.feedback.close()
    assert task.wait(PATIENCE) == 0
    task.communicate()


def test_a_task_may_be_started_before_the_run_and_stays_for_the_next(module: Any):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"tcp://127.0.0.1:{free.getsockname()[1]}"
    client = module.Client(address)
    assert client.latest() is None
    assert not client.respond("button", "1")  # nobody is there
    with closing(client):
        for value in (1.0, 2.0):
            (served,) = destinations.open_all([address])
            served.send({"experiment": "mine", "volume": 0, "value": value, "status": "ok"})
            assert client.wait(PATIENCE)
            while (latest := client.latest()) is None or latest["value"] != value:
                served.send({"experiment": "mine", "volume": 0, "value": value, "status": "ok"})
            served.close()
            while client.connected:
                pass
    assert {line["value"] for line in client.lines()} == {1.0, 2.0}


def test_the_python_client_takes_datagrams_and_sends_responses_as_such(module: Any):
    said: list[str] = []
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as free:
        free.bind(("127.0.0.1", 0))
        address = f"udp://127.0.0.1:{free.getsockname()[1]}"
    with listening(["udp://127.0.0.1:0"], 1.0, said.append) as responses:
        client = module.Client(address, said[0].removeprefix("responses at "))
        (feedback,) = destinations.open_all([address])
        run = Run(feedback, responses, address)
        run.send(0, 0.5)
        while client.latest() is None:
            pass
        assert client.latest()["value"] == 0.5
        assert client.respond("face", duration=2.0)
        assert run.pressed() == ("face", "")
        feedback.close()
        client.close()


def test_the_python_client_takes_datagrams_by_ipv6(module: Any):
    try:
        with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as free:
            free.bind(("::1", 0))
            address = f"udp://[::1]:{free.getsockname()[1]}"
    except OSError:
        pytest.skip("no IPv6 here")
    said: list[str] = []
    with (
        listening(["udp://[::1]:0"], 1.0, said.append) as responses,
        closing(module.Client(address, said[0].removeprefix("responses at "))) as client,
    ):
        (feedback,) = destinations.open_all([address])
        run = Run(feedback, responses, address)
        run.send(0, 0.5)
        while client.latest() is None:
            pass
        assert client.respond("button", "1")
        assert run.pressed() == ("button", "1")
        feedback.close()


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    """What a client connects to."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        listening.settimeout(PATIENCE)
        yield listening


def test_a_client_that_connects_again_has_every_line_once(module: Any, listener: socket.socket):
    first, second = ({"experiment": "mine", "volume": volume, "value": 1.0, "sent": 7.0 + volume} for volume in range(2))
    with closing(module.Client(f"tcp://127.0.0.1:{listener.getsockname()[1]}")) as client:
        for rows in ([first], [first, second]):  # as a run greets whoever comes with the latest line
            with listener.accept()[0] as connection:
                connection.sendall("".join(json.dumps(row) + "\n" for row in rows).encode())
                while client.latest() != rows[-1]:
                    pass
    assert client.lines() == [first, second]


def test_a_press_is_sent_whole_or_not_at_all_and_waits_for_nobody(module: Any, listener: socket.socket):
    value = "x" * 20_000
    with (
        closing(module.Client(f"tcp://127.0.0.1:{listener.getsockname()[1]}")) as client,
        listener.accept()[0] as connection,
    ):
        assert client.wait(PATIENCE)
        assert not client._socket.getblocking()
        sent = 0
        while client.respond(str(sent), value):  # until nobody takes it
            sent += 1
        came = b""
        while came.count(b"\n") < sent:
            came += connection.recv(1 << 16)
        assert client.respond(str(sent), value)
        while came.count(b"\n") < sent + 1:
            came += connection.recv(1 << 16)
    rows = [json.loads(line) for line in came.splitlines()]
    assert [row["event"] for row in rows] == [str(number) for number in range(sent + 1)]
    assert {row["value"] for row in rows} == {value}


@pytest.mark.parametrize("address", ["localhost:5555", "http://localhost:5555", "tcp://localhost"])
def test_an_address_that_cannot_be_is_named(module: Any, address: str):
    with pytest.raises(ValueError, match="expected tcp://host:port"):
        module.Client(address)


@pytest.fixture
def octave() -> list[str]:
    if shutil.which("octave-cli") is None:
        pytest.skip("octave-cli is not installed")
    return ["octave-cli", "--quiet", "--no-gui", "--no-init-file", "--eval"]


@pytest.mark.slow
def test_the_octave_thermometer_shows_every_line_and_sends_a_response(run: Run, folder: Path, octave: list[str]):
    if subprocess.run([*octave, "pkg load instrument-control"], capture_output=True, timeout=PATIENCE, check=False).returncode:
        pytest.skip("Octave's package instrument-control is not installed")
    run.send(0, 0.25)
    call = f"n = rtbids_thermometer('127.0.0.1', {run.port}, -1, 1, 3); printf('%d lines\\n', n);"
    task = subprocess.Popen([*octave, call], cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert run.pressed() == ("button", "1")
    for volume, value in enumerate([-5.0, None, {"left": 0.5}, 0.125], start=1):
        run.send(volume, value)
    out, _ = task.communicate(timeout=PATIENCE)
    lines = out.splitlines()
    assert [(int(line.split("|")[0]), line.split("|")[2]) for line in lines[:5]] == [
        (0, " 0.25 (ok)"),
        (1, " -5 (ok)"),
        (2, "  (ok)"),
        (3, ' {"left":0.5} (ok)'),
        (4, " 0.125 (ok)"),
    ]
    assert [line.split("|")[1].count("#") for line in lines[:5]] == [25, 0, 0, 0, 23]  # of 40, from -1 to 1
    assert lines[5] == "5 lines"


@pytest.mark.slow
def test_the_octave_client_says_that_no_run_is_there_yet(folder: Path, octave: list[str]):
    if subprocess.run([*octave, "pkg load instrument-control"], capture_output=True, timeout=PATIENCE, check=False).returncode:
        pytest.skip("Octave's package instrument-control is not installed")
    with socket.socket() as taken:  # a port on which nobody listens
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        call = [*octave, f"rtbids_client('open', '127.0.0.1', {port});"]
        done = subprocess.run(call, cwd=folder, capture_output=True, text=True, timeout=PATIENCE, check=False)
    assert done.returncode != 0
    assert f"no run listens at 127.0.0.1:{port}: start it first" in done.stderr


@pytest.mark.slow
def test_the_octave_client_reads_a_file_and_writes_a_named_pipe_without_any_package(folder: Path, octave: list[str]):
    os.mkfifo(folder / "buttons")
    with listening([str(folder / "buttons")], 1.0) as responses:
        (feedback,) = destinations.open_all([str(folder / "feedback.jsonl")])
        run = Run(feedback, responses, "")
        run.send(0, 0.25)
        call = "n = rtbids_thermometer('feedback.jsonl', 'buttons', -1, 1, 3); printf('%d lines\\n', n);"
        task = subprocess.Popen([*octave, call], cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        assert run.pressed() == ("button", "1")
        run.send(1, 0.5)
        out, _ = task.communicate(timeout=PATIENCE)
        feedback.close()
    assert [line.split("|")[-1] for line in out.splitlines()] == [" 0.25 (ok)", " 0.5 (ok)", "2 lines"]


def test_files_that_were_changed_are_not_written_over(folder: Path):
    assert client_files.put(folder)  # the same once more is no harm
    (folder / "rtbids_client.m").write_text("mine")
    with pytest.raises(CannotWrite, match=r"rtbids_client\.m is there"):
        client_files.put(folder)
    assert (folder / "rtbids_client.m").read_text() == "mine"
