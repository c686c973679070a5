"""kill -9 at random moments of a run: the data set is valid, what was acknowledged is there, the next run finishes it."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import threading
from pathlib import Path

import nibabel
import numpy as np
import pytest
from journeys.validity import errors

from rtbids.replay import scanner
from rtbids.replay.phantom import Phantom

PHANTOM = Phantom(shape=(32, 32, 9), voxel=(6.0, 6.0, 12.0), repetition_time=0.5, volumes=200, block=4)
MOMENTS = 20
LOOK = 4  # the validator takes as long as the run: what one kill left is still there after the next ones
SCRIPT = "def feedback(volume, run):\n    return float(volume.data.mean())\n"


@pytest.fixture(scope="module")
def export(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("export")
    scanner.scan(scanner.dicoms(PHANTOM), folder, interval=0)
    return folder


def _kill(process: subprocess.Popen) -> None:
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_run_killed_at_any_moment_keeps_what_was_acknowledged(export, script, start, call, tmp_path):
    study = tmp_path / "study"
    experiment = script(SCRIPT)
    chance = random.Random(20)
    truth = np.stack([PHANTOM.volume(n) for n in range(PHANTOM.volumes)], axis=3)
    acknowledged: dict[str, int] = {}
    killed = 0
    for moment in range(MOMENTS):
        process = start("run", experiment, export, "--no-wait", "--task", "kill", "--bids-dir", study, "--feedback", "-")
        first = process.stdout.readline()  # it has begun; from here on it may be killed wherever it is
        killer = threading.Timer(chance.uniform(0, 0.4), _kill, (process,))
        killer.start()
        out, err = process.communicate(timeout=60)
        killer.join()
        assert process.returncode in (-9, 0), err.decode()  # a fast machine may be done before
        killed += process.returncode == -9
        lines = [json.loads(line) for line in (first + out).splitlines() if line.endswith(b"}")]
        name = lines[0]["run"]
        assert name == f"sub-01_task-kill_run-{moment + 1:02d}"
        acknowledged[name] = sum(line["status"] == "ok" for line in lines)
        if moment % LOOK == 0:
            assert errors(study) == []
    assert killed > MOMENTS // 2
    assert len(set(acknowledged.values())) > 5, "the moments were all alike: this test would show nothing"
    again = call("run", experiment, export, "--no-wait", "--task", "kill", "--bids-dir", study)
    assert again.code == 0, again.err
    assert errors(study) == []
    for name, count in acknowledged.items():
        voxels = np.asarray(nibabel.load(study / "sub-01" / "func" / f"{name}_bold.nii.gz").dataobj)
        assert voxels.shape[3] >= count
        assert np.array_equal(voxels, truth[..., : voxels.shape[3]])
        latency = study / "derivatives" / "rtbids" / "sub-01" / "func" / f"{name}_desc-latency_timeseries.tsv"
        assert len(latency.read_text().splitlines()) == voxels.shape[3] + 1
        assert (study / "derivatives" / "rtbids" / f"{name}_report.html").exists()
    assert not list((study / "sub-01" / "func").glob("*_bold.nii"))
    assert not list((study / ".rtbids" / "growing").iterdir())
