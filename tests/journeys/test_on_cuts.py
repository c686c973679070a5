"""``rtbids run --on`` while its connection is killed again and again: nothing is lost, nothing doubled, every line on time."""

from __future__ import annotations

import json
import random
import threading
from collections.abc import Iterator

import nibabel
import numpy as np
import pytest
import sshd
from journeys.validity import errors

from rtbids.replay import scanner
from rtbids.replay.phantom import Phantom

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


@pytest.mark.slow
@pytest.mark.timeout(180)
def test_a_connection_that_is_killed_twenty_times_costs_alternates_and_nothing_else(server, script, start, tmp_path):
    export, study = tmp_path / "export", tmp_path / "study"
    export.mkdir()
    reach = ["--on", server.address, "--identity", server.folder / "id", "--known-hosts", server.folder / "known_hosts"]
    archive = ["--bids-dir", study, "--feedback", "-", "--volumes", PHANTOM.volumes, "--no-deidentify"]
    process = start("run", script(SCRIPT), export, *archive, *reach)
    while b"watching" not in (said := process.stderr.readline()):
        assert said, "it has ended"
    simulator = threading.Thread(target=scanner.scan, args=(scanner.dicoms(PHANTOM), export), kwargs={"interval": TR})
    simulator.start()
    killed = kill_now_and_then(server, simulator)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 0, err.decode()

    assert killed == KILLS
    (sidecar,) = (study / "derivatives").rglob("*_desc-feedback_timeseries.json")
    assert cuts(json.loads(sidecar.read_text())) >= KILLS - 2  # two kills may hit one connection that is still being made
    lines = [json.loads(line) for line in out.splitlines()]
    given = [line for line in lines if line["status"] != "late"]
    assert [line["volume"] for line in given] == list(range(PHANTOM.volumes))
    assert {(line["status"], line["reason"]) for line in given} == {("ok", None), ("alternate", "link")}
    assert max(line["sent"] - line["due"] for line in given) < LATE
    assert all(line["value"]["volumes"] == line["volume"] + 1 for line in given if line["status"] == "ok")
    truth = np.stack([PHANTOM.volume(n) for n in range(PHANTOM.volumes)], axis=3)
    (image,) = study.rglob("*_bold.nii.gz")
    assert np.array_equal(np.asarray(nibabel.load(image).dataobj), truth)
    assert errors(study) == []
    assert b"started again" not in err


def kill_now_and_then(server: sshd.Sshd, simulator: threading.Thread) -> int:
    """Kill what serves the connection, at moments of chance over the whole run; return how often there was one."""
    chance, killed, over = random.Random(6), 0, threading.Event()
    mean = PHANTOM.volumes * TR / (KILLS + 1)
    while killed < KILLS and simulator.is_alive():
        over.wait(chance.uniform(0.5, 1.4) * mean)
        killed += server.kill_connections() > 0
    simulator.join()
    return killed


def cuts(sidecar: dict) -> int:
    """Return how often the connection was cut, as a sidecar says somewhere within."""
    if "Cuts" in sidecar:
        return sidecar["Cuts"]
    return max((cuts(each) for each in sidecar.values() if isinstance(each, dict)), default=0)
