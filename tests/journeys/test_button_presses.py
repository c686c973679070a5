"""Button presses during a run: they reach the script, stand in the data set, and a replay gives the same feedback."""

from __future__ import annotations

import json
import os
import select
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from journeys import validity
from journeys.conftest import RTBIDS, table

from rtbids.bids import events as bids_events
from rtbids.run.feedback import client_files
from rtbids.run.responses import responses

pytestmark = pytest.mark.alone

PATIENCE = 60.0  # seconds
PRESSES = """
def response(event, run):
    if event.value == "fail":
        raise ValueError("no such button")
    run.set_alternate(-1)

def feedback(volume, run):
    return {"mean": float(volume.data.mean()), "heard": [[r.name, r.value, r.onset, r.after_volume] for r in run.responses]}
"""


@dataclass
class Live:
    """A run on a stream that is fed in two halves, and what it says."""

    process: subprocess.Popen
    halves: tuple[bytes, bytes]
    said: str = ""
    lines: list[dict] = field(default_factory=list)
    _out: bytes = b""

    def until_said(self, text: str) -> str:
        """Read standard error until `text` is in it, and return the word behind it."""
        while text not in self.said or "\n" not in self.said.split(text, 1)[1]:
            self.said += self._read(self.process.stderr).decode()
        return self.said.split(text, 1)[1].split()[0]

    def feed(self, half: int) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(self.halves[half])

    def until_answered(self, count: int) -> list[dict]:
        """Read standard output until there are `count` lines of feedback."""
        while len(self.lines) < count:
            *whole, self._out = (self._out + self._read(self.process.stdout)).split(b"\n")
            self.lines += [json.loads(line) for line in whole]
        return self.lines

    def end(self) -> int:
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.stdin = None
        out, err = self.process.communicate(timeout=PATIENCE)
        self.lines += [json.loads(line) for line in (self._out + out).splitlines()]
        self.said += err.decode()
        return self.process.returncode

    @staticmethod
    def _read(pipe) -> bytes:
        assert select.select([pipe], [], [], PATIENCE)[0], "nothing came"
        content = os.read(pipe.fileno(), 1 << 16)
        assert content, "it has ended"
        return content


@pytest.fixture
def live(small, start, script) -> Iterator:
    """Begin a run of PRESSES, or another script, with further options."""
    stream = subprocess.run([*RTBIDS, "convert", small.root], capture_output=True, check=True, timeout=PATIENCE).stdout

    def begin(*options: object, text: str = PRESSES) -> Live:
        half = len(stream) // 2
        process = start("run", script(text), "-", "--feedback", "-", *options, "--deadline", 60, stdin=subprocess.PIPE)
        return Live(process, (stream[:half], stream[half:]))

    return begin


def press(endpoint: str, **fields: object) -> None:
    host, port = endpoint.split("//")[1].split(":")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        sender.sendto(json.dumps({"event": "button", **fields}).encode(), (host, int(port)))


def test_a_press_reaches_the_script_and_the_data_set_and_a_replay_gives_the_same(live, call, script, tmp_path):
    study = tmp_path / "study"
    run = live("--responses", "udp://127.0.0.1:0", "--bids-dir", study)
    endpoint = run.until_said("responses at ")
    run.feed(0)
    before = run.until_answered(5)[-1]["volume"]
    press(endpoint, value=1, time=5.0)
    press(endpoint, value="2")
    press(endpoint, value="fail")
    run.until_said("no such button")
    run.feed(1)
    assert run.end() == 0, run.said
    heard = run.lines[-1]["value"]["heard"]
    assert [(name, value) for name, value, _, _ in heard] == [("button", "1"), ("button", "2"), ("button", "fail")]
    assert all(after >= before for _, _, _, after in heard)
    assert run.said.count("onsets are by the time of arrival here") == 1

    (events,) = (study / "sub-07").rglob("*_events.tsv")
    known, came = responses.split(events.read_text())
    assert [[r.name, r.value, r.onset, r.after_volume] for r in came] == heard
    assert came[0].sender_time == 5.0
    assert [event.trial_type for event in bids_events.read(known, "events").rows] == ["regulate", "regulate"]
    assert {"value", "arrived", "sender_time", "after_volume"} <= set(json.loads(events.with_suffix(".json").read_text()))
    onsets = [float(line.split("\t")[0]) for line in events.read_text().splitlines()[1:]]
    assert onsets == sorted(onsets)
    assert [row["value"] for row in table(study, "responses")] == ["1", "2", "fail"]
    assert validity.errors(study) == []

    again = call("run", script(PRESSES), study, "--speed", "max")
    assert again.code == 0, again.err
    assert [line["value"] for line in again.lines] == [line["value"] for line in run.lines]


def test_in_a_replay_that_is_faster_a_press_has_its_onset_in_the_runs_own_time(small, start, script, tmp_path):
    study, speed = tmp_path / "study", 10.0
    options = ("--speed", speed, "--deadline", 60, "--feedback", "-", "--responses", "udp://127.0.0.1:0", "--bids-dir", study)
    run = Live(start("run", script(PRESSES), small.root, *options), (b"", b""))
    endpoint = run.until_said("responses at ")
    run.until_answered(5)
    press(endpoint, value="1")
    _, err = run.process.communicate(timeout=PATIENCE)
    assert run.process.returncode == 0, err.decode()
    (events,) = (study / "sub-07").rglob("*_events.tsv")
    _, (came,) = responses.split(events.read_text())
    first = float(table(study, "latency")[0]["received"])
    repetition_time = json.loads(next((study / "sub-07").rglob("*_bold.json")).read_text())["RepetitionTime"]
    assert came.onset == pytest.approx(repetition_time + speed * (came.arrived - first), abs=1e-4)
    assert came.after_volume >= 4
    assert came.onset > came.after_volume * repetition_time
    assert "ReplaySpeed" not in next((study / "sub-07").rglob("*_bold.json")).read_text()


def test_without_events_of_its_own_a_run_has_those_that_came(live, small, tmp_path):
    next(small.root.rglob("*_events.tsv")).unlink()
    stream = subprocess.run([*RTBIDS, "convert", small.root], capture_output=True, check=True, timeout=PATIENCE).stdout
    study, pipe = tmp_path / "study", tmp_path / "buttons"
    os.mkfifo(pipe)
    run = live("--responses", pipe, "--bids-dir", study)
    run.halves = (stream[: len(stream) // 2], stream[len(stream) // 2 :])  # those that came before the events were gone
    run.feed(0)
    run.until_answered(5)
    pipe.write_text("3\n")
    run.feed(1)
    assert run.end() == 0, run.said
    (events,) = (study / "sub-07").rglob("*_events.tsv")
    (row,) = bids_events.read(events.read_text(), "events").rows
    assert (row.trial_type, row.cells["value"]) == ("response", "3")
    assert validity.errors(study) == []


def test_several_experiments_all_hear(live, script, tmp_path):
    second = script(PRESSES, name="second")
    run = live("--experiment", second, "--responses", "udp://127.0.0.1:0")
    endpoint = run.until_said("responses at ")
    run.feed(0)
    run.until_answered(6)
    press(endpoint, value="1")
    press(endpoint, value="fail")
    while run.said.count("no such button") < 2:
        run.said += run._read(run.process.stderr).decode()
    run.feed(1)
    assert run.end() == 0, run.said
    last = {line["experiment"]: line["value"]["heard"] for line in run.lines}
    assert set(last) == {"mine", "second"}
    assert last["mine"] == last["second"] != []


def test_a_script_that_dies_of_a_press_is_started_again_and_not_asked_about_it_again(live, tmp_path):
    dies = """
import os

def response(event, run):
    os._exit(3)

def feedback(volume, run):
    return len(run.responses)
"""
    run = live("--responses", "udp://127.0.0.1:0", "--bids-dir", tmp_path / "study", text=dies)
    endpoint = run.until_said("responses at ")
    run.feed(0)
    run.until_answered(3)
    press(endpoint, value="1")
    run.until_said("is started again")
    run.feed(1)
    assert run.end() == 0, run.said
    assert run.lines[-1]["value"] == 1
    assert run.said.count("is started again") == 1


def test_a_press_outlives_the_process_that_took_it(live, tmp_path):
    study = tmp_path / "study"
    run = live("--responses", "udp://127.0.0.1:0", "--bids-dir", study)
    endpoint = run.until_said("responses at ")
    run.feed(0)
    run.until_answered(5)
    press(endpoint, value="1")
    press(endpoint, value="fail")
    run.until_said("no such button")
    run.feed(1)
    run.until_answered(30)
    run.process.kill()
    run.process.wait(PATIENCE)
    assert [row["value"] for row in table(study, "responses")] == ["1", "fail"]
    (events,) = (study / "sub-07").rglob("*_events.tsv")
    assert [response.value for response in responses.split(events.read_text())[1]] == ["1", "fail"]
    assert validity.errors(study) == []


def test_a_malformed_press_costs_nothing(live):
    run = live("--responses", "udp://127.0.0.1:0")
    endpoint = run.until_said("responses at ")
    run.feed(0)
    run.until_answered(2)
    press(endpoint, event="")
    run.until_said("a line is left out")
    run.feed(1)
    assert run.end() == 0, run.said
    assert len(run.lines) == 30
    assert "1 were left out (1 not understood)" in run.said


@pytest.fixture
def task(tmp_path: Path) -> Path:
    """The folder with the client files, as the command makes it."""
    folder = tmp_path / "stimulus computer"
    subprocess.run([*RTBIDS, "clients", folder], check=True, timeout=PATIENCE, capture_output=True)
    assert {path.name for path in folder.iterdir()} == set(client_files.NAMES)
    return folder


COUNT = """
def response(event, run):
    print("heard", event.name, event.value, flush=True)

def feedback(volume, run):
    return len(run.responses)
"""


def shown(live, command: list[str], cwd: Path) -> list[str]:
    """Run a task beside a live run, which it answers with a press; return the lines that it shows, which are the run's."""
    run = live("--feedback", "tcp://127.0.0.1:0", "--responses", "tcp://127.0.0.1:0", text=COUNT)
    port = run.until_said("responses at ").rpartition(":")[2]
    run.feed(0)
    run.until_answered(1)
    command = [word.replace("PORT", port) for word in command]
    with subprocess.Popen(command, cwd=cwd, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        first = process.stdout.readline()
        process.stdin.write("1\n")
        process.stdin.flush()
        assert run.until_said("heard ") == "button"
        run.feed(1)
        assert run.end() == 0, run.said
        lines = [line.rstrip("\n") for line in [first, *process.stdout] if "|" in line]
        process.wait(PATIENCE)
    volumes = [int(line.split("|")[0]) for line in lines]
    assert volumes == list(range(volumes[0], 30))
    values = {line["volume"]: line["value"] for line in run.lines}
    assert [float(line.split("|")[2].split()[0]) for line in lines] == [values[volume] for volume in volumes]
    assert values[29] == 1
    return lines


def test_the_python_task_shows_a_live_run_to_its_end_and_its_press_counts(live, task):
    lines = shown(live, [sys.executable, "rtbids_thermometer.py", "tcp://127.0.0.1:PORT", "--text", "--once"], task)
    assert lines[-1].split("|")[1] == "#" * 40  # from -1 to 1


@pytest.mark.slow
def test_the_octave_task_shows_a_live_run_to_its_end_and_its_press_counts(live, task):
    octave = ["octave-cli", "--quiet", "--no-gui", "--no-init-file", "--eval"]
    if shutil.which(octave[0]) is None:
        pytest.skip("octave-cli is not installed")
    if subprocess.run([*octave, "pkg load instrument-control"], capture_output=True, timeout=PATIENCE, check=False).returncode:
        pytest.skip("Octave's package instrument-control is not installed")
    lines = shown(live, [*octave, "rtbids_thermometer('127.0.0.1', PORT, 0, 2, 3);"], task)
    assert lines[-1].split("|")[1] == f"{'#' * 20:40}"
