"""``rtbids run --on`` while its connection is killed again and again: nothing is lost, nothing doubled, every line on time."""

from __future__ import annotations

import json
import random
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest
import sshd
from journeys.validity import errors

from rtbids.replay import scanner
from rtbids.replay.phantom import Phantom

pytestmark = pytest.mark.alone

TR = 0.4
PHANTOM = Phantom(shape=(32, 32, 9), voxel=(6.0, 6.0, 12.0), repetition_time=TR, volumes=100, block=4)
KILLS = 20
LATE = 0.15  # seconds: a line leaves when the loop wakes, on a machine that does other things too
SCRIPT = """
def feedback(volume, run):
    return {"mean": float(volume.data.mean()), "volumes": len(run.volumes)}
"""


@pytest.fixture
def server(tmp_path_factory) -> Iterator[sshd.Sshd]:
    with sshd.running(tmp_path_factory.mktemp("s")) as running:  # a short name: sockets lie below it
        yield running


class Live:
    """A run behind `server` on what a scanner exports meanwhile; `lines` are those that a destination was given in time."""

    def __init__(self, server: sshd.Sshd, phantom: Phantom, experiment: Path, folder: Path, start: Callable[..., Any]) -> None:
        export, self.study = folder / "export", folder / "study"
        export.mkdir()
        reach = ["--on", server.address, "--identity", server.folder / "id", "--known-hosts", server.folder / "known_hosts"]
        archive = ["--bids-dir", self.study, "--feedback", "-", "--volumes", phantom.volumes, "--no-deidentify"]
        self.phantom = phantom
        self._process = start("run", experiment, export, *archive, *reach)
        while b"watching" not in (said := self._process.stderr.readline()):
            assert said, "it has ended"
        made = scanner.dicoms(phantom)
        self.scanner = threading.Thread(target=scanner.scan, args=(made, export), kwargs={"interval": TR})
        self.scanner.start()

    def finish(self) -> None:
        self.scanner.join()
        out, self.said = self._process.communicate(timeout=60)
        assert self._process.returncode == 0, self.said.decode()
        lines = [json.loads(line) for line in out.splitlines()]
        self.lines = [line for line in lines if line["status"] != "late"]

    def check(self) -> None:
        """Nothing is lost, nothing doubled, every line is on time, and the data set is valid."""
        count = self.phantom.volumes
        assert [line["volume"] for line in self.lines] == list(range(count))
        assert max(line["sent"] - line["due"] for line in self.lines) < LATE
        assert all(line["value"]["volumes"] == line["volume"] + 1 for line in self.lines if line["status"] == "ok")
        truth = np.stack([self.phantom.volume(n) for n in range(count)], axis=3)
        (image,) = self.study.rglob("*_bold.nii.gz")
        assert np.array_equal(np.asarray(nibabel.load(image).dataobj), truth)
        assert errors(self.study) == []
        assert b"started again" not in self.said

    @property
    def outcomes(self) -> set[tuple[str, str | None]]:
        return {(line["status"], line["reason"]) for line in self.lines}

    @property
    def cuts(self) -> int:
        (sidecar,) = (self.study / "derivatives").rglob("*_desc-feedback_timeseries.json")
        return cuts(json.loads(sidecar.read_text()))


@pytest.mark.slow
@pytest.mark.timeout(180)
def test_a_connection_that_is_killed_twenty_times_costs_alternates_and_nothing_else(server, script, start, tmp_path):
    run = Live(server, PHANTOM, script(SCRIPT), tmp_path, start)
    killed = kill_now_and_then(server, run)
    run.finish()
    run.check()
    assert killed == KILLS
    assert run.cuts >= KILLS // 2  # a kill may hit a connection that is still being made, more often on a busy machine
    assert run.outcomes == {("ok", None), ("alternate", "link")}


@pytest.mark.slow
@pytest.mark.timeout(180)
def test_a_connection_that_freezes_is_given_up_and_made_anew(server, script, start, tmp_path):
    run = Live(server, replace(PHANTOM, volumes=40), script(SCRIPT), tmp_path, start)
    run.scanner.join(10 * TR)
    assert server.freeze()
    run.finish()
    run.check()
    assert run.cuts == 1
    assert run.outcomes == {("ok", None), ("alternate", "link")}


def kill_now_and_then(server: sshd.Sshd, run: Live) -> int:
    """Kill what serves the connection, at moments of chance over the whole run; return how often there was one."""
    chance, killed, over = random.Random(6), 0, threading.Event()
    mean = run.phantom.volumes * TR / (KILLS + 1)
    while killed < KILLS and run.scanner.is_alive():
        over.wait(chance.uniform(0.5, 1.4) * mean)
        killed += server.kill_connections() > 0
    return killed


def cuts(sidecar: dict) -> int:
    """Return how often the connection was cut, as a sidecar says somewhere within."""
    if "Cuts" in sidecar:
        return sidecar["Cuts"]
    return max((cuts(each) for each in sidecar.values() if isinstance(each, dict)), default=0)
