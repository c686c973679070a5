"""Feedback to the console from where the analysis runs: files, named pipes and ports of a machine that is reached by SSH."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
from pathlib import Path

import pytest
from far_side import export, finished, reading, until
from journeys.conftest import table

from rtbids.cli import far_addresses, far_feedback, far_places
from rtbids.errors import RtbidsError, UsageFault

MEAN = "def feedback(volume, run):\n    return float(volume.data.mean())\n"


def test_a_file_and_a_port_there_have_what_a_file_here_has(side, small, script, tmp_path):
    receiver = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    receiver.bind(("127.0.0.1", 0))
    receiver.settimeout(10)
    here, there, study = tmp_path / "here.tsv", tmp_path / "there.tsv", tmp_path / "study"
    port = f"/udp://127.0.0.1:{receiver.getsockname()[1]}"
    places = [here, side.place(there), side.place(port)]
    arguments = [word for place in places for word in ("--feedback", place)]
    process = side.start("run", script(MEAN), small.root, "--speed", "max", "--bids-dir", study, *arguments, *side.options)
    code, err = finished(process)
    assert code == 0, err
    assert there.read_text() == here.read_text()
    with receiver:
        assert [json.loads(receiver.recv(2000))["volume"] for _ in range(30)] == list(range(30))
    rows = table(study, "delivery")
    for place in ("file", "udp"):
        found = [row for row in rows if row["destination"] == place]
        assert [(row["volume"], row["sent"]) for row in found] == [
            (row["volume"], row["sent"]) for row in table(study, "feedback")
        ]
    (sidecar,) = study.rglob("*_desc-feedback_timeseries.json")
    (about,) = json.loads(sidecar.read_text())["Experiments"].values()
    unsure = about["Delivery"]["file"]["ClockUncertainty"]
    assert all(-unsure <= float(row["delivered"]) - float(row["sent"]) < 10 for row in rows)


def test_through_a_cut_a_file_there_has_every_line_and_a_pipe_nothing_stale(side, files, watched, tmp_path):
    (tmp_path / "mine.py").write_text(MEAN)
    pipe, heard = tmp_path / "pipe", []
    os.mkfifo(pipe, 0o600)
    reader = reading(pipe, heard)
    places = [tmp_path / "here.jsonl", side.place(tmp_path / "there.jsonl"), side.place(pipe)]
    arguments = [word for place in places for word in ("--feedback", place)]
    process = side.start(
        "run", tmp_path / "mine.py", side.place(watched), *arguments, "--deadline", 20, "--volumes", 20, *side.options
    )
    export(files[:10], watched)
    until(lambda: lines(tmp_path / "there.jsonl") >= 9, process)
    assert side.server.kill_connections()
    export(files[10:25], watched)
    code, err = finished(process)
    assert code == 0, err
    assert (tmp_path / "there.jsonl").read_text() == (tmp_path / "here.jsonl").read_text()
    assert lines(tmp_path / "here.jsonl") == 20
    reader.join(20)
    given = [json.loads(line)["volume"] for line in heard[0].splitlines()]
    assert given == sorted(set(given))
    assert given[-1] == 19
    assert set(range(9)) <= set(given)


def lines(path: Path) -> int:
    return path.read_bytes().count(b"\n") if path.exists() else 0


@pytest.mark.slow
def test_a_run_that_was_killed_leaves_its_port_there_to_the_next(side, small, script):
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = ("run", script(MEAN), small.root, "--feedback", side.place(f"/tcp://127.0.0.1:{port}"), *side.options)
    killed = side.start(*command, "--speed", 0.01)
    with connected(port, killed) as client:
        assert client.recv(1)
        os.kill(killed.pid, signal.SIGKILL)
        killed.wait()
    code, err = finished(side.start(*command, "--speed", "max"))
    assert code == 0, err


def connected(port: int, process: object) -> socket.socket:
    found: list[socket.socket] = []

    def connect() -> bool:
        try:
            found.append(socket.create_connection(("127.0.0.1", port), timeout=20))
        except ConnectionRefusedError:
            return False
        return True

    until(connect, process)
    return found[0]


def test_a_reader_there_that_never_comes_is_said_before_the_run_begins(side, small, script, tmp_path):
    os.mkfifo(tmp_path / "pipe")
    where = side.place(tmp_path / "pipe")
    code, err = finished(side.start("run", script(MEAN), small.root, "--feedback", where, "--open-timeout", 0, *side.options))
    assert code == 74, err
    (said,) = [line for line in err.splitlines() if line.startswith("rtbids:")]
    assert "nobody reads" in said


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("/lsl:Feedback", "feedback does not go there on another machine"),
        ("/http://127.0.0.1:80", "feedback does not go there on another machine"),
        ("/udp://192.0.2.1:5000", "is not an address of that machine alone"),
        ("/data/../etc/x", "is not allowed here"),
        ("/data/no/such/x", "no such file or directory"),
        (None, "expected a path"),
    ],
)
def test_what_is_not_allowed_there_is_refused(path, said, monkeypatch):
    monkeypatch.setattr(os, "environ", {**os.environ})
    far_places.allow([Path("/data")] if path and "/data" in path else [])
    far_addresses.allow(())
    with pytest.raises(RtbidsError, match=re.compile(said, re.IGNORECASE)):
        far_feedback.feedback(None, {"path": path})


def test_ports_are_those_of_the_machine_alone_or_those_that_are_listed(monkeypatch):
    monkeypatch.setattr(os, "environ", {**os.environ})
    far_places.allow([])
    far_addresses.allow(())
    assert str(far_addresses.address("udp://:5000")) == "udp://127.0.0.1:5000"
    with pytest.raises(UsageFault, match="not an address of that machine alone"):
        far_addresses.address("tcp://0.0.0.0:5000")
    far_places.allow([Path("/data")])
    with pytest.raises(UsageFault, match="not allowed here"):
        far_addresses.address("udp://127.0.0.1:5000")
    far_addresses.allow(("udp://10.0.0.7:5000",))
    assert str(far_addresses.address("udp://10.0.0.7:5000")) == "udp://10.0.0.7:5000"
    with pytest.raises(UsageFault, match="not allowed here"):
        far_addresses.address("udp://127.0.0.1:5000")
