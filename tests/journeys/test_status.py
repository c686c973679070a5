"""``rtbids status``: a run in progress seen and commanded from another terminal, with several experiments on it."""

from __future__ import annotations

import json
import os
import threading
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from journeys.conftest import TR, table

pytestmark = pytest.mark.alone

INDEX = "def feedback(volume, run):\n    return volume.index\n"
COUNTS = "def feedback(volume, run):\n    return len(run.roi('target').series())\n"


class Watched:
    """A run whose feedback comes through a pipe, line by line, so that a test knows how far it is."""

    def __init__(self, process: Any, pipe: Path) -> None:
        self.process = process
        self._lines = pipe.open()
        self.seen: list[dict[str, Any]] = []

    def until(self, experiment: str, volume: int) -> None:
        """Read on to the line of a volume."""
        while True:
            line = json.loads(self._lines.readline())
            self.seen.append(line)
            if (line["experiment"], line["volume"]) == (experiment, volume):
                return

    def end(self) -> int:
        threading.Thread(target=self._lines.read, daemon=True).start()
        _, err = self.process.communicate(timeout=60)
        self.err = err.decode()
        return int(self.process.returncode)


@pytest.fixture
def watched(small, script, start, tmp_path):
    """Start a run at half its pace (5 volumes a second) with some experiments."""

    def begin(*arguments: object) -> Watched:
        pipe = tmp_path / "lines"
        os.mkfifo(pipe)
        process = start("run", *arguments, "--speed", 0.5, "--bids-dir", tmp_path / "study", "--feedback", pipe)
        return Watched(process, pipe)

    return begin


@pytest.fixture
def held(watched, small, script, call, tmp_path):
    """Start a run that is in its midst until it is let go on, however slow the machine is; return it with what lets it go."""
    stream, content = tmp_path / "volumes", call("replay", small.root, "--speed", "max").out
    os.mkfifo(stream)
    run = watched(script(INDEX), stream)
    source = stream.open("wb", buffering=0)
    source.write(content[: len(content) // 2])

    def let_go() -> None:
        source.write(content[len(content) // 2 :])
        source.close()

    run.until("mine", 1)
    yield run, let_go
    source.close()


def test_where_no_run_is_in_progress_status_says_so(call):
    outcome = call("status")
    assert (outcome.code, outcome.out) == (0, b"no run is in progress\n")
    assert call("status", "--json").out == b""
    assert call("status", "--end").code == 66


def test_a_run_with_two_experiments_says_how_it_is(watched, small, script, call, tmp_path):
    run = watched(script(INDEX, name="one"), small.root, "--experiment", script(INDEX, name="other"), "--deadline", "other=0.5")
    run.until("other", 4)
    (fields,) = map(json.loads, call("status", "--json").out.splitlines())
    assert fields["process"] == run.process.pid
    assert fields["source"] == str(small.root)
    assert fields["data_set"] == str(tmp_path / "study")
    assert fields["run"] == "sub-07_task-small_run-1"
    assert fields["volumes"] >= 5
    assert [(each["experiment"], each["state"]) for each in fields["experiments"]] == [("one", "running"), ("other", "running")]
    assert [each["deadline"] for each in fields["experiments"]] == [TR, 0.5]
    assert fields["experiments"][0]["destinations"] == [str(tmp_path / "lines")]
    shown = call("status").out.decode()
    assert "one: running, latest value" in shown
    assert call("status", "--end").code == 0
    assert run.end() == 0, run.err
    assert call("status").out == b"no run is in progress\n"
    rows = Counter(row["experiment"] for row in table(tmp_path / "study", "feedback"))
    assert rows["one"] == rows["other"] == len(table(tmp_path / "study", "latency")) < 30


def test_an_experiment_is_started_stopped_and_started_again_while_the_other_goes_on(watched, small, script, call, tmp_path):
    broken = script("def feedback(volume, run):\n    raise ValueError('a slip')\n", name="mine")
    run = watched(script(INDEX, name="steady"), small.root, "--experiment", broken)
    run.until("steady", 2)
    (broken / "experiment.py").write_text(INDEX)
    assert call("status", "--restart", "mine").code == 0
    counts = script(COUNTS, f"rois:\n  target: {small.mask_file}\nevents: own.tsv\n", name="counts")
    outcome = call("status", "--start", counts, "--feedback", tmp_path / "counts.jsonl", "-v")
    assert outcome.code == 0, outcome.err
    assert "counts is started" in outcome.err
    run.until("steady", 22)
    assert call("status", "--stop", "mine").code == 0
    assert run.end() == 0, run.err
    assert f"warning: counts has events of its own ({counts}/own.tsv): those of the stream are used, none" in run.err
    feedback = table(tmp_path / "study", "feedback")
    steady, mine = ([row for row in feedback if row["experiment"] == name] for name in ("steady", "mine"))
    assert [row["volume"] for row in steady if row["status"] != "late"] == [str(index) for index in range(30)]
    assert mine[0]["reason"] == "error"
    assert "ok" in {row["status"] for row in mine}
    assert len(mine) < 30
    answered = [
        line for line in map(json.loads, (tmp_path / "counts.jsonl").read_text().splitlines()) if line["status"] == "ok"
    ]
    assert answered
    assert all(line["value"] == line["volume"] + 1 for line in answered)  # it was given what came before it
    assert len(table(tmp_path / "study", "latency")) == 30


def test_paused_feedback_is_null_and_the_report_says_when(watched, small, script, call, tmp_path):
    run = watched(script(INDEX), small.root)
    run.until("mine", 2)
    assert call("status", "--pause").code == 0
    assert call("status", "--resume").code == 0
    assert run.end() == 0, run.err
    rows = table(tmp_path / "study", "feedback")
    null = [row for row in rows if row["value"] == "n/a"]
    assert null
    assert {(row["status"], row["reason"]) for row in null} == {("alternate", "deadline")}
    assert rows[-1]["status"] == "ok"
    (report,) = (tmp_path / "study").rglob("*_report.html")
    assert "feedback is paused after" in report.read_text()


def test_an_aborted_run_ends_at_once_and_keeps_what_came(watched, small, script, call, tmp_path):
    run = watched(script("import time\n\ndef feedback(volume, run):\n    time.sleep(1000)\n"), small.root)
    run.until("mine", 2)
    assert call("status", "--abort").code == 0
    assert run.end() == 143, run.err
    assert "aborted" in run.err
    rows = table(tmp_path / "study", "latency")
    assert 3 <= len(rows) < 30


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["--stop", "nothing"], 64, "there are: mine"),
        (["--restart", "mne"], 64, "did you mean 'mine'"),
        (["--start", "nowhere"], 66, "no such experiment"),
        (["--set", "a=1"], 64, "go with --start"),
        (["--end", "--pause"], 64, "one command at a time"),
        (["--process", "1", "--end"], 66, "no run is in progress in process 1"),
    ],
)
def test_a_mistake_is_one_clear_line_and_costs_the_run_nothing(held, call, arguments, code, words):
    run, let_go = held
    outcome = call("status", *arguments)
    assert outcome.code == code, outcome.err
    assert words in outcome.err
    assert "Traceback" not in outcome.err
    let_go()
    assert run.end() == 0, run.err


def test_a_script_that_cannot_be_loaded_is_refused_and_the_run_goes_on(held, script, call):
    run, let_go = held
    outcome = call("status", "--start", script("x = 1\n", name="broken"))
    assert outcome.code == 70, outcome.err
    assert "expected a function feedback" in outcome.err
    let_go()
    assert run.end() == 0, run.err
    assert "30 volumes" in run.err


def test_without_a_place_for_a_socket_the_run_goes_on(small, script, call, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(small.mask_file))  # no folder
    monkeypatch.setenv("XDG_STATE_HOME", str(small.mask_file))
    outcome = call("run", script(INDEX), small.root, "--speed", "max", "-v")
    assert outcome.code == 0, outcome.err
    assert "rtbids status will not see this run" in outcome.err
